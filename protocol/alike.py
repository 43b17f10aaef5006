"""Runs of publishes by one method frame whose content headers are of one size, and alike up to the last property that a
broker acts on: what follows may be an id, a time or a name of each message's own.

Cut at once, where walking takes some calls for each message. It decides nothing about what it does not recognise:
frames.py walks that.
"""

from typing import Final

from protocol.constants import FRAME_BODY, FRAME_END_OCTET, FRAME_HEADER
from protocol.content import FRAME_HEAD, HEADER_START, ContentFacts, same_start, skim
from protocol.errors import FrameError
from protocol.grid import cut_rests, rests_of

_LOOKED_AT: Final = (1, 2, 4, 7, 15)
"""The messages that are compared with the first before a cut is tried."""
_LONGEST_RUN: Final = 65536
_SHORTEST_RUN: Final = 8
"""Fewer are better walked, together with those that follow."""


class AlikeMessages:
    """Messages in a row: a piece of each, the content facts that they share, and where they stop in the read."""

    __slots__ = ("facts", "pieces", "stop")

    def __init__(self, facts: ContentFacts, pieces: list[bytes], stop: int) -> None:
        self.facts = facts
        self.pieces = pieces
        self.stop = stop


class AlikeCutter:
    """Cuts such messages. ``limit`` is how many one cut tries: it shrinks when runs are short, so that no input makes
    it dear.
    """

    __slots__ = ("limit",)

    def __init__(self) -> None:
        self.limit = 256

    def cut(self, data: bytes, at: int, end: int, frame: bytes, frame_max: int, largest: int) -> AlikeMessages | None:
        """Return the messages that begin ``at`` with the publish frame ``frame``; None where they are no such run.

        ``largest`` is the limit for a body. Right if, and only if, each message begins like the first and has as many
        octets more, and header and body meet and end in each where they do in the first.
        """
        header_at = at + len(frame)
        if end - header_at < HEADER_START.size:
            return None
        kind, channel, size, class_id, weight, body_octets, flags = HEADER_START.unpack_from(data, header_at)
        stop = body_at = header_at + size + 8
        if body_octets:
            stop += body_octets + 8
        step = stop - at
        same = same_start(data[header_at:body_at]) if at + 16 * step <= end and size <= frame_max - 8 else 0
        if not same or body_octets > largest or (kind, class_id, weight) != (FRAME_HEADER, 60, 0):
            return None
        separator = data[at : header_at + same]
        if not all(data.startswith(separator, at + place * step) for place in _LOOKED_AT):
            return None
        edge = FRAME_END_OCTET
        if body_octets:
            edge += FRAME_HEAD.pack(FRAME_BODY, channel, body_octets)
        if channel != int.from_bytes(frame[1:3]) or data[header_at:body_at] == data[header_at + step : body_at + step]:
            return None  # What is wholly alike is cut without looking at each header.
        try:
            facts = skim(data, header_at + 21, body_at - 1, flags)
        except FrameError:
            return None
        if not facts.is_plain:
            return None
        count = min((end - at) // step, self.limit)
        parts = cut_rests(rests_of(len(separator), step), separator, data, at, count)
        if len(parts) < count:
            count = len(parts)
            self.limit = max(16, 2 * count)
            if count < _SHORTEST_RUN:
                return None
        elif count == self.limit:
            self.limit = min(_LONGEST_RUN, 4 * count)
        stop = at + count * step
        for place, octet in enumerate(edge, body_at - 1):
            if data[place:stop:step] != bytes((octet,)) * count:
                return None
        if body_octets and data[at + step - 1 : stop : step] != FRAME_END_OCTET * count:
            return None
        start = data[header_at : header_at + same]
        return AlikeMessages(facts, [start + part for part in parts], stop)
