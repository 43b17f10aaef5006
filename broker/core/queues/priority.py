"""Ready messages of a queue with priorities: the highest priority first, in order of id within it.

RabbitMQ: Classic Queues Support Priorities.
"""

from broker.core.messages import Stretch
from broker.core.queues.backlog import Backlog


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

    def clear(self) -> None:
        """Forget all messages."""
        self._levels.clear()
        self._held = 0

    def _level_of(self, stretch: Stretch) -> Backlog:
        priority = min(stretch.shape.facts.priority or 0, self._highest)
        self._held |= 1 << priority
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = Backlog()
        return level
