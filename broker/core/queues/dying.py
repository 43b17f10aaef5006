"""What has died in a queue and waits to be dead-lettered, in the order of death.

A dead letter is a publish for which nobody is paused, so many at once could come faster than the disk takes them. They
wait here while there is no room, as ids: the log has them, or a page file. In the log they belong to their queue until
the batch that publishes them as dead letters settles them there: a crash gives them back, as deliveries that nobody
settled. RabbitMQ: Dead Letter Exchanges, "Safety".
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from broker.core.messages import Stretch
from broker.core.queues.paged import FETCH_OCTETS, FETCH_SPANS, PAGE_OCTETS, Loaded, load
from broker.core.queues.parked import SPANS_MAX, Page, PageFiller, ParkedRun, ParkedStretch, is_in_log, neighbours
from broker.core.spans import Spans

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue

STEP_COUNT: Final = 1024
"""Messages of one queue that are dead-lettered in one go, so that others get their turn."""
STEP_OCTETS: Final = 1 << 20
"""About how much is dead-lettered before somebody looks whether there is room still."""

Entry = Stretch | ParkedRun
Bury = Callable[[Stretch, str], None]


class Room(Protocol):
    """Says whether there is room for what nobody is paused for, and who must be paused for it after all."""

    def is_open(self) -> bool:
        """Whether dead letters may be published now. They may not while somebody waits who came before."""
        ...

    def wait(self, then: Callable[[], None]) -> None:
        """Have ``then()`` called, in the order of the calls, when there is room."""
        ...

    def press(self, who: object) -> None:
        """Something was published to ``who``, which is behind: whoever did so is to wait until it has caught up."""
        ...

    def caught_up(self, who: object) -> None:
        """``who`` is behind no more."""
        ...


class EndlessRoom:
    """There is always room."""

    def is_open(self) -> bool:
        """Return True."""
        return True

    def wait(self, then: Callable[[], None]) -> None:
        """Go on at once."""
        then()

    def press(self, who: object) -> None:
        """Pause nobody."""

    def caught_up(self, who: object) -> None:
        """Nobody was paused."""


class Dying:
    """The dead of one queue, with the reason of each. They are no longer among its ready or unacked messages."""

    __slots__ = ("_awaited", "_entries", "_filler", "_open", "_queue")

    def __init__(self, queue: "ClassicQueue") -> None:
        self._queue = queue
        self._entries: deque[tuple[str, Entry]] = deque()
        self._awaited: object = None
        self._filler: PageFiller | None = None
        self._open: Page | None = None
        queue.context.residency.shelf_count += 1

    @property
    def message_count(self) -> int:
        """How many wait."""
        return sum(
            entry.spans.message_count if isinstance(entry, ParkedRun) else len(entry.ids) for _, entry in self._entries
        )

    # In

    def add(self, stretch: Stretch, reason: str) -> None:
        """Add messages, which count as unacked so far, behind all others; they leave memory."""
        queue = self._queue
        queue.unacked_count -= len(stretch.ids)
        if isinstance(stretch, ParkedStretch):
            self._append(reason, stretch.page, stretch.ids, stretch.is_logged, stretch.redelivered)
            return
        store = queue.context.residency.store
        assert store is not None
        in_log = is_in_log(queue, stretch) and max(stretch.ids[-1], stretch.ids[0]) < store.durable_message_id
        is_logged = queue.is_logged(stretch)
        for part in neighbours(stretch):
            page = None if in_log else self._put_on_page(part)
            self._append(reason, page, part.ids, is_logged, part.redelivered)

    def _append(self, reason: str, page: Page | None, ids: range, is_logged: bool, redelivered: bool) -> None:
        if self._entries:
            last_reason, last = self._entries[-1]
            if (
                last_reason == reason
                and isinstance(last, ParkedRun)
                and (last.page, last.is_logged, last.redelivered) == (page, is_logged, redelivered)
                and len(last.spans) < SPANS_MAX
            ):
                last.spans.append(ids)
                return
        spans = Spans()
        spans.append(ids)
        self._entries.append((reason, ParkedRun(page, spans, is_logged, redelivered)))

    def _put_on_page(self, part: Stretch) -> Page:
        if self._filler is None:
            residency = self._queue.context.residency
            self._filler = PageFiller(residency, min(PAGE_OCTETS, residency.head_octets))
        self._open = self._filler.add(part)
        return self._open

    # Out

    def go_on(self, bury: Bury, room: Room) -> bool:
        """Give what is in memory to ``bury(stretch, reason)``, as long as there is room, and have more read.

        True if all that is possible now was done: nothing is left, or it is being read, or there is no room. ``bury``
        settles the messages, which count as unacked again.
        """
        left = STEP_COUNT
        while self._entries:
            reason, entry = self._entries[0]
            if isinstance(entry, ParkedRun):
                if self._awaited is not None or not self._fetch():
                    return True
                continue
            if left <= 0:
                return False
            if not room.is_open():
                return True
            count = min(left, fitting(entry))
            part = entry.part(0, count)
            left -= count
            if count == len(entry.ids):
                self._entries.popleft()
            else:
                self._entries[0] = reason, entry.part(count, len(entry.ids))
            self._queue.unacked_count += count
            bury(part, reason)
        return True

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._entries

    @property
    def is_at_hand(self) -> bool:
        """Whether the first are in memory."""
        return bool(self._entries) and not isinstance(self._entries[0][1], ParkedRun)

    def end(self) -> None:
        """Nothing is left, or what is left is forgotten."""
        self._awaited = None
        self._entries.clear()
        self._queue.context.residency.shelf_count -= 1

    def _fetch(self) -> bool:
        """Have the first messages read back, a part of them at least; True if they are here already."""
        residency = self._queue.context.residency
        store = residency.store
        assert store is not None
        _, run = self._entries[0]
        assert isinstance(run, ParkedRun)
        self._awaited = awaited = object()
        if run.page is None:
            store.reading.read(
                run.spans.ranges(FETCH_SPANS),
                min(FETCH_OCTETS, residency.head_octets),
                partial(load, residency.shapes, False),
                partial(self._log_read, awaited),
            )
        else:
            run.page.read(store.pages, partial(self._page_read, awaited, run.page))
        return self._awaited is None

    def _log_read(self, awaited: object, read: tuple[int, list[Loaded]]) -> None:
        if awaited is not self._awaited:
            return
        self._awaited = None
        covered, loaded = read
        reason, run = self._entries[0]
        assert isinstance(run, ParkedRun)
        stretches = [Stretch(shape, ids, pieces, run.redelivered) for shape, _, ids, pieces in loaded]
        missing = _missing(run.spans.part(0, covered).ranges(), [stretch.ids for stretch in stretches])
        run.spans.drop(covered)
        if not run.spans.message_count:
            self._entries.popleft()
        self._entries.extendleft((reason, stretch) for stretch in reversed(stretches))
        self._arrived(stretches, missing, is_logged=run.is_logged)

    def _page_read(self, awaited: object, page: Page, stretches: list[Stretch]) -> None:
        """Put what was read of a page in the places of all that it has."""
        if awaited is not self._awaited:
            return
        self._awaited = None
        if page is self._open:
            self._filler = self._open = None  # What dies from now on goes to another, or this would be read again.
        messages = {message_id: stretch for stretch in stretches for message_id in stretch.ids}
        entries, self._entries = self._entries, deque()
        for reason, entry in entries:
            if not isinstance(entry, ParkedRun) or entry.page is not page:
                self._entries.append((reason, entry))
                continue
            found: list[Stretch] = []
            missing: list[range] = []
            for message_id in (message_id for ids in entry.spans.ranges() for message_id in ids):
                stretch = messages.get(message_id)
                if stretch is None:
                    missing.append(range(message_id, message_id + 1))
                else:
                    place = message_id - stretch.ids.start
                    found.append(stretch.part(place, place + 1))
            self._entries.extend((reason, stretch) for stretch in found)
            self._arrived(found, missing, is_logged=entry.is_logged)

    def _arrived(self, stretches: list[Stretch], missing: list[range], *, is_logged: bool) -> None:
        queue = self._queue
        queue.context.residency.arrived_octets += sum(stretch.resident_octets() for stretch in stretches)
        for ids in missing:
            # Nobody can read them any more: they are dead, and no letter tells of it.
            queue.unacked_count += len(ids)
            queue.settle(ParkedStretch(None, ids, is_logged, True))
        if missing:
            queue.context.residency.on_lost(queue, sum(map(len, missing)))
        queue.touch()


def fitting(stretch: Stretch) -> int:
    """Return how many messages of a stretch, one at least, are dead-lettered before the next look for room."""
    count = len(stretch.pieces)
    return max(1, min(count, count * STEP_OCTETS // stretch.resident_octets()))


def _missing(wanted: list[range], found: list[range]) -> list[range]:
    """Return what of ``wanted``, ranges, is not in ``found``, neighbours in the same order."""
    missing: list[range] = []
    left = deque(found)
    for ids in wanted:
        start = ids.start
        while left and start <= left[0].start < ids.stop:
            if left[0].start > start:
                missing.append(range(start, left[0].start))
            if left[0].stop > ids.stop:  # Neighbours of two ranges were joined.
                left[0] = range(ids.stop, left[0].stop)
                start = ids.stop
                break
            start = left.popleft().stop
        if start < ids.stop:
            missing.append(range(start, ids.stop))
    return missing
