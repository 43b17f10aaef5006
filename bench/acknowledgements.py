"""Single acknowledgements of consecutive delivery tags, ready to send.

One block holds 65,536 basic.ack frames whose tags differ in their low 16 bits; sending a run of them is a
slice. When the tags pass the block's end, the six upper octets of all tags are written anew, one strided
assignment each.
"""

from collections.abc import Iterator

from bench import wire

BLOCK = 1 << 16
_TAG_AT = 11


class Acknowledgements:
    """Acknowledges the tags of one channel in order, each by a frame of its own."""

    __slots__ = ("_block", "_upper", "_view", "acknowledged")

    def __init__(self) -> None:
        self.acknowledged = 0
        self._upper = 0
        self._block = bytearray(wire.encode_ack(0) * BLOCK)
        low = bytes(range(256))
        self._block[_TAG_AT + 7 :: wire.ACK_OCTETS] = low * 256
        self._block[_TAG_AT + 6 :: wire.ACK_OCTETS] = b"".join(bytes([high]) * 256 for high in low)
        self._view = memoryview(self._block)

    def upto(self, tag: int) -> Iterator[memoryview]:
        """The frames for all open tags up to ``tag``; send each piece before taking the next."""
        while self.acknowledged < tag:
            first = self.acknowledged + 1
            self._move(first >> 16)
            last = min(tag, first | 0xFFFF)
            yield self._view[(first & 0xFFFF) * wire.ACK_OCTETS : ((last & 0xFFFF) + 1) * wire.ACK_OCTETS]
            self.acknowledged = last

    def _move(self, upper: int) -> None:
        if upper == self._upper:
            return
        for place, (old, new) in enumerate(zip(self._upper.to_bytes(6), upper.to_bytes(6), strict=True)):
            if old != new:
                self._block[_TAG_AT + place :: wire.ACK_OCTETS] = bytes([new]) * BLOCK
        self._upper = upper
