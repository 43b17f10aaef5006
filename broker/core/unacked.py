"""A channel's unacked deliveries: which tags are open, and what each stands for.

Kept as ranges: what was delivered in one go and is acked in order costs once, not per message. An ack out of order
splits a range. Where a client does not ack for long, the messages leave memory, and only ids are kept: a client may
hold as many as it likes. Spec: basic.ack, basic.reject; AMQP 0-9-1 1.8.3.12 (multiple).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.parked import SPANS_MAX, Page, PageFiller, ParkedRun, is_in_log, neighbours
from broker.core.residency import Residency
from broker.core.spans import Spans

_COMPACT_AT: Final = 512
_SAMPLED: Final = 8
"""Deliveries whose size is looked at to estimate that of all."""


class Delivery:
    """Deliveries in a row: ``stretch``'s messages got the tags from ``first_tag`` on; no consumer: basic.get."""

    __slots__ = ("consumer", "first_tag", "queue", "stretch")

    def __init__(self, first_tag: int, queue: ClassicQueue, consumer: Consumer | None, stretch: Stretch) -> None:
        self.first_tag = first_tag
        self.queue = queue
        self.consumer = consumer
        self.stretch = stretch

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.stretch.ids)

    @property
    def stop_tag(self) -> int:
        """The tag after its last."""
        return self.first_tag + len(self.stretch.ids)

    def part(self, first_tag: int, stop_tag: int) -> "Delivery":
        """Return the deliveries with tags from ``first_tag`` up to, not including, ``stop_tag``."""
        if first_tag == self.first_tag and stop_tag == self.stop_tag:
            return self
        stretch = self.stretch.part(first_tag - self.first_tag, stop_tag - self.first_tag)
        return Delivery(first_tag, self.queue, self.consumer, stretch)


class ParkedDelivery(Delivery):
    """Deliveries in a row whose messages are not in memory; ``stretch`` is the first of them."""

    __slots__ = ("run",)

    def __init__(self, first_tag: int, queue: ClassicQueue, consumer: Consumer | None, run: ParkedRun) -> None:
        super().__init__(first_tag, queue, consumer, next(run.stretches()))
        self.run = run

    @property
    def count(self) -> int:
        """How many there are."""
        return self.run.spans.message_count

    @property
    def stop_tag(self) -> int:
        """The tag after its last."""
        return self.first_tag + self.run.spans.message_count

    def part(self, first_tag: int, stop_tag: int) -> Delivery:
        """As ``Delivery.part``."""
        if first_tag == self.first_tag and stop_tag == self.stop_tag:
            return self
        spans = self.run.spans.part(first_tag - self.first_tag, stop_tag - self.first_tag)
        return ParkedDelivery(first_tag, self.queue, self.consumer, self.run.with_spans(spans))


def spread(deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
    """Yield deliveries, each of which has all its messages in its stretch."""
    for delivery in deliveries:
        if not isinstance(delivery, ParkedDelivery):
            yield delivery
            continue
        tag = delivery.first_tag
        for stretch in delivery.run.stretches():
            yield Delivery(tag, delivery.queue, delivery.consumer, stretch)
            tag += len(stretch.ids)


class SpreadDeliveries(list[Delivery]):
    """Deliveries that come as ``spread`` has them, one by one: of a client that held much there may be millions."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Delivery]:
        return spread(super().__iter__())


class Unacked:
    """Deliveries in the order of their tags.

    ``filled`` gets this when it has some. Who looks through ``filled`` and finds this empty may take it out, and must
    say so in ``is_known``.
    """

    __slots__ = ("_deliveries", "_filled", "_first_tags", "_head", "_parked_upto", "count", "has_parked", "is_known")

    def __init__(self, filled: "set[Unacked] | None" = None) -> None:
        self._filled: set[Unacked] = set() if filled is None else filled
        self.is_known = False
        """Whether it is in ``filled``."""
        self._deliveries: list[Delivery | None] = []
        self._first_tags: list[int] = []
        self._head = 0
        self._parked_upto = 0
        self.count = 0
        self.has_parked = False
        """Whether some of what is taken out may be in memory no more: ``spread`` makes stretches of it."""

    def add(self, delivery: Delivery) -> None:
        """Keep ``delivery``, whose tags are higher than all that were added before."""
        self._deliveries.append(delivery)
        self._first_tags.append(delivery.first_tag)
        self.count += len(delivery.stretch.pieces)
        if not self.is_known:
            self._tell()

    def _tell(self) -> None:
        self.is_known = True
        self._filled.add(self)

    # What leaves memory

    def resident_octets(self) -> int:
        """Return about how much the messages take that can leave memory."""
        start = bisect_left(self._first_tags, self._parked_upto, self._head)
        count = len(self._deliveries) - start
        if not count:
            return 0
        step = max(1, count // _SAMPLED)
        sampled = [delivery.stretch.resident_octets() for delivery in self._deliveries[start::step] if delivery]
        return sum(sampled) * count // len(sampled)

    def page_out(self, residency: Residency, octets: int) -> int:
        """Let about ``octets`` leave memory, the oldest deliveries first; return how many did."""
        assert residency.store is not None
        start = place = bisect_left(self._first_tags, self._parked_upto, self._head)
        parking = _Parking(residency)
        while place < len(self._deliveries) and parking.octets < octets:
            delivery = self._deliveries[place]
            assert delivery is not None
            if not parking.add(delivery, residency.store.durable_message_id):
                break
            place += 1
        parked = parking.finish()
        if place > start:
            self._deliveries[start:place] = parked
            self._first_tags[start:place] = [delivery.first_tag for delivery in parked]
            self._parked_upto = parked[-1].stop_tag
            self.has_parked = True
        return parking.octets

    def put_back(self, delivery: Delivery) -> None:
        """Keep ``delivery`` again, whose tags were taken out (a transaction rolled back)."""
        place = bisect_right(self._first_tags, delivery.first_tag, self._head)
        self._deliveries.insert(place, delivery)
        self._first_tags.insert(place, delivery.first_tag)
        self.count += delivery.count
        if not self.is_known:
            self._tell()

    def has(self, tag: int) -> bool:
        """Say whether ``tag`` is open."""
        return self._find(tag) >= 0

    def take(self, first_tag: int, count: int) -> tuple[list[Delivery], int | None]:
        """Take out ``count`` tags from ``first_tag`` on; also return the first of them that is not open.

        Nothing after such a tag is taken.
        """
        if self._head < len(self._deliveries):
            first = self._deliveries[self._head]
            if type(first) is Delivery and first.first_tag == first_tag and len(first.stretch.ids) == count:
                self.count -= count  # what was delivered at once, and first, is acked at once
                self._drop_head()
                return [first], None
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
        """Take out everything; what is parked as it is."""
        taken = [delivery for delivery in self._deliveries[self._head :] if delivery is not None]
        self._deliveries.clear()
        self._first_tags.clear()
        self._head = self.count = 0
        self.has_parked = self.is_known = False
        self._filled.discard(self)  # The channel may be gone.
        return taken

    def open(self) -> Iterator[Delivery]:
        """Yield all open deliveries, lowest tags first; what is parked as it is."""
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


class _Parking:
    """Makes few blocks of many deliveries: neighbours by tag, of one queue and consumer, in one place."""

    __slots__ = (
        "_alike",
        "_blocks",
        "_body_octets",
        "_fillers",
        "_first_tag",
        "_residency",
        "_spans",
        "_stop_tag",
        "octets",
    )

    def __init__(self, residency: Residency) -> None:
        self._residency = residency
        self._fillers: dict[ClassicQueue, PageFiller] = {}
        self._blocks: list[Delivery] = []
        self._spans = Spans()
        self._alike: tuple[ClassicQueue, Consumer | None, bool, bool, Page | None] | None = None
        self._first_tag = self._stop_tag = 0
        self._body_octets = 0
        self.octets = 0

    def add(self, delivery: Delivery, durable_id: int) -> bool:
        """Add the next delivery; False if it must stay until it is on disk."""
        queue, stretch = delivery.queue, delivery.stretch
        in_log = is_in_log(queue, stretch) or not queue.gives_back
        if in_log and stretch.ids[-1] >= durable_id and queue.gives_back:
            return False
        self.octets += stretch.resident_octets()
        is_logged, tag = queue.is_logged(stretch), delivery.first_tag
        for part in neighbours(stretch):
            page = None if in_log else self._filler(queue).add(part)
            alike = queue, delivery.consumer, stretch.redelivered, is_logged, page
            if alike != self._alike or tag != self._stop_tag or len(self._spans) >= SPANS_MAX:
                self._end()
                self._alike, self._first_tag = alike, tag
            self._spans.append(part.ids)
            self._body_octets += part.body_octets()
            tag += len(part.ids)
            self._stop_tag = tag
        return True

    def finish(self) -> list[Delivery]:
        """Return the blocks."""
        self._end()
        for filler in self._fillers.values():
            filler.finish()
        return self._blocks

    def _filler(self, queue: ClassicQueue) -> PageFiller:
        filler = self._fillers.get(queue)
        if filler is None:
            filler = self._fillers[queue] = PageFiller(self._residency)
        return filler

    def _end(self) -> None:
        if self._alike is None:
            return
        queue, consumer, redelivered, is_logged, page = self._alike
        run = ParkedRun(page, self._spans, is_logged, redelivered, self._body_octets / self._spans.message_count)
        if len(self._spans) == 1:
            self._blocks.append(Delivery(self._first_tag, queue, consumer, next(run.stretches())))
        else:
            self._blocks.append(ParkedDelivery(self._first_tag, queue, consumer, run))
        self._alike, self._spans, self._body_octets = None, Spans(), 0
