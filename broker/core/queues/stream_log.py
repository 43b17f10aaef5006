"""A stream's messages by offset, in segments: the oldest segment goes as a whole when the stream is over its limits.

It holds messages in memory. Whoever reads gets a slice of what was appended in one go, so that a body could as well
be read back from the log by its id. It knows no consumers. RabbitMQ: Streams, "Retention".
"""

from bisect import bisect_left, bisect_right
from typing import Final

from broker.core.messages import Stretch

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

    __slots__ = ("_firsts", "_segments", "_stretches", "_times_ms", "next_offset", "segment_octets")

    def __init__(self, segment_octets: int = DEFAULT_SEGMENT_OCTETS) -> None:
        self.segment_octets = segment_octets
        self.next_offset = 0
        self._segments = [_Segment(0)]
        # What was appended in one go: first offsets, messages, times of publishing (wall, ms), side by side.
        self._firsts: list[int] = []
        self._stretches: list[Stretch] = []
        self._times_ms: list[int] = []

    @property
    def first_offset(self) -> int:
        """The lowest offset that is kept, or ``next_offset`` where nothing is."""
        return self._segments[0].first_offset

    @property
    def first_id(self) -> int:
        """The log's id of the message at ``first_offset``; there must be one."""
        return self._stretches[0].ids.start

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
            self._times_ms.append(wall_ms)
            self.next_offset += len(part.pieces)
            segment.octets += _octets_of(part)
            segment.last_ms = wall_ms
            if count >= len(stretch.pieces):
                return
            stretch = stretch.part(count, len(stretch.pieces))

    def read(self, offset: int, limit: int) -> Stretch:
        """Return at most ``limit`` messages from ``offset`` on, which is kept."""
        place = bisect_right(self._firsts, offset) - 1
        stretch = self._stretches[place]
        start = offset - self._firsts[place]
        return stretch.part(start, min(start + limit, len(stretch.pieces)))

    def last_offset(self) -> int:
        """Return the first offset of what was appended last; ``next_offset`` where nothing is kept."""
        return self._firsts[-1] if self._firsts else self.next_offset

    def offset_at(self, wall_ms: int) -> int:
        """Return the first offset that was published at ``wall_ms`` or later, ``next_offset`` if there is none."""
        place = bisect_left(self._times_ms, wall_ms)
        return self._firsts[place] if place < len(self._firsts) else self.next_offset

    def trim(self, max_octets: int | None, oldest_ms: int | None) -> list[Stretch]:
        """Forget the oldest segments until the rest has at most ``max_octets`` and none published before ``oldest_ms``.

        The last segment always stays. Returns what was forgotten.
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
        forgotten = self._stretches[:stop]
        del self._firsts[:stop], self._stretches[:stop], self._times_ms[:stop]
        return forgotten

    def clear(self) -> None:
        """Forget everything."""
        self._firsts.clear()
        self._stretches.clear()
        self._times_ms.clear()
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
