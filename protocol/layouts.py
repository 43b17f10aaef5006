"""Content headers laid out like one before: the same properties, the same content type and encoding.

What a broker acts on then stands where it stood, or behind as much as the header says, so that a message is looked
through in a fraction of what ``skim`` takes. It decides nothing about what it does not recognise: frames.py walks that.
"""

from struct import Struct
from struct import error as StructError
from typing import Final

from protocol.constants import FRAME_BODY, FRAME_END, FRAME_END_OCTET, FRAME_HEADER
from protocol.content import (
    CORRELATION_ID_FLAG,
    DELIVERY_MODE_FLAG,
    DIRECT_REPLY_TO,
    HEADERS_FLAG,
    PRIORITY_FLAG,
    RARE_FLAGS,
    REPLY_TO_FLAG,
    ContentFacts,
    common_facts,
    plain_facts,
    texts_stop,
)

_LAYOUTS_MAX: Final = 64
_START_OCTETS_MAX: Final = 128
_FACTS_MAX: Final = 256
_REST_MAX: Final = 16
_IDS: Final = b"\x00\x3c\x00\x00"
_unpack_edge: Final = Struct(">4sI").unpack_from


class Layout:
    """What headers that begin with ``start`` have where: flags, and content type and encoding, where there are any."""

    __slots__ = (
        *("_by_octets", "_facts_at", "_facts_octets", "_has_correlation_id", "_has_priority", "_has_reply_to"),
        *("_has_table", "_is_persistence_known", "_start", "_unpack"),
    )

    def __init__(self, start: bytes) -> None:
        flags = int.from_bytes(start[:2])
        self._start = start
        self._has_table = bool(flags & HEADERS_FLAG)
        self._is_persistence_known = bool(flags & DELIVERY_MODE_FLAG)
        self._has_priority = bool(flags & PRIORITY_FLAG)
        self._has_correlation_id = bool(flags & CORRELATION_ID_FLAG)
        self._has_reply_to = bool(flags & REPLY_TO_FLAG)
        self._facts_at = 19 + len(start) + 4 * self._has_table
        self._facts_octets = self._is_persistence_known + self._has_priority
        self._by_octets: dict[bytes, ContentFacts] = {}
        self._unpack = Struct(f">I4sQ{len(start)}s{'I' if self._has_table else '0s'}").unpack_from

    def walk(
        self,
        data: bytes,
        at: int,
        end: int,
        frame: bytes,
        limits: tuple[int, int],
        pieces: list[bytes],
        facts: ContentFacts,
    ) -> tuple[int, ContentFacts]:
        """Add the messages at ``at`` that are laid out so to ``pieces``; return where they end, and the facts of all.

        Each begins with the publish frame ``frame``; ``facts`` are those of the pieces before. ``limits`` are those of
        a header's payload and of a body, in octets.
        """
        longest, largest = limits
        channel = frame[1:3]
        begin = frame + bytes((FRAME_HEADER,)) + channel
        edge = FRAME_END_OCTET + bytes((FRAME_BODY,)) + channel
        own_start, unpack, size_at, header_at = self._start, self._unpack, len(begin), len(frame)
        facts_at, facts_octets, by_octets = header_at + self._facts_at, self._facts_octets, self._by_octets
        has_table, has_correlation_id, has_reply_to = self._has_table, self._has_correlation_id, self._has_reply_to
        startswith, find = data.startswith, data.find
        try:
            while startswith(begin, at):
                size, ids, body_octets, start, table_octets = unpack(data, at + size_at)
                body_at = at + header_at + size + 8
                stop = body_at + body_octets + 8
                if start != own_start or ids != _IDS or size > longest or stop > end:
                    break
                if not 0 < body_octets <= largest or data[stop - 1] != FRAME_END:
                    break
                if _unpack_edge(data, body_at - 1) != (edge, body_octets):
                    break
                place = at + facts_at
                if has_table:
                    table_at, place = place, place + table_octets
                    if find(b"C", table_at, place) >= 0 and find(b"CC", table_at, place) >= 0:
                        break  # A hint at CC or BCC, as in skim.
                octets = data[place : place + facts_octets]
                own = by_octets.get(octets)
                if own is None:
                    own = self._learn(octets)
                place += facts_octets
                if has_correlation_id:
                    place += 1 + data[place]
                if has_reply_to:
                    if startswith(DIRECT_REPLY_TO, place + 1):
                        break
                    place += 1 + data[place]
                if place >= body_at:
                    break
                if own is not facts:
                    common = common_facts(facts, own)
                    if common is None:
                        break
                    facts = common
                pieces.append(data[at + header_at : stop])
                at = stop
        except (StructError, IndexError):
            pass  # It goes over the end of what has come, or of itself; the walk will tell.
        return at, facts

    def _learn(self, octets: bytes) -> ContentFacts:
        """Return the facts that delivery mode and priority, as far as they are there, stand for."""
        if len(octets) < self._facts_octets:
            raise IndexError
        persistent = self._is_persistence_known and octets[0] == 2
        facts = plain_facts(persistent, octets[-1] if self._has_priority else None)
        if len(self._by_octets) >= _FACTS_MAX:
            self._by_octets.clear()
        self._by_octets[octets] = facts
        return facts


class Layouts:
    """The layouts that one reader has met lately."""

    __slots__ = ("_by_start", "_miss_count", "_rest")

    def __init__(self) -> None:
        self._by_start: dict[bytes, Layout] = {}
        # For how many messages nothing is looked for: grows while neighbours are laid out differently.
        self._rest = self._miss_count = 0

    def of(self, data: bytes, header_at: int, flags: int) -> Layout | None:
        """Return how the header frame at ``header_at``, which was read without fault, is laid out, if that is known to
        be of use.
        """
        if self._rest:
            self._rest -= 1
            return None
        if flags & RARE_FLAGS:
            return None
        start = data[header_at + 19 : texts_stop(data, header_at + 21, flags)]
        layout = self._by_start.get(start)
        if layout is None and len(start) <= _START_OCTETS_MAX:
            if len(self._by_start) >= _LAYOUTS_MAX:
                self._by_start.clear()
            layout = self._by_start[start] = Layout(start)
        return layout

    def found(self, count: int) -> None:
        """Note that the next so many messages were laid out like the one that was asked for."""
        self._miss_count = 0 if count else min(_REST_MAX, 2 * self._miss_count + 1)
        self._rest = self._miss_count
