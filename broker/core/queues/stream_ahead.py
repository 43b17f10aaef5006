"""What of a stream has left memory, read back for one consumer, ahead of it. RabbitMQ: Streams, "Consuming"."""

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from broker.core.messages import Stretch
from broker.core.queues.paged import FETCH_OCTETS, FETCH_SPANS, Loaded, load
from broker.core.queues.parked import Page, ParkedStretch
from broker.core.queues.stream_log import StreamLog

if TYPE_CHECKING:
    from broker.core.queues.stream import StreamQueue


class ReadAhead:
    """The next messages of one consumer of ``queue``, which is touched when they are there."""

    __slots__ = ("_awaited", "_queue", "_stop", "_stretches")

    def __init__(self, queue: "StreamQueue") -> None:
        self._queue = queue
        self._stretches: deque[tuple[int, Stretch]] = deque()
        self._stop = 0
        self._awaited: object = None
        queue.context.residency.shelf_count += 1

    @property
    def is_waiting(self) -> bool:
        """Whether a read is under way."""
        return self._awaited is not None

    def close(self) -> None:
        """Nobody reads on."""
        self._awaited = None
        self._stretches.clear()
        self._queue.context.residency.shelf_count -= 1

    def take(self, offset: int, limit: int) -> tuple[int, Stretch | None]:
        """Return the next messages from ``offset`` on, at most ``limit``, and the first one's offset.

        Where they cannot be read back that is a later one. No messages: they are being read, or all up to there are
        lost. From ``offset`` on the stream must have them out of memory.
        """
        while self._stretches:
            first, stretch = self._stretches[0]
            if first + len(stretch.ids) > offset:
                start = max(0, offset - first)
                return first + start, stretch.part(start, start + limit)
            self._stretches.popleft()
        if offset < self._stop:
            return self._stop, None
        if self._awaited is None:
            self._read(offset)
        return offset, None

    def _read(self, offset: int) -> None:
        queue = self._queue
        self._stretches.clear()
        self._awaited = awaited = object()
        residency = queue.context.residency
        store = residency.store
        assert store is not None
        page, spans = _places(queue.stream, offset)
        if page is not None:
            page.read(store.pages, partial(self._page_read, awaited, offset, spans))
        else:
            octets = min(FETCH_OCTETS, residency.head_octets)
            convert = partial(load, residency.shapes, True)
            store.reading.read(spans, octets, convert, partial(self._log_read, awaited, offset, spans))

    def _log_read(self, awaited: object, offset: int, spans: list[range], read: tuple[int, list[Loaded]]) -> None:
        covered, loaded = read
        found = [(ids, Stretch(shape, ids, pieces)) for shape, _, ids, pieces in loaded]
        self._arrived(awaited, offset, spans, covered, found)

    def _page_read(self, awaited: object, offset: int, spans: list[range], stretches: list[Stretch]) -> None:
        wanted = spans[0]
        found = []
        for stretch in stretches:
            low, high = max(wanted.start, stretch.ids.start), min(wanted.stop, stretch.ids.stop)
            if low < high:
                part = stretch.part(low - stretch.ids.start, high - stretch.ids.start)
                found.append((part.ids, part))
        self._arrived(awaited, offset, spans, len(wanted), found)

    def _arrived(
        self, awaited: object, offset: int, spans: list[range], covered: int, found: list[tuple[range, Stretch]]
    ) -> None:
        if awaited is not self._awaited:
            return
        self._awaited = None
        queue = self._queue
        at, place = offset, 0
        for ids, stretch in found:
            while ids.start not in spans[place]:
                at += len(spans[place])
                place += 1
            self._stretches.append((at + ids.start - spans[place].start, stretch))
        self._stop = offset + covered
        queue.context.residency.arrived_octets += sum(stretch.resident_octets() for _, stretch in found)
        lost = covered - sum(len(ids) for ids, _ in found)
        if lost and offset >= queue.stream.first_offset:  # not forgotten meanwhile
            queue.context.residency.on_lost(queue, lost)
        queue.touch()


def _places(log: StreamLog, offset: int) -> tuple[Page | None, list[range]]:
    """Where the messages from ``offset`` on are: one page, or ranges of ids in the log."""
    spans: list[range] = []
    while offset < log.memory_offset and len(spans) < FETCH_SPANS:
        stretch = log.read(offset, log.memory_offset - offset)
        assert isinstance(stretch, ParkedStretch)
        if stretch.page is not None:
            return (None, spans) if spans else (stretch.page, [stretch.ids])
        spans.append(stretch.ids)
        offset += len(stretch.ids)
    return None, spans
