"""A queue's ready messages, in the order in which they leave.

The plain backlog goes by id; priority.py has the one that goes by priority first. Nothing here knows consumers,
limits or the log.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from broker.core.messages import Stretch
from broker.core.queues.came_back import ReturnShelf
from broker.core.queues.looking import Place
from broker.core.queues.paged import Shelf
from broker.core.queues.parked import ParkedRun, ParkedStretch

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue
    from broker.core.queues.sizes import Sizes


def _first_id(stretch: Stretch) -> int:
    return stretch.ids.start


class Backlog:
    """Ready messages by id.

    What was never delivered stands in ``_ready``; what came back stands in ``_returned``, by id. Messages leave from
    the lowest id on, so all that came back is older than all that never left. What came back and is too much for
    memory stands in ``_back``, between the two.

    What is too much for memory stands in ``_shelf``, between ``_ready`` and ``_tail``; the head may then have to be
    fetched first, which ``is_at_hand`` tells. Where there is no shelf, ``_tail`` is ``_ready``.
    """

    __slots__ = ("_back", "_ready", "_ready_at", "_returned", "_shelf", "_tail", "resident_octets")

    def __init__(self) -> None:
        self._ready: deque[Stretch] = deque()
        self._ready_at = 0
        self._returned: deque[Stretch] = deque()
        self._back: ReturnShelf | None = None
        self._tail = self._ready
        self._shelf: Shelf | None = None
        self.resident_octets = 0
        """What can leave memory and is in it, about."""

    @property
    def is_empty(self) -> bool:
        """Whether no message is left."""
        return not self._ready and not self._returned and self._shelf is None and self._back is None

    @property
    def is_at_hand(self) -> bool:
        """Whether the next message is in memory; if not, and there is one, it is being fetched."""
        return bool(self._returned or (self._ready and self._back is None))

    def append(self, stretch: Stretch) -> None:
        """Add messages with higher ids than all before."""
        self._tail.append(stretch)
        self.resident_octets += stretch.resident_octets()

    def put_back(self, stretch: Stretch) -> None:
        """Add messages that left and came back, in their places."""
        for part in stretch.returned():
            self.resident_octets += part.resident_octets()
            if self._back is not None and not self._back.goes_before(part):
                self._back.put(part)
            elif not self._returned or part.ids.start > self._returned[-1].ids.start:
                self._returned.append(part)
            else:
                place = bisect_left(self._returned, part.ids.start, key=_first_id)
                self._returned.insert(place, part)

    def put_back_parked(self, queue: "ClassicQueue", stretch: ParkedStretch) -> None:
        """As ``put_back``, for messages that are not in memory."""
        if self._back is None:
            self._back = ReturnShelf(queue, self)
        for part in stretch.returned():
            behind: list[Stretch] = []
            while self._returned and self._returned[-1].ids.start > part.ids.start:
                behind.append(self._returned.pop())
            self._back.put_first(behind[::-1])
            self._back.put(part)
        if not self._returned:
            self._back.fetch()

    def head(self) -> Stretch:
        """Return the stretch that the next message is of; some of its first messages may have left."""
        return self._returned[0] if self._returned else self._ready[0]

    def head_count(self) -> int:
        """Return how many messages are left of the first stretch."""
        if self._returned:
            return len(self._returned[0].pieces)
        return len(self._ready[0].pieces) - self._ready_at

    def take(self, limit: int) -> Stretch:
        """Take at most ``limit`` messages of the first stretch."""
        if self._returned:
            return self._take_returned(limit)
        stretch, at = self._ready[0], self._ready_at
        if len(stretch.pieces) - at <= limit:
            self._ready.popleft()
            self._ready_at = 0
            octets = stretch.resident_octets()
            self.resident_octets -= octets
            if self._shelf is not None:
                self._shelf.head_octets -= octets
                self._shelf.fetch()
            return stretch.part(at, len(stretch.pieces))
        self._ready_at = at + limit
        return stretch.part(at, at + limit)

    def _take_returned(self, limit: int) -> Stretch:
        stretch = self._returned[0]
        self.resident_octets -= stretch.resident_octets()
        if len(stretch.pieces) > limit:
            rest = self._returned[0] = stretch.part(limit, len(stretch.pieces))
            self.resident_octets += rest.resident_octets()
            return stretch.part(0, limit)
        self._returned.popleft()
        if self._back is not None and not self._returned:
            self._back.fetch()
        return stretch

    def stretches(self) -> list[Stretch]:
        """Return all messages that are in memory."""
        ready = list(self._ready)
        if self._ready_at:
            ready[0] = ready[0].part(self._ready_at, len(ready[0].pieces))
        if self._tail is not self._ready:
            ready += self._tail
        return [*self._returned, *([] if self._back is None else self._back.stretches()), *ready]

    def places(self) -> Iterator[Place]:
        """Yield all messages in the order in which they leave, in memory or not; see looking.py."""
        yield from self._returned
        if self._back is not None:
            yield from self._back.places()
        ready = iter(self._ready)
        if self._ready_at:
            first = next(ready)
            yield first.part(self._ready_at, len(first.pieces))
        yield from ready
        if self._shelf is not None:
            yield from self._shelf.sections
            yield from self._tail

    def paged_ids(self) -> list[range]:
        """Return the ids of messages that are in the log, and not in memory."""
        back = [] if self._back is None else list(self._back.logged_ids())
        return back if self._shelf is None else back + list(self._shelf.logged_ids())

    def body_octets(self) -> int:
        """Return the size of all bodies, but for those that nobody has counted; ``count`` does."""
        octets = sum(stretch.body_octets() for stretch in self.stretches())
        octets += 0 if self._back is None else self._back.parked_body_octets()
        return octets if self._shelf is None else octets + self._shelf.body_octets

    def add_sizes(self, ready: "Sizes", paged: "Sizes", *, may_persist: bool, keeps_all: bool) -> None:
        """Add all messages to the sizes of those in memory, or of those that are not; nothing is read for it."""
        if self._ready_at:
            first = self._ready[0]
            head = first.part(self._ready_at, len(first.pieces))
            ready.add((head,), may_persist=may_persist, keeps_all=keeps_all)
            ready.add(islice(self._ready, 1, None), may_persist=may_persist, keeps_all=keeps_all)
        else:
            ready.add(self._ready, may_persist=may_persist, keeps_all=keeps_all)
        ready.add(self._returned, may_persist=may_persist, keeps_all=keeps_all)
        if self._back is not None:
            ready.add(self._back.stretches(), may_persist=may_persist, keeps_all=keeps_all)
            for entry in self._back.places():
                if isinstance(entry, ParkedRun):
                    paged.add_run(entry)
        if self._shelf is not None:
            ready.add(self._tail, may_persist=may_persist, keeps_all=keeps_all)
            paged.add_shelf(self._shelf)

    def count(self) -> None:
        """Have bodies counted that nobody has, beside all else; the queue is told what is found."""
        if self._shelf is not None:
            self._shelf.count()

    def clear(self) -> None:
        """Forget all messages."""
        if self._shelf is not None:
            self._shelf.clear()
            self._shelf = None
        if self._back is not None:
            self._back.clear()
            self._back = None
        self._ready.clear()
        self._tail = self._ready
        self._returned.clear()
        self._ready_at = 0
        self.resident_octets = 0

    # What leaves memory, and comes back

    def page_out(self, queue: "ClassicQueue", octets: int, head_octets: int) -> int:
        """Let about ``octets`` leave memory, behind a head of ``head_octets``; return how many did.

        What the log is to give back leaves only once it is on disk.
        """
        if self._shelf is None and self.resident_octets <= head_octets:
            return 0
        paged_octets = self._page_out_tail(queue, octets, head_octets)
        if paged_octets < octets and (self._returned or self._back is not None):
            paged_octets += self._page_out_returned(queue, octets - paged_octets, head_octets)
        return paged_octets

    def _page_out_tail(self, queue: "ClassicQueue", octets: int, head_octets: int) -> int:
        residency, is_logged = queue.context.residency, queue.is_logged
        assert residency.store is not None
        durable_id = residency.store.durable_message_id
        shelf = self._shelf or self._new_shelf(queue, head_octets)
        tail, paged_octets = self._tail, 0
        while tail and paged_octets < octets:
            stretch = tail[0]
            logged = is_logged(stretch)
            in_log = logged and residency.is_logging
            if in_log and stretch.ids[-1] >= durable_id:
                break
            tail.popleft()
            size = stretch.resident_octets()
            paged_octets += size
            shelf.put(stretch, size, is_logged=logged, is_in_log=in_log)
        self.resident_octets -= paged_octets
        if shelf.sections:
            shelf.finish_put()
        else:
            self._drop_shelf()
        return paged_octets

    def _page_out_returned(self, queue: "ClassicQueue", octets: int, head_octets: int) -> int:
        """Let what came back leave memory, but for a head of ``head_octets``."""
        kept: deque[Stretch] = deque()
        kept_octets = 0
        while self._returned and kept_octets < head_octets:
            stretch = self._returned.popleft()
            kept_octets += stretch.resident_octets()
            kept.append(stretch)
        behind, self._returned = self._returned, kept
        if self._back is None:
            if not behind:
                return 0
            self._back = self._new_back(queue)
        self._back.put_first(list(behind))
        return self._back.page_out(octets)

    def _new_back(self, queue: "ClassicQueue") -> ReturnShelf:
        return ReturnShelf(queue, self)

    def restore_logged(
        self, queue: "ClassicQueue", firsts: Sequence[int], counts: Sequence[int], redelivered: bool
    ) -> None:
        """Add ranges of messages that the log has, with higher ids than all before. For the start; ``fetch`` follows
        the last.
        """
        shelf = self._shelf
        if shelf is None:
            self._tail = deque()
            shelf = self._shelf = Shelf(queue, self, 0)
        shelf.restore_logged(firsts, counts, redelivered)

    def fetch(self) -> None:
        """Have the head read back, if it is not in memory."""
        if self._back is not None and not self._returned:
            self._back.fetch()
        if self._shelf is not None:
            self._shelf.fetch()

    def fetch_now(self) -> None:
        """Read the head back at once, if it is not in memory. All may be lost, and the queue empty then."""
        if self._back is not None:
            self._back.fetch_now()
        if self._shelf is not None:
            self._shelf.fetch_now()

    def take_back(self, stretches: list[Stretch], octets: int) -> None:
        """Messages are in memory again; for the shelf."""
        self._ready.extend(stretches)
        self.resident_octets += octets
        if self._shelf is not None and not self._shelf.sections:
            self._drop_shelf()

    def take_returned(self, stretches: list[Stretch], *, is_all: bool) -> None:
        """What came back is in memory again, behind what is so; ``is_all`` if nothing else is left. For the shelf."""
        self._returned.extend(stretches)
        if is_all:
            self._back = None

    def _new_shelf(self, queue: "ClassicQueue", head_octets: int) -> Shelf:
        """Make one behind a head of ``head_octets``."""
        head: deque[Stretch] = deque()
        octets = 0
        while self._ready and octets < head_octets:
            stretch = self._ready.popleft()
            octets += stretch.resident_octets()
            head.append(stretch)
        self._tail, self._ready = self._ready, head
        self._shelf = Shelf(queue, self, octets)
        return self._shelf

    def _drop_shelf(self) -> None:
        """Nothing is on it."""
        assert self._shelf is not None
        self._shelf.clear()
        self._shelf = None
        if self._ready:
            self._ready.extend(self._tail)
        else:
            self._ready = self._tail
        self._tail = self._ready
