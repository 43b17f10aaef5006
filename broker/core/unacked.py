"""A channel's unacked deliveries: which tags are open, and what each stands for.

Kept as ranges: what was delivered in one go and is acked in order costs once, not per message. An ack out of order
splits a range. Spec: basic.ack, basic.reject; AMQP 0-9-1 1.8.3.12 (multiple).
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue

_COMPACT_AT = 512


class Delivery:
    """Deliveries in a row: ``stretch``'s messages got the tags from ``first_tag`` on; no consumer: basic.get."""

    __slots__ = ("consumer", "first_tag", "queue", "stretch")

    def __init__(self, first_tag: int, queue: ClassicQueue, consumer: Consumer | None, stretch: Stretch) -> None:
        self.first_tag = first_tag
        self.queue = queue
        self.consumer = consumer
        self.stretch = stretch

    @property
    def stop_tag(self) -> int:
        """The tag after its last."""
        return self.first_tag + len(self.stretch.pieces)

    def part(self, first_tag: int, stop_tag: int) -> "Delivery":
        """Return the deliveries with tags from ``first_tag`` up to, not including, ``stop_tag``."""
        if first_tag == self.first_tag and stop_tag == self.stop_tag:
            return self
        stretch = self.stretch.part(first_tag - self.first_tag, stop_tag - self.first_tag)
        return Delivery(first_tag, self.queue, self.consumer, stretch)


class Unacked:
    """Deliveries in the order of their tags."""

    __slots__ = ("_deliveries", "_first_tags", "_head", "count")

    def __init__(self) -> None:
        self._deliveries: list[Delivery | None] = []
        self._first_tags: list[int] = []
        self._head = 0
        self.count = 0

    def add(self, delivery: Delivery) -> None:
        """Keep ``delivery``, whose tags are higher than all that were added before."""
        self._deliveries.append(delivery)
        self._first_tags.append(delivery.first_tag)
        self.count += len(delivery.stretch.pieces)

    def put_back(self, delivery: Delivery) -> None:
        """Keep ``delivery`` again, whose tags were taken out (a transaction rolled back)."""
        place = bisect_right(self._first_tags, delivery.first_tag, self._head)
        self._deliveries.insert(place, delivery)
        self._first_tags.insert(place, delivery.first_tag)
        self.count += len(delivery.stretch.pieces)

    def has(self, tag: int) -> bool:
        """Say whether ``tag`` is open."""
        return self._find(tag) >= 0

    def take(self, first_tag: int, count: int) -> tuple[list[Delivery], int | None]:
        """Take out ``count`` tags from ``first_tag`` on; also return the first of them that is not open.

        Nothing after such a tag is taken.
        """
        taken: list[Delivery] = []
        tag, stop = first_tag, first_tag + count
        while tag < stop:
            place = self._find(tag)
            if place < 0:
                return taken, tag
            tag = self._take_from(place, tag, stop, taken)
        return taken, None

    def take_up_to(self, tag: int) -> list[Delivery]:
        """Take out all open tags up to ``tag``, itself included."""
        taken: list[Delivery] = []
        while self._head < len(self._deliveries):
            first = self._deliveries[self._head]
            assert first is not None
            if first.first_tag > tag:
                break
            self._take_from(self._head, first.first_tag, tag + 1, taken)
        return taken

    def take_all(self) -> list[Delivery]:
        """Take out everything."""
        taken = [delivery for delivery in self._deliveries[self._head :] if delivery is not None]
        self._deliveries.clear()
        self._first_tags.clear()
        self._head = self.count = 0
        return taken

    def open(self) -> Iterator[Delivery]:
        """Yield all open deliveries, lowest tags first."""
        return (item for item in islice(self._deliveries, self._head, None) if item is not None)

    def consumed(self) -> list[Delivery]:
        """Return the open deliveries that went to consumers, not to basic.get."""
        deliveries = self._deliveries[self._head :]
        return [item for item in deliveries if item is not None and item.consumer is not None]

    def _find(self, tag: int) -> int:
        """Return the place of the range that holds ``tag``, -1 if there is none."""
        place = bisect_right(self._first_tags, tag, self._head) - 1
        if place < self._head:
            return -1
        delivery = self._deliveries[place]
        assert delivery is not None
        return place if tag < delivery.stop_tag else -1

    def _take_from(self, place: int, tag: int, stop: int, taken: list[Delivery]) -> int:
        """Take ``tag`` up to ``stop`` out of the range at ``place``; return the tag to go on with."""
        delivery = self._deliveries[place]
        assert delivery is not None
        first, end = delivery.first_tag, delivery.stop_tag
        stop = min(stop, end)
        taken.append(delivery.part(tag, stop))
        self.count -= stop - tag
        if stop < end:
            self._deliveries[place] = delivery.part(stop, end)
            self._first_tags[place] = stop
            if first < tag:
                self._deliveries.insert(place, delivery.part(first, tag))
                self._first_tags.insert(place, first)
        elif first < tag:
            self._deliveries[place] = delivery.part(first, tag)
        elif place == self._head:
            self._drop_head()
        else:
            del self._deliveries[place]
            del self._first_tags[place]
        return stop

    def _drop_head(self) -> None:
        self._deliveries[self._head] = None
        self._head += 1
        if self._head >= _COMPACT_AT and 2 * self._head >= len(self._deliveries):
            del self._deliveries[: self._head]
            del self._first_tags[: self._head]
            self._head = 0
