"""Ready messages of a queue with priorities: the highest priority first, in order of id within it.

RabbitMQ: Classic Queues Support Priorities.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.core.messages import Stretch
from broker.core.queues.backlog import Backlog
from broker.core.queues.looking import Place
from broker.core.queues.sizes import Sizes

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue


class PriorityBacklog:
    """One backlog for each priority in use; which of them hold messages is a number with a bit for each.

    Finding the highest costs the same however many there are. A priority above ``highest`` counts as ``highest``,
    and a message without one as 0.
    """

    __slots__ = ("_held", "_highest", "_levels")

    def __init__(self, highest: int) -> None:
        self._highest = highest
        self._held = 0
        self._levels: dict[int, Backlog] = {}

    @property
    def resident_octets(self) -> int:
        """What can leave memory and is in it, about."""
        return sum(level.resident_octets for level in self._levels.values())

    @property
    def is_at_hand(self) -> bool:
        """Whether the next message is in memory; if not, and there is one, it is being fetched."""
        while self._held:
            priority = self._held.bit_length() - 1
            level = self._levels[priority]
            if not level.is_empty:
                return level.is_at_hand
            self._held &= ~(1 << priority)  # All that was paged of it is lost.
        return False

    def append(self, stretch: Stretch) -> None:
        """Add messages with higher ids than all before."""
        self._level_of(stretch).append(stretch)

    def put_back(self, stretch: Stretch) -> None:
        """Add messages that left and came back, in their places."""
        self._level_of(stretch).put_back(stretch)

    def head(self) -> Stretch:
        """Return the stretch that the next message is of; some of its first messages may have left."""
        return self._levels[self._held.bit_length() - 1].head()

    def head_count(self) -> int:
        """Return how many messages are left of the first stretch."""
        return self._levels[self._held.bit_length() - 1].head_count()

    def take(self, limit: int) -> Stretch:
        """Take at most ``limit`` messages of the first stretch."""
        priority = self._held.bit_length() - 1
        level = self._levels[priority]
        stretch = level.take(limit)
        if level.is_empty:
            self._held &= ~(1 << priority)
        return stretch

    def stretches(self) -> list[Stretch]:
        """Return all messages, the highest priority first."""
        return [
            stretch for priority in sorted(self._levels, reverse=True) for stretch in self._levels[priority].stretches()
        ]

    def places(self) -> Iterator[Place]:
        """Yield all messages in the order in which they leave, in memory or not."""
        for priority in sorted(self._levels, reverse=True):
            yield from self._levels[priority].places()

    def paged_ids(self) -> list[range]:
        """Return the ids of messages that are in the log, and not in memory."""
        return [ids for level in self._levels.values() for ids in level.paged_ids()]

    def body_octets(self) -> int:
        """Return the size of all bodies."""
        return sum(level.body_octets() for level in self._levels.values())

    def add_sizes(self, ready: Sizes, paged: Sizes, *, may_persist: bool, keeps_all: bool) -> None:
        """As ``Backlog.add_sizes``."""
        for level in self._levels.values():
            level.add_sizes(ready, paged, may_persist=may_persist, keeps_all=keeps_all)

    def lengths(self) -> dict[int, int]:
        """Return how many messages there are of each priority."""
        lengths = dict.fromkeys(range(self._highest + 1), 0)
        for priority, level in self._levels.items():
            level.add_sizes(ready := Sizes(), paged := Sizes(), may_persist=False, keeps_all=False)
            lengths[priority] = ready.count + paged.count
        return lengths

    def count(self) -> None:
        """Have bodies counted that nobody has: there are none, since all are read at the start."""

    def page_out(self, queue: "ClassicQueue", octets: int, head_octets: int) -> int:
        """As ``Backlog.page_out``; the lowest priority leaves first."""
        paged_octets = 0
        for priority in sorted(self._levels):
            if paged_octets >= octets:
                break
            paged_octets += self._levels[priority].page_out(queue, octets - paged_octets, head_octets)
        return paged_octets

    def fetch(self) -> None:
        """Have the heads read back that are not in memory."""
        for level in self._levels.values():
            level.fetch()

    def fetch_now(self) -> None:
        """Read the head back at once, if it is not in memory. All may be lost, and the queue empty then."""
        while not self.is_at_hand and self._held:
            self._levels[self._held.bit_length() - 1].fetch_now()

    def clear(self) -> None:
        """Forget all messages."""
        for level in self._levels.values():
            level.clear()
        self._levels.clear()
        self._held = 0

    def _level_of(self, stretch: Stretch) -> Backlog:
        priority = min(stretch.shape.facts.priority or 0, self._highest)
        self._held |= 1 << priority
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = Backlog()
        return level
