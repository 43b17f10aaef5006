"""The classic queue: messages in order, handed to consumers in strict turn.

Channels publish stretches into it, it hands stretches to consumers when it is drained, and they come back to be
settled or requeued. It knows the log, where it is durable; it knows no octets, connections or exchanges.
RabbitMQ: Classic Queues; spec: AMQP 0-9-1, 3.1.4.
"""

from bisect import bisect_left
from collections import deque
from typing import Any

from broker.core.consumers import Consumer
from broker.core.messages import MessageLog, Stretch

DRAIN_LIMIT = 16384
"""Messages that one drain delivers at most, so that other queues and connections get their turn."""


def _first_id(stretch: Stretch) -> int:
    return stretch.ids.start


class ClassicQueue:
    """Ready messages by id, consumers in the order of their subscription.

    What was never delivered stands in ``_ready``; what came back stands in ``_returned``, by id. Messages are
    delivered from the lowest id on, so all that came back is older than all that never left. ``touched`` is the
    list that a queue puts itself on when it should be drained.
    """

    __slots__ = (
        "_active",
        "_delivered_upto",
        "_is_delivery_unlogged",
        "_ready",
        "_ready_at",
        "_returned",
        "arguments",
        "auto_delete",
        "consumers",
        "durable",
        "exclusive_owner",
        "had_consumer",
        "id",
        "is_deleted",
        "is_touched",
        "log",
        "message_count",
        "name",
        "touched",
        "unacked_count",
        "vhost_name",
    )

    def __init__(
        self,
        name: str,
        vhost_name: str,
        queue_id: int,
        *,
        durable: bool,
        exclusive_owner: object | None,
        auto_delete: bool,
        arguments: dict[str, Any],
        log: MessageLog | None,
        touched: list["ClassicQueue"],
    ) -> None:
        self.name = name
        self.vhost_name = vhost_name
        self.id = queue_id
        self.durable = durable
        self.exclusive_owner = exclusive_owner
        self.auto_delete = auto_delete
        self.arguments = arguments
        self.log = log if durable else None
        self.touched = touched
        self.is_touched = False
        self.is_deleted = False
        self.had_consumer = False
        self.message_count = 0
        self.unacked_count = 0
        self.consumers: dict[Consumer, None] = {}
        self._active: deque[Consumer] = deque()
        self._ready: deque[Stretch] = deque()
        self._ready_at = 0
        self._returned: list[Stretch] = []
        self._delivered_upto = 0
        self._is_delivery_unlogged = False

    @property
    def consumer_count(self) -> int:
        """How many consumers it has, those without credit included."""
        return len(self.consumers)

    @property
    def has_exclusive_consumer(self) -> bool:
        """Whether one consumer has it for itself."""
        return any(consumer.exclusive for consumer in self.consumers)

    # In

    def publish(self, stretch: Stretch) -> None:
        """Append ``stretch``, whose ids are higher than all before. What is durable is in the log already."""
        self._ready.append(stretch)
        self.message_count += len(stretch.pieces)
        if not self.is_touched:
            self.touch()

    def restore(self, stretch: Stretch) -> None:
        """Append a stretch that the log gave back at start; a redelivered one had been delivered."""
        self._ready.append(stretch)
        self.message_count += len(stretch.pieces)
        if stretch.redelivered:
            self._delivered_upto = stretch.ids[-1]

    def requeue(self, stretch: Stretch) -> None:
        """Put deliveries back to where they were, marked redelivered."""
        self.unacked_count -= len(stretch.pieces)
        if self.is_deleted:
            return
        for part in stretch.returned():
            if not self._returned or part.ids.start > self._returned[-1].ids.start:
                self._returned.append(part)
            else:
                place = bisect_left(self._returned, part.ids.start, key=_first_id)
                self._returned.insert(place, part)
        self.message_count += len(stretch.pieces)
        self.touch()

    def settle(self, stretch: Stretch) -> None:
        """Forget deliveries that were acked, or rejected for good."""
        self.unacked_count -= len(stretch.pieces)
        if self.log is not None and stretch.shape.facts.persistent and not self.is_deleted:
            self.log.settle(self.id, stretch.ids)

    # Out

    def drain(self) -> None:
        """Deliver ready messages to consumers with credit, one message each in strict turn."""
        self.is_touched = False
        active, budget = self._active, DRAIN_LIMIT
        while self.message_count and active:
            if budget <= 0:
                self.touch()
                break
            consumer = active[0]
            limit = consumer.limit()
            if not limit:
                consumer.is_waiting = False
                active.popleft()
            elif len(active) == 1:
                budget -= self._deliver(consumer, min(limit, budget))
            elif self._at_head() < len(active):
                budget -= self._deliver(consumer, 1)
                active.rotate(-1)
            else:
                budget -= self._deliver_rounds(budget)
        if self.log is not None:
            self._log_delivered(self.log)

    def get(self) -> Stretch | None:
        """Take the message at the head for basic.get; None if none is ready."""
        if not self.message_count:
            return None
        stretch = self._take(1)
        if self.log is not None:
            self._log_delivered(self.log)
        return stretch

    def _deliver(self, consumer: Consumer, limit: int) -> int:
        """Deliver at most ``limit`` messages to ``consumer``; return how many."""
        stretch = self._take(limit)
        count = len(stretch.pieces)
        consumer.sink.deliver(consumer, stretch)
        if consumer.no_ack:
            self.settle(stretch)
        return count

    def _deliver_rounds(self, budget: int) -> int:
        """Deliver as many messages as all waiting consumers may take in equal shares; return how many."""
        active = self._active
        limits = [consumer.limit() for consumer in active]
        share = min(limits)
        shares_credit = any(limit != consumer.credit for limit, consumer in zip(limits, active, strict=True))
        if share == 0 or shares_credit:
            # Somebody must wait, or a channel's consumers share a limit: one message at a time tells who is next.
            consumer = active[0]
            active.rotate(-1)
            return self._deliver(consumer, 1)
        turns = len(active)
        stretch = self._take(min(budget, share * turns))
        count = len(stretch.pieces)
        for place, consumer in enumerate(tuple(active)):
            part = stretch.part(place, count, turns)
            consumer.sink.deliver(consumer, part)
            if consumer.no_ack:
                self.settle(part)
        active.rotate(-(count % turns))
        return count

    def _at_head(self) -> int:
        """Return how many messages stand in the first stretch."""
        if self._returned:
            return len(self._returned[0].pieces)
        return len(self._ready[0].pieces) - self._ready_at

    def _take(self, limit: int) -> Stretch:
        """Take at most ``limit`` messages of the first stretch; they count as unacked from now on."""
        if self._returned:
            stretch = self._returned[0]
            if len(stretch.pieces) <= limit:
                del self._returned[0]
            else:
                self._returned[0] = stretch.part(limit, len(stretch.pieces))
                stretch = stretch.part(0, limit)
        else:
            stretch = self._ready[0]
            at = self._ready_at
            if len(stretch.pieces) - at <= limit:
                self._ready.popleft()
                self._ready_at = 0
                stretch = stretch.part(at, len(stretch.pieces))
            else:
                self._ready_at = at + limit
                stretch = stretch.part(at, at + limit)
        count = len(stretch.pieces)
        self.message_count -= count
        self.unacked_count += count
        if self.log is not None and stretch.ids[-1] > self._delivered_upto:
            self._delivered_upto = stretch.ids[-1]
            self._is_delivery_unlogged = True
        return stretch

    def _log_delivered(self, log: MessageLog) -> None:
        """Let the log know up to where messages were delivered, so that they come back as redelivered."""
        if self._is_delivery_unlogged:
            self._is_delivery_unlogged = False
            if self.unacked_count:
                log.delivered(self.id, self._delivered_upto)

    # Consumers

    def subscribe(self, consumer: Consumer) -> None:
        """Add ``consumer`` at the end of the line."""
        self.consumers[consumer] = None
        self.had_consumer = True
        self.consumer_ready(consumer)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Remove ``consumer``; what it holds stays unacked."""
        self.consumers.pop(consumer, None)
        if consumer.is_waiting:
            consumer.is_waiting = False
            self._active.remove(consumer)

    def consumer_ready(self, consumer: Consumer) -> None:
        """Let ``consumer`` stand in line again, at the end, if it may take messages."""
        if consumer.is_waiting or consumer not in self.consumers or not consumer.limit():
            return
        consumer.is_waiting = True
        self._active.append(consumer)
        if self.message_count:
            self.touch()

    # Life

    def purge(self) -> int:
        """Drop all ready messages; return how many there were."""
        count = self.message_count
        for stretch in self._all_ready():
            if self.log is not None and stretch.shape.facts.persistent:
                self.log.settle(self.id, stretch.ids)
        self._ready.clear()
        self._returned.clear()
        self._ready_at = 0
        self.message_count = 0
        return count

    def stop(self) -> list[Consumer]:
        """Forget messages and consumers, as the queue is deleted; return the consumers, to be told."""
        self.is_deleted = True
        consumers = list(self.consumers)
        self.consumers.clear()
        self._active.clear()
        self._ready.clear()
        self._returned.clear()
        self._ready_at = 0
        self.message_count = 0
        if self.log is not None:
            self.log.delete_queue(self.id)
        return consumers

    def touch(self) -> None:
        """Ask to be drained at the end of this read."""
        if not self.is_touched:
            self.is_touched = True
            self.touched.append(self)

    def _all_ready(self) -> list[Stretch]:
        stretches = [*self._returned, *self._ready]
        if self._ready_at:
            first = self._ready[0]
            stretches[len(self._returned)] = first.part(self._ready_at, len(first.pieces))
        return stretches
