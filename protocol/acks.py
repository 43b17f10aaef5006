"""basic.ack frames in a row, taken at once: consecutive delivery tags come as one event. Ref: basic.ack."""

from struct import Struct
from typing import Final

from protocol.constants import FRAME_END, FRAME_METHOD
from protocol.errors import bad_frame_end

ACK_HEAD: Final = b"\x00\x00\x00\x0d\x00\x3c\x00\x50"
"""Size of the payload, class id and method id: what stands at the fourth octet of a frame."""
ACK_OCTETS: Final = 21
_LONGEST_RUN: Final = 65536
_TAG_AT: Final = 11
_LAST_OF_TAG_AT: Final = 18
_END: Final = Struct(">QBB")
_FRAME: Final = Struct(">11sQBB")
_LOW_OCTETS: Final = bytes(range(256)) * 257
_MIDDLE_OCTETS: Final = b"".join(bytes((n,)) * 256 for n in range(256)) * 2


class Ack:
    """basic.ack of ``count`` delivery tags from ``first_tag`` on, or of all up to ``first_tag`` if multiple."""

    __slots__ = ("channel", "count", "first_tag", "multiple")

    def __init__(self, channel: int, first_tag: int, count: int, multiple: bool) -> None:
        self.channel = channel
        self.first_tag = first_tag
        self.count = count
        self.multiple = multiple


class AckCutter:
    """Cuts them. ``limit`` is how many are tried at once: fewer when runs are short, so that no input makes it dear."""

    __slots__ = ("limit",)

    def __init__(self) -> None:
        self.limit = _LONGEST_RUN

    def cut(self, data: bytes, at: int, end: int) -> tuple[list[Ack], int]:
        """Return the acks from ``at`` on, where one is, and where they stop. Raises FrameError (501)."""
        channel = data[at + 1] << 8 | data[at + 2]
        tag, multiple, frame_end = _END.unpack_from(data, at + _TAG_AT)
        if frame_end != FRAME_END:
            raise bad_frame_end(FRAME_METHOD, data[at + 7 : at + 20], frame_end)
        stop = at + ACK_OCTETS
        if multiple or not data.startswith(data[at : at + _TAG_AT], stop):
            return [Ack(channel, tag, 1, bool(multiple & 1))], stop
        low = tag & 0xFFFF
        count = min((end - at) // ACK_OCTETS, self.limit)
        stop = at + count * ACK_OCTETS
        octets = data[at:stop]
        run = bytearray(data[at : at + ACK_OCTETS] * count)  # What they are if their tags are consecutive.
        run[_LAST_OF_TAG_AT - 1 :: ACK_OCTETS] = _MIDDLE_OCTETS[low : low + count]
        run[_LAST_OF_TAG_AT::ACK_OCTETS] = _LOW_OCTETS[low & 0xFF : (low & 0xFF) + count]
        if octets != run:
            acks, found = _walk(octets, channel)
            if found < count:
                self.limit = max(4, 2 * found)
                return acks, at + found * ACK_OCTETS
        else:
            acks = [Ack(channel, tag, count, False)]
        if count == self.limit:
            self.limit = min(_LONGEST_RUN, 4 * count)
        return acks, stop


def _walk(octets: bytes, channel: int) -> tuple[list[Ack], int]:
    """Take acks one by one, and join those whose tags are consecutive; say how many frames those were."""
    head = octets[:_TAG_AT]
    acks: list[Ack] = []
    last: Ack | None = None
    found = 0
    for frame_head, tag, multiple, frame_end in _FRAME.iter_unpack(octets):
        if frame_head != head:
            break
        if frame_end != FRAME_END:
            raise bad_frame_end(FRAME_METHOD, b"", frame_end)
        found += 1
        if multiple & 1:
            last = None
            acks.append(Ack(channel, tag, 1, True))
        elif last is not None and tag == last.first_tag + last.count:
            last.count += 1
        else:
            last = Ack(channel, tag, 1, False)
            acks.append(last)
    return acks, found
