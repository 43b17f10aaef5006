"""A queue's consumers, and the line of those that may be served: who is next.

Strict turns among equals, in the order of subscription; a higher x-priority goes first; with a single active consumer
only one is ever in line. RabbitMQ: Consumer Priorities, Single Active Consumer.
"""

from collections import Counter, deque

from broker.core.consumers import Consumer, DeliverySink


class ConsumerLine:
    """``waiting`` are the consumers to serve now: those of the highest priority among all that have credit.

    Whoever serves takes from its left, rotates it, and calls ``advance`` when it is empty.
    """

    __slots__ = ("_by_priority", "_left_count", "_of_sink", "active", "consumers", "is_single", "waiting")

    def __init__(self, *, is_single: bool = False) -> None:
        self.consumers: dict[Consumer, None] = {}
        self.is_single = is_single
        self._left_count = 0
        self._of_sink: Counter[DeliverySink] = Counter()
        self.active: Consumer | None = None
        """The single active consumer, where there is to be one."""
        self.waiting: deque[Consumer] = deque()
        # Only as many entries as there are priorities in use; {0: waiting} for nearly all queues.
        self._by_priority: dict[int, deque[Consumer]] = {0: self.waiting}

    @property
    def has_exclusive(self) -> bool:
        """Whether one consumer has the queue for itself."""
        return any(consumer.exclusive for consumer in self.consumers)

    @property
    def shares_channel(self) -> bool:
        """Whether two consumers are of one channel: its deliveries must keep their order, and it may limit both."""
        return len(self._of_sink) < len(self.consumers)

    def add(self, consumer: Consumer) -> None:
        """Add a consumer, not in line yet."""
        self.consumers[consumer] = None
        self._of_sink[consumer.sink] += 1
        if self.is_single and self.active is None:
            self.active = consumer

    def remove(self, consumer: Consumer) -> Consumer | None:
        """Remove a consumer; return the one that becomes the single active one by that, if so."""
        if consumer in self.consumers:
            del self.consumers[consumer]
            self._of_sink[consumer.sink] -= 1
            if not self._of_sink[consumer.sink]:
                del self._of_sink[consumer.sink]
        if consumer.is_waiting:
            consumer.is_waiting = False
            self._by_priority[consumer.priority].remove(consumer)
            self.advance()
        if consumer.priority and not any(each.priority == consumer.priority for each in self.consumers):
            line = self._by_priority.pop(consumer.priority, None)
            if line is self.waiting:
                self.waiting = self._by_priority[0]
                self.advance()
        if consumer is not self.active:
            return None
        self.active = max(self.consumers, key=lambda each: each.priority, default=None)
        return self.active

    def join(self, consumer: Consumer) -> bool:
        """Let ``consumer`` stand at the end of its line, if it may take messages; True if it does so now."""
        if consumer.is_waiting or consumer not in self.consumers or not consumer.limit():
            return False
        if self.is_single and consumer is not self.active:
            return False
        consumer.is_waiting = True
        line = self._by_priority.get(consumer.priority)
        if line is None:
            line = self._by_priority[consumer.priority] = deque()
            self._by_priority = dict(sorted(self._by_priority.items(), reverse=True))
        line.append(consumer)
        self.advance()
        return True

    def leave(self, consumer: Consumer) -> None:
        """Take the consumer at the left out of the line: it can take nothing more."""
        consumer.is_waiting = False
        self._left_count += 1
        consumer.left_at = self._left_count
        self.waiting.popleft()
        if not self.waiting:
            self.advance()

    def advance(self) -> None:
        """Serve the highest priority that somebody waits with."""
        if len(self._by_priority) > 1:
            self.waiting = next((line for line in self._by_priority.values() if line), self.waiting)

    def clear(self) -> list[Consumer]:
        """Forget all consumers and return them."""
        consumers = list(self.consumers)
        self.consumers.clear()
        self._of_sink.clear()
        self.active = None
        for line in self._by_priority.values():
            line.clear()
        return consumers
