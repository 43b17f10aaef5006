"""A stream's messages by offset, in segments: the oldest segment goes as a whole when the stream is over its limits.

The newest messages are in memory; of the oldest, where that is too much, only ids are kept, and whoever reads them has
them read back. It knows no consumers. RabbitMQ: Streams, "Retention".
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final

from broker.core.messages import Stretch
from broker.core.queues.parked import Page, ParkedStretch, neighbours

DEFAULT_SEGMENT_OCTETS: Final = 500_000_000


class _Segment:
    """Messages that go together; ``last_ms`` is when the last of them was published (wall time)."""

    __slots__ = ("first_offset", "last_ms", "octets")

    def __init__(self, first_offset: int) -> None:
        self.first_offset = first_offset
        self.octets = 0
        self.last_ms = 0


class StreamLog:
    """Messages with the offsets ``first_offset`` up to, not including, ``next_offset``.

    A segment is full once it has ``segment_octets`` (of content headers and bodies).
    """

    __slots__ = (
        "_firsts",
        "_parked_count",
        "_segments",
        "_stretches",
        "_times_ms",
        "next_offset",
        "resident_octets",
        "segment_octets",
    )

    def __init__(self, segment_octets: int = DEFAULT_SEGMENT_OCTETS) -> None:
        self.segment_octets = segment_octets
        self.next_offset = 0
        self._segments = [_Segment(0)]
        # What was appended in one go: first offsets, messages, times of publishing (wall, ms), side by side. The first
        # of them are parked: of these only the first id is kept, and the page file, where it is in one.
        self._firsts = array("Q")
        self._stretches: list[Stretch | int | tuple[int, Page]] = []
        self._times_ms = array("q")
        self._parked_count = 0
        self.resident_octets = 0
        """What can leave memory and is in it, about."""

    @property
    def first_offset(self) -> int:
        """The lowest offset that is kept, or ``next_offset`` where nothing is."""
        return self._segments[0].first_offset

    @property
    def first_id(self) -> int:
        """The log's id of the message at ``first_offset``; there must be one."""
        return self._stretch(0).ids.start

    @property
    def segment_count(self) -> int:
        """How many segments there are, the one that is being filled included."""
        return len(self._segments)

    def begin_at(self, offset: int) -> None:
        """Let the first message get ``offset``; there must be none so far."""
        self.next_offset = self._segments[0].first_offset = offset

    def append(self, stretch: Stretch, wall_ms: int) -> None:
        """Add messages, cut where a segment is full. Where the clock went back, the time stays."""
        if self._times_ms:
            wall_ms = max(wall_ms, self._times_ms[-1])
        while True:
            segment = self._segments[-1]
            if segment.octets >= max(self.segment_octets, 1):
                segment = _Segment(self.next_offset)
                self._segments.append(segment)
            count = self._fitting(stretch, segment)
            part = stretch.part(0, count)
            self._firsts.append(self.next_offset)
            self._stretches.append(part)
            self.resident_octets += part.resident_octets()
            self._times_ms.append(wall_ms)
            self.next_offset += len(part.pieces)
            segment.octets += _octets_of(part)
            segment.last_ms = wall_ms
            if count >= len(stretch.pieces):
                return
            stretch = stretch.part(count, len(stretch.pieces))

    def read(self, offset: int, limit: int) -> Stretch:
        """Return at most ``limit`` messages from ``offset`` on, which is kept; a ParkedStretch if not in memory."""
        place = bisect_right(self._firsts, offset) - 1
        stretch = self._stretch(place)
        start = offset - self._firsts[place]
        return stretch.part(start, min(start + limit, len(stretch.ids)))

    @property
    def memory_offset(self) -> int:
        """The lowest offset that is in memory."""
        return self._firsts[self._parked_count] if self._parked_count < len(self._firsts) else self.next_offset

    def page_out(
        self, octets: int, may_leave: Callable[[Stretch], bool], keep: Callable[[Stretch], Page | None]
    ) -> int:
        """Let about ``octets`` leave memory, the oldest first, up to what may not yet; return how many did.

        ``keep`` says where messages are then: in a page file, or in the log. Neighbours of one segment become
        one: a segment is forgotten as a whole, and nothing else with it.
        """
        start = stop = self._parked_count
        firsts, times_ms = array("Q"), array("q")
        places: list[Stretch | int | tuple[int, Page]] = []
        left, last, next_id = octets, None, -1
        boundaries = {segment.first_offset for segment in self._segments}
        while stop < len(self._stretches) and left > 0:
            stretch = self._stretch(stop)
            if not may_leave(stretch):
                break
            left -= stretch.resident_octets()
            offset, time_ms = self._firsts[stop], self._times_ms[stop]
            for part in neighbours(stretch):
                page = keep(part)
                if (page, time_ms) != last or part.ids.start != next_id or offset in boundaries:
                    firsts.append(offset)
                    times_ms.append(time_ms)
                    places.append(part.ids.start if page is None else (part.ids.start, page))
                last, next_id = (page, time_ms), part.ids[-1] + 1
                offset += len(part.ids)
            stop += 1
        self._firsts[start:stop], self._times_ms[start:stop] = firsts, times_ms
        self._stretches[start:stop] = places
        self._parked_count += len(places)
        self.resident_octets -= octets - left
        return octets - left

    def _stretch(self, place: int) -> Stretch:
        kept = self._stretches[place]
        if isinstance(kept, Stretch):
            return kept
        stop = self._firsts[place + 1] if place + 1 < len(self._firsts) else self.next_offset
        first_id, page = (kept, None) if isinstance(kept, int) else kept
        return ParkedStretch(page, range(first_id, first_id + stop - self._firsts[place]), True, False)

    def last_offset(self) -> int:
        """Return the first offset of what was appended last; ``next_offset`` where nothing is kept."""
        return self._firsts[-1] if self._firsts else self.next_offset

    def published_ms(self, offset: int) -> int:
        """Return when the message at an offset that is kept was published (wall time)."""
        return self._times_ms[bisect_right(self._firsts, offset) - 1]

    def offset_at(self, wall_ms: int) -> int:
        """Return the first offset that was published at ``wall_ms`` or later, ``next_offset`` if there is none."""
        place = bisect_left(self._times_ms, wall_ms)
        return self._firsts[place] if place < len(self._firsts) else self.next_offset

    def trim(self, max_octets: int | None, oldest_ms: int | None) -> list[range]:
        """Forget the oldest segments until the rest has at most ``max_octets`` and none published before ``oldest_ms``.

        The last segment always stays. Returns the ids of what was forgotten.
        """
        segments = self._segments
        total = sum(segment.octets for segment in segments)
        count = 0
        while count < len(segments) - 1:
            oldest = segments[count]
            is_over = max_octets is not None and total > max_octets
            if not is_over and not (oldest_ms is not None and oldest.last_ms < oldest_ms):
                break
            total -= oldest.octets
            count += 1
        if not count:
            return []
        del segments[:count]
        stop = bisect_left(self._firsts, self.first_offset)
        forgotten: list[range] = []
        for place in range(stop):
            stretch = self._stretch(place)
            ids = stretch.ids
            if place >= self._parked_count:
                self.resident_octets -= stretch.resident_octets()
            if forgotten and forgotten[-1].stop == ids.start and ids.step == 1 == forgotten[-1].step:
                forgotten[-1] = range(forgotten[-1].start, ids.stop)
            else:
                forgotten.append(ids)
        del self._firsts[:stop], self._stretches[:stop], self._times_ms[:stop]
        self._parked_count = max(0, self._parked_count - stop)
        return forgotten

    def clear(self) -> None:
        """Forget everything."""
        del self._firsts[:], self._stretches[:], self._times_ms[:]
        self._parked_count = self.resident_octets = 0
        self._segments = [_Segment(self.next_offset)]

    def _fitting(self, stretch: Stretch, segment: _Segment) -> int:
        """Return how many messages of ``stretch`` go into ``segment``; the one that fills it does."""
        room = self.segment_octets - segment.octets
        if _octets_of(stretch) <= room:
            return len(stretch.pieces)
        lead_octets = len(stretch.shape.lead)
        for count, piece in enumerate(stretch.pieces, start=1):
            room -= lead_octets + len(piece)
            if room <= 0:
                return count
        return len(stretch.pieces)


def _octets_of(stretch: Stretch) -> int:
    """Return the size of the messages' content headers and bodies."""
    return sum(map(len, stretch.pieces)) + len(stretch.shape.lead) * len(stretch.pieces)
