"""What came back to a queue and is not in memory: it stands before all that never left, in the queue's order.

Messages come here from a consumer that held more than fits into memory, or leave memory after they came back. Those
that came back behind them wait here, too, in memory or not. RabbitMQ: Consumer Acknowledgements, "Requeueing".
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from broker.core.messages import Stretch
from broker.core.queues.paged import FETCH_OCTETS, FETCH_SPANS, Loaded, load
from broker.core.queues.parked import SPANS_MAX, Page, PageFiller, ParkedRun, ParkedStretch, is_in_log
from broker.core.spans import Spans

if TYPE_CHECKING:
    from broker.core.queues.backlog import Backlog
    from broker.core.queues.classic import ClassicQueue

Entry = Stretch | ParkedRun


def _first_id(entry: Entry) -> int:
    return entry.spans.first_id if isinstance(entry, ParkedRun) else entry.ids.start


class ReturnShelf:
    """Entries behind ``backlog``'s returned messages and before its ready ones; runs of ids, or stretches in memory.

    ``is_by_id`` says that they stand by id, else as they came.
    """

    __slots__ = (
        "_awaited",
        "_backlog",
        "_entries",
        "_is_by_id",
        "_is_changed",
        "_parked_count",
        "_parked_octets",
        "_queue",
    )

    def __init__(self, queue: "ClassicQueue", backlog: "Backlog", *, is_by_id: bool = True) -> None:
        self._queue = queue
        self._backlog = backlog
        self._is_by_id = is_by_id
        self._entries: list[Entry] = []
        self._awaited: object = None
        self._is_changed = False
        self._parked_count = 0
        self._parked_octets = 0.0  # of bodies
        queue.context.residency.shelf_count += 1

    # In

    def goes_before(self, stretch: Stretch) -> bool:
        """Whether ``stretch`` stands before all that is here."""
        return self._is_by_id and bool(self._entries) and stretch.ids.start < _first_id(self._entries[0])

    def put(self, stretch: Stretch) -> None:
        """Add neighbours in their place."""
        entries = self._entries
        self._is_changed = True
        if isinstance(stretch, ParkedStretch):
            self._note_parked(len(stretch.ids), stretch.mean_octets)
        place = len(entries)
        if self._is_by_id and entries and _first_id(entries[-1]) > stretch.ids.start:
            place = bisect_right(entries, stretch.ids.start, key=_first_id)
        before = entries[place - 1] if place else None
        if isinstance(before, ParkedRun):
            if isinstance(stretch, ParkedStretch) and self._is_by_id and _joins(before, stretch):
                before.is_joined_by(len(stretch.ids), stretch.mean_octets)
                before.spans.insert(stretch.ids)
                return
            if self._is_by_id and before.spans.last_id > stretch.ids.start:
                entries.insert(place, before.with_spans(before.spans.split(stretch.ids.start)))
        entries.insert(place, _run_of(stretch) if isinstance(stretch, ParkedStretch) else stretch)

    def _note_parked(self, count: int, mean_octets: float) -> None:
        self._parked_count += count
        self._parked_octets += mean_octets * count

    def put_first(self, stretches: list[Stretch]) -> None:
        """Add stretches before all others, in this order."""
        self._is_changed = True
        self._entries[:0] = stretches

    def page_out(self, octets: int) -> int:
        """Let about ``octets`` leave memory; return how many did. What the log is to give back must be on disk."""
        residency = self._queue.context.residency
        assert residency.store is not None
        durable_id = residency.store.durable_message_id
        filler = PageFiller(residency)
        entries: list[Entry] = []
        paged_octets = done = 0
        for entry in self._entries:
            if paged_octets >= octets:
                break
            if not isinstance(entry, ParkedRun):
                in_log = is_in_log(self._queue, entry)
                if in_log and entry.ids[-1] >= durable_id:
                    break
                paged_octets += entry.resident_octets()
                page = None if in_log else filler.add(entry)
                is_logged, mean_octets = self._queue.is_logged(entry), entry.body_octets() / len(entry.ids)
                self._note_parked(len(entry.ids), mean_octets)
                entry = _run_of(ParkedStretch(page, entry.ids, is_logged, entry.redelivered, mean_octets))
            done += 1
            last = entries[-1] if entries else None
            if isinstance(last, ParkedRun) and self._follows(last, entry):
                last.is_joined_by(entry.spans.message_count, entry.mean_octets)
                for ids in entry.spans.ranges():
                    last.spans.append(ids)
            else:
                entries.append(entry)
        filler.finish()
        self._entries[:done] = entries
        self._is_changed = True
        self._backlog.resident_octets -= paged_octets
        return paged_octets

    def _follows(self, run: ParkedRun, other: ParkedRun) -> bool:
        """Whether ``other``, which stands behind ``run``, may be part of it."""
        alike = run.page is other.page and run.redelivered == other.redelivered and run.is_logged == other.is_logged
        is_free = self._is_by_id or run.spans.last_id < other.spans.first_id
        return alike and is_free and len(run.spans) + len(other.spans) <= SPANS_MAX

    # Out

    def fetch(self) -> None:
        """Have the first messages put before the backlog's others, unless they are under way."""
        if self._awaited is not None or self._moved_in_memory():
            return
        self._is_changed = False
        self._awaited = awaited = object()
        first = self._entries[0]
        assert isinstance(first, ParkedRun)
        store = self._queue.context.residency.store
        assert store is not None
        if first.page is None:
            store.reading.read(
                self._log_ranges(),
                FETCH_OCTETS,
                partial(load, self._queue.context.residency.shapes, False),
                partial(self._log_read, awaited),
            )
        else:
            first.page.read(store.pages, partial(self._page_read, awaited))

    def fetch_now(self) -> None:
        """As ``fetch``, at once: somebody cannot wait."""
        self._awaited = None
        while not self._moved_in_memory():
            first = self._entries[0]
            assert isinstance(first, ParkedRun)
            store = self._queue.context.residency.store
            assert store is not None
            if first.page is None:
                found = store.reading.read_now(self._log_ranges(), FETCH_OCTETS)
                self._take_loaded(*load(self._queue.context.residency.shapes, False, found))
            else:
                self._take_page(first.page, first.page.read_now(store.pages))

    def _moved_in_memory(self) -> bool:
        """Move what is first and in memory to the backlog; True if there was some, or nothing at all is left."""
        count = 0
        moved: list[Stretch] = []
        for entry in self._entries:
            if isinstance(entry, ParkedRun):
                break
            moved.append(entry)
            count += 1
        del self._entries[:count]
        if not self._entries:
            self._queue.context.residency.shelf_count -= 1
            self._backlog.take_returned(moved, is_all=True)
        elif moved:
            self._backlog.take_returned(moved, is_all=False)
        return bool(moved) or not self._entries

    def _log_ranges(self) -> list[range]:
        """The first ranges that the log has."""
        ranges: list[range] = []
        for entry in self._entries:
            if not isinstance(entry, ParkedRun) or entry.page is not None or len(ranges) >= FETCH_SPANS:
                break
            ranges += entry.spans.ranges(FETCH_SPANS - len(ranges))
        return ranges

    def _log_read(self, awaited: object, read: tuple[int, list[Loaded]]) -> None:
        if awaited is not self._awaited:
            return
        self._awaited = None
        if not self._is_changed:
            self._take_loaded(*read)
        self.fetch()
        self._queue.touch()

    def _page_read(self, awaited: object, stretches: list[Stretch]) -> None:
        if awaited is not self._awaited:
            return
        self._awaited = None
        first = self._entries[0]
        if not self._is_changed and isinstance(first, ParkedRun) and first.page is not None:
            self._take_page(first.page, stretches)
        self.fetch()
        self._queue.touch()

    def _take_loaded(self, covered: int, loaded: list[Loaded]) -> None:
        """Put what was read of the log in the place of the first runs."""
        queue = self._queue
        age_ms = queue.context.clock.age_ms
        stretches = [
            queue.dated(Stretch(shape, ids, pieces, True), age_ms(ids[-1], published_ms))
            for shape, published_ms, ids, pieces in loaded
        ]
        left = covered
        while left:
            run = self._entries[0]
            assert isinstance(run, ParkedRun)
            count = min(left, run.spans.message_count)
            run.spans.drop(count)
            left -= count
            if not run.spans.message_count:
                del self._entries[0]
        self._entries[:0] = stretches
        self._arrived(covered, stretches)

    def _take_page(self, page: Page, stretches: list[Stretch]) -> None:
        """Put what was read of a page in the places of all runs that it has."""
        messages = {message_id: stretch for stretch in stretches for message_id in stretch.ids}
        entries: list[Entry] = []
        arrived: list[Stretch] = []
        covered = 0
        for entry in self._entries:
            if not isinstance(entry, ParkedRun) or entry.page is not page:
                entries.append(entry)
                continue
            covered += entry.spans.message_count
            for message_id in (message_id for ids in entry.spans.ranges() for message_id in ids):
                stretch = messages.get(message_id)
                if stretch is None:
                    continue
                place = message_id - stretch.ids.start
                one = stretch.part(place, place + 1)
                if not one.redelivered:
                    one = Stretch(one.shape, one.ids, one.pieces, True, one.deadline_ms)
                arrived.append(one)
                entries.append(one)
        self._entries = entries
        self._arrived(covered, arrived)

    def _arrived(self, covered: int, stretches: list[Stretch]) -> None:
        self._parked_count -= covered
        self._parked_octets -= sum(stretch.body_octets() for stretch in stretches)
        if not self._parked_count:
            # What was supposed of bodies that nobody had looked at, and of those that are lost, was that much too much.
            self._queue.counted(-round(self._parked_octets))
            self._parked_octets = 0.0
        octets = sum(stretch.resident_octets() for stretch in stretches)
        self._backlog.resident_octets += octets
        self._queue.context.residency.arrived_octets += octets
        lost = covered - sum(len(stretch.ids) for stretch in stretches)
        if lost:
            self._queue.lost(lost)

    def clear(self) -> None:
        """Forget all."""
        self._awaited = None
        self._entries.clear()
        self._queue.context.residency.shelf_count -= 1

    # Of all

    def stretches(self) -> list[Stretch]:
        """Return what is here in memory."""
        return [entry for entry in self._entries if not isinstance(entry, ParkedRun)]

    def places(self) -> Iterator[Entry]:
        """Yield all that is here, in order."""
        return iter(self._entries)

    def logged_ids(self) -> Iterator[range]:
        """Yield the ids of those that are not in memory and that the log is to be told about."""
        for entry in self._entries:
            if isinstance(entry, ParkedRun) and entry.is_logged:
                yield from entry.spans.ranges()

    def parked_body_octets(self) -> int:
        """Return the size of the bodies that are not in memory, by their means where they came so.

        When the last of them is back the queue is told by how much that was wrong.
        """
        return round(self._parked_octets)


def _joins(run: ParkedRun, stretch: ParkedStretch) -> bool:
    alike = run.page is stretch.page and run.redelivered == stretch.redelivered
    return alike and run.is_logged == stretch.is_logged and len(run.spans) < SPANS_MAX


def _run_of(stretch: ParkedStretch) -> ParkedRun:
    spans = Spans()
    spans.append(stretch.ids)
    return ParkedRun(stretch.page, spans, stretch.is_logged, stretch.redelivered, stretch.mean_octets)
