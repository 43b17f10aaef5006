"""Delayed messages that are not in memory: when they are due, and where they can be read.

They lie in blocks, each ordered by time, some thousand messages that left memory together; of a message 20 octets stay.
Those that are due next are read back a little before. RabbitMQ: rabbitmq_delayed_message_exchange, which keeps all of
them in memory.
"""

import heapq
from array import array
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from broker.core.messages import Stretch
from broker.core.queues.paged import FETCH_OCTETS, Loaded, load
from broker.core.queues.parked import Page
from broker.core.residency import Residency

PAGE_OCTETS: Final = 1 << 16
"""Of a page file here: it is read for each of its messages that is due at another time."""
READS_MAX: Final = 64
"""Page files that one fetch reads."""


class Due(NamedTuple):
    """Messages with neighbouring ids that are due at one time (monotonic, ms)."""

    due_ms: int
    ids: range


class _Block:
    """Messages that left memory together, ordered by time; ``page`` is None where the log has them."""

    __slots__ = ("_counts", "_dues_ms", "_firsts", "_place", "octets_each", "page")

    def __init__(self, page: Page | None, dues: Iterable[Due], octets: int) -> None:
        self.page = page
        self._dues_ms, self._firsts, self._counts = array("q"), array("Q"), array("I")
        self._place = 0
        for due_ms, ids in dues:
            is_neighbour = bool(self._firsts) and self._firsts[-1] + self._counts[-1] == ids.start
            if is_neighbour and self._dues_ms[-1] == due_ms:
                self._counts[-1] += len(ids)
            else:
                self._dues_ms.append(due_ms)
                self._firsts.append(ids.start)
                self._counts.append(len(ids))
        self.octets_each = octets // max(1, sum(self._counts))

    def __lt__(self, other: "_Block") -> bool:
        return self.key < other.key

    @property
    def key(self) -> tuple[int, int]:
        """Time and id of its first message."""
        return self._dues_ms[self._place], self._firsts[self._place]

    @property
    def is_empty(self) -> bool:
        """Whether all have left."""
        return self._place == len(self._firsts)

    def pop(self, limit: int) -> Due:
        """Take the first messages out, at most ``limit``."""
        place = self._place
        first, count = self._firsts[place], min(limit, self._counts[place])
        if count < self._counts[place]:
            self._firsts[place] += count
            self._counts[place] -= count
        else:
            self._place += 1
        return Due(self._dues_ms[place], range(first, first + count))


class ParkedDelays:
    """All blocks of one exchange, and the fetch that is under way, one at a time."""

    __slots__ = ("_awaited", "_awaited_key", "_blocks", "_found", "_lost_count", "_reads", "_residency", "_then")

    def __init__(self, residency: Residency, then: Callable[[list[tuple[int, Stretch]], int], None]) -> None:
        """``then(messages with their times, how many are lost)`` is called when a fetch is done."""
        self._residency = residency
        self._then = then
        self._blocks: list[_Block] = []
        self._awaited: object = None
        self._awaited_key: tuple[int, int] | None = None
        self._found: list[tuple[int, Stretch]] = []
        self._lost_count = self._reads = 0

    @property
    def first_key(self) -> tuple[int, int] | None:
        """Time and id of the first message that is not in memory, None if all are."""
        if self._awaited_key is not None:
            return self._awaited_key
        return self._blocks[0].key if self._blocks else None

    @property
    def is_fetching(self) -> bool:
        """Whether messages are being read."""
        return self._awaited is not None

    def put(self, page: Page | None, dues: Iterable[Due], octets: int) -> None:
        """Add messages that are in one place, ordered by time."""
        block = _Block(page, dues, octets)
        if not block.is_empty:
            heapq.heappush(self._blocks, block)

    def clear(self) -> None:
        """Forget all."""
        self._blocks.clear()
        self._awaited = self._awaited_key = None

    def fetch(self) -> None:
        """Have the first messages read, unless some are under way."""
        if self._awaited is not None or not self._blocks:
            return
        self._awaited = awaited = object()
        self._awaited_key = self._blocks[0].key
        self._found, self._lost_count = [], 0
        logged, paged = self._take_next()
        store = self._residency.store
        assert store is not None
        self._reads = len(paged) + bool(logged)
        if logged:
            self._read_log(awaited, sorted(logged, key=_first_id))
        for page, dues in paged.items():
            page.read(store.pages, partial(self._page_read, awaited, dues))

    def _take_next(self) -> tuple[list[Due], dict[Page, list[Due]]]:
        """Take out what comes next by time, some megabytes."""
        logged: list[Due] = []
        paged: dict[Page, list[Due]] = {}
        left = FETCH_OCTETS
        while self._blocks and left > 0 and len(paged) < READS_MAX:
            block = self._blocks[0]
            due = block.pop(max(1, left // max(1, block.octets_each)))
            left -= len(due.ids) * block.octets_each
            if block.page is None:
                logged.append(due)
            else:
                paged.setdefault(block.page, []).append(due)
            if block.is_empty:
                heapq.heappop(self._blocks)
            else:
                heapq.heapreplace(self._blocks, block)
        return logged, paged

    def _read_log(self, awaited: object, dues: list[Due]) -> None:
        store = self._residency.store
        assert store is not None
        convert = partial(load, self._residency.shapes, True)
        spans = [due.ids for due in dues]
        store.reading.read(spans, FETCH_OCTETS, convert, partial(self._log_read, awaited, dues))

    def _log_read(self, awaited: object, dues: list[Due], read: tuple[int, list[Loaded]]) -> None:
        if awaited is not self._awaited:
            return
        covered, loaded = read
        done: list[Due] = []
        while covered:
            due = dues[len(done)]
            if len(due.ids) > covered:
                dues[len(done)] = Due(due.due_ms, due.ids[covered:])
                done.append(Due(due.due_ms, due.ids[:covered]))
                self._match(done, [Stretch(shape, ids, pieces) for shape, _, ids, pieces in loaded])
                self._read_log(awaited, dues[len(done) - 1 :])
                return
            covered -= len(due.ids)
            done.append(due)
        self._match(done, [Stretch(shape, ids, pieces) for shape, _, ids, pieces in loaded])
        if len(done) < len(dues):
            self._read_log(awaited, dues[len(done) :])
        else:
            self._one_is_read()

    def _page_read(self, awaited: object, dues: list[Due], stretches: list[Stretch]) -> None:
        if awaited is self._awaited:
            self._match(sorted(dues, key=_first_id), sorted(stretches, key=lambda stretch: stretch.ids.start))
            self._one_is_read()

    def _match(self, dues: list[Due], stretches: list[Stretch]) -> None:
        """Give each of ``stretches`` its time; both ascend by id."""
        place = found = 0
        for due_ms, ids in dues:
            while place < len(stretches) and stretches[place].ids.stop <= ids.start:
                place += 1
            at = place
            while at < len(stretches) and stretches[at].ids.start < ids.stop:
                stretch = stretches[at]
                first = stretch.ids.start
                part = stretch.part(max(0, ids.start - first), min(len(stretch.ids), ids.stop - first))
                self._found.append((due_ms, part))
                found += len(part.ids)
                at += 1
        self._lost_count += sum(len(due.ids) for due in dues) - found

    def _one_is_read(self) -> None:
        self._reads -= 1
        if self._reads:
            return
        self._awaited = self._awaited_key = None
        found, self._found = self._found, []
        self._then(found, self._lost_count)


def _first_id(due: Due) -> int:
    return due.ids.start
