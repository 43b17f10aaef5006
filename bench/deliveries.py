"""Counts deliveries in the octets a consumer reads, without parsing each.

The stream of one queue repeats: the same messages in the same order, each delivery as long as it was in the
last round through them (the delivery tag always takes 8 octets). So the first round is walked frame by frame:
bodies are compared with what was published, lengths are kept. After that octets tell the number, and in every
read the last whole delivery is looked at: where it must begin there must stand its method and running
delivery tag, and its last octet must be a frame end. A message lost, doubled or out of turn shows at
once, or in the totals.
"""

import struct
from bisect import bisect_right
from itertools import accumulate

from bench import client, wire

_tag = struct.Struct(">Q")
_TAG_LENGTH_AT = 11
"""Offset of the consumer tag's length octet in a deliver frame."""


class DeliveriesDiffer(Exception):
    """The broker has delivered something else than was published, or in another order."""


class DeliveryCounter:
    """Counts one consumer's deliveries of a stream whose ``bodies`` come in this order, again and again."""

    __slots__ = (
        "_bodies",
        "_ends",
        "_lengths",
        "_partial",
        "_prefix",
        "_round_octets",
        "_tag_at",
        "_unread",
        "delivered",
    )

    def __init__(self, bodies: list[bytes]) -> None:
        self.delivered = 0
        self._bodies = bodies
        self._lengths: list[int] = []
        self._ends: list[int] = []
        self._round_octets = 0
        """Octets of one round through the bodies; 0 until they are known."""
        self._partial = 0
        """Octets since the last delivery ended (one body) or since the round began (several)."""
        self._prefix = b""
        """Frame head, method and the consumer tag's length; tags of one channel are equally long here."""
        self._tag_at = 0
        """Offset of the delivery tag in a deliver frame."""
        self._unread = bytearray()

    def feed(self, octets: bytearray, size: int) -> None:
        """Count the first ``size`` octets. Raises DeliveriesDiffer, and BrokerRefused on a close."""
        if not self._round_octets:
            self._learn(octets[:size])
            return
        rounds, rest = divmod(self._partial + size, self._round_octets)
        if len(self._lengths) == 1:
            self.delivered += rounds
            self._partial = last_partial = rest
            last_octets = self._round_octets
        else:
            index = bisect_right(self._ends, rest)
            self.delivered += rounds * len(self._lengths) + index - self.delivered % len(self._lengths)
            self._partial = rest
            last_partial = rest - (self._ends[index - 1] if index else 0)
            last_octets = self._lengths[index - 1]
        start = size - last_partial - last_octets
        if start >= 0:
            self._check(octets, start, start + last_octets)

    def _check(self, octets: bytearray, start: int, stop: int) -> None:
        at = start + self._tag_at
        if (
            not octets.startswith(self._prefix, start)
            or _tag.unpack_from(octets, at)[0] != self.delivered
            or octets[stop - 1] != wire.FRAME_END
        ):
            found = bytes(octets[start : start + 60])
            raise DeliveriesDiffer(f"delivery {self.delivered} does not stand where it must: {found!r}")

    def finish(self, unread: bytearray) -> None:
        """Nothing may follow the last delivery: ``unread`` is what came before connection.close-ok."""
        if unread or self._unread or (self._partial and self._partial not in self._ends):
            raise DeliveriesDiffer(
                f"{len(unread) + len(self._unread)} octets too many after {self.delivered} deliveries"
            )

    def _learn(self, octets: bytearray) -> None:
        """Walk deliveries until each body has been seen once; what is left is counted by octets."""
        self._unread += octets
        while len(self._lengths) < len(self._bodies):
            stop = self._walk_delivery()
            if stop is None:
                return
            self._lengths.append(stop)
            self.delivered += 1
            del self._unread[:stop]
        self._ends = list(accumulate(self._lengths))
        self._round_octets = self._ends[-1]
        rest, self._unread = self._unread, bytearray()
        self.feed(rest, len(rest))

    def _walk_delivery(self) -> int | None:
        """Where the first delivery in ``_unread`` ends; None while it is not whole."""
        frame = wire.find_frame(self._unread, 0)
        if frame is None:
            return None
        kind, _, payload, stop = frame
        client.raise_if_closed(kind, payload)
        if kind != wire.METHOD_FRAME or wire.method_of(payload) != wire.BASIC_DELIVER:
            raise DeliveriesDiffer(f"frame type {kind} where a delivery must begin: {payload[:40]!r}")
        self._prefix = bytes(self._unread[: _TAG_LENGTH_AT + 1])
        self._tag_at = len(self._prefix) + self._unread[_TAG_LENGTH_AT]
        content = self._walk_content(stop)
        if content is None:
            return None
        stop, body = content
        if body != self._bodies[self.delivered]:
            raise DeliveriesDiffer(f"delivery {self.delivered + 1} has another body: {body[:60]!r}")
        return stop

    def _walk_content(self, at: int) -> tuple[int, bytes] | None:
        frame = wire.find_frame(self._unread, at)
        if frame is None:
            return None
        _, _, header, at = frame
        (body_octets,) = struct.unpack_from(">Q", header, 4)
        body = b""
        while len(body) < body_octets:
            frame = wire.find_frame(self._unread, at)
            if frame is None:
                return None
            body += frame[2]
            at = frame[3]
        return at, body
