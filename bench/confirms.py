"""Counts publisher confirms in the octets a producer reads, single, multiple and out of order alike."""

import struct

from bench import client, wire

_ack = struct.Struct(">BHIHHQBB")
_ack_constants = (wire.METHOD_FRAME, 13, *wire.BASIC_ACK, wire.FRAME_END)


class ConfirmCounter:
    """Knows how many publishes of one channel are confirmed."""

    __slots__ = ("_ahead", "_unread", "confirmed_upto")

    def __init__(self) -> None:
        self.confirmed_upto = 0
        """Every tag up to this one is confirmed."""
        self._ahead: set[int] = set()
        self._unread = b""

    @property
    def confirmed(self) -> int:
        """Publishes confirmed in all."""
        return self.confirmed_upto + len(self._ahead)

    def feed(self, octets: bytes) -> None:
        """Take what was read. Raises BrokerRefused on anything but basic.ack (a nack among it)."""
        if self._unread:
            octets = self._unread + octets
        whole = len(octets) // wire.ACK_OCTETS * wire.ACK_OCTETS
        self._unread = octets[whole:]
        for kind, _, size, class_id, method_id, tag, multiple, end in _ack.iter_unpack(octets[:whole]):
            if (kind, size, class_id, method_id, end) != _ack_constants:
                raise client.BrokerRefused(f"not a confirm: {_explain(octets)}")
            if multiple:
                self._confirm_upto(tag)
            elif tag == self.confirmed_upto + 1:
                self.confirmed_upto = tag
                if self._ahead:
                    self._confirm_upto(tag)
            else:
                self._ahead.add(tag)

    def _confirm_upto(self, tag: int) -> None:
        tag = max(tag, self.confirmed_upto)
        if self._ahead:
            self._ahead = {ahead for ahead in self._ahead if ahead > tag}
            while tag + 1 in self._ahead:
                tag += 1
                self._ahead.remove(tag)
        self.confirmed_upto = tag


def _explain(octets: bytes) -> str:
    start = 0
    while (frame := wire.find_frame(octets, start)) is not None:
        kind, _, payload, start = frame
        client.raise_if_closed(kind, payload)
        if kind != wire.METHOD_FRAME or wire.method_of(payload) != wire.BASIC_ACK:
            return f"frame type {kind}, {payload[:24]!r}"
    return repr(octets[start : start + 40])
