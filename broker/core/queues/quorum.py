"""The quorum queue, on one node: it keeps every message, counts how often each came back, and lets it die by that.

Messages that come back go to the tail, or, in a queue with an x-delivery-limit, before all others, in the order in
which they came back; RabbitMQ 3.10 to 3.13 do so. The counts are in the log.
RabbitMQ: Quorum Queues.
"""

from dataclasses import replace
from typing import Final

from broker.core.consumer_arguments import check_consumer_arguments
from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.names import queue_text
from broker.core.queues.backlog import Backlog
from broker.core.queues.came_back import ReturnShelf
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.parked import ParkedStretch, neighbours
from broker.core.queues.returned import ReturnedStretch
from broker.core.queues.rules import QueueRules
from protocol.errors import NotImplementedFault, ResourceLocked

DEFAULT_DELIVERY_LIMIT: Final = 20
"""How often a message may come back where the queue does not say. RabbitMQ 4; 3 has no limit then."""


class QuorumBacklog(Backlog):
    """Ready messages; what comes back stands before all others, or behind them."""

    __slots__ = ("returns_first",)

    def __init__(self) -> None:
        super().__init__()
        self.returns_first = False

    def put_back(self, stretch: Stretch) -> None:
        """Add messages that left and came back, already marked so."""
        for part in neighbours(stretch):  # as pages have them
            if self.returns_first:
                self.put_first(part)
            else:
                self.append(part)

    def put_first(self, stretch: Stretch) -> None:
        """Add messages that came back before the start, behind others of that kind and before all that did not."""
        self.resident_octets += stretch.resident_octets()
        if self._back is None:
            self._returned.append(stretch)
        else:
            self._back.put(stretch)

    def _new_back(self, queue: ClassicQueue) -> ReturnShelf:
        return ReturnShelf(queue, self, is_by_id=False)


class QuorumQueue(ClassicQueue):
    """A queue declared with x-queue-type "quorum". ``delivery_limit`` is None where messages may come back forever."""

    __slots__ = ("delivery_limit",)

    backlog: QuorumBacklog

    def _new_backlog(self) -> QuorumBacklog:
        return QuorumBacklog()

    def set_rules(self, rules: QueueRules) -> None:
        """Keep other rules from now on. RabbitMQ knows no "reject-publish-dlx" here, and then drops the head."""
        limit = rules.delivery_limit
        self.backlog.returns_first = limit is not None
        if limit is None:
            self.delivery_limit: int | None = DEFAULT_DELIVERY_LIMIT
        else:
            self.delivery_limit = limit if limit >= 0 else None
        if rules.overflow == "reject-publish-dlx":
            super().set_rules(replace(rules, overflow="drop-head"))
        else:
            super().set_rules(rules)
        self.rules = rules

    @property
    def keeps_transient(self) -> bool:
        """Whether it keeps messages that were not published as persistent, too: yes."""
        return self.log is not None

    # In

    def restores_ids(self, redelivered: bool) -> bool:
        """Whether ``restore_ids`` does for it: yes, but for what came back."""
        has_store = self.context.residency.store is not None
        return not redelivered and not self._counts_before_publishes() and has_store

    def restore(self, stretch: Stretch, age_ms: int, return_count: int = 0) -> None:
        """Append a stretch that the log gave back at start: it came back ``return_count`` times before.

        What was delivered and is here again came back by the stop, too.
        """
        if not stretch.redelivered:
            super().restore(stretch, age_ms)
            return
        returned: Stretch = ReturnedStretch.of(stretch, return_count or 1)
        if self.enforcement is not None or stretch.shape.facts.expiration is not None:
            returned = self._enforce().admit(returned, age_ms)
        self.backlog.put_first(returned)
        self.message_count += len(returned.pieces)
        self._delivered_upto = max(self._delivered_upto, returned.ids[-1])
        self.touch()

    def requeue(self, stretch: Stretch) -> None:
        """Take deliveries back, counted; those that came back too often die."""
        if self.is_deleted or type(stretch) is ParkedStretch:
            super().requeue(stretch)
            return
        origin = stretch.as_published()
        return_count = (stretch.return_count if isinstance(stretch, ReturnedStretch) else 0) + 1
        if self.delivery_limit is not None and return_count > self.delivery_limit:
            if self.enforcement is not None:
                self.enforcement.die(stretch, "delivery_limit")
            else:
                self.settle(stretch)
            return
        if self.log is not None:
            self.log.returned(self.id, stretch.ids, return_count)
        back = Stretch(origin.shape, origin.ids, origin.pieces, True, origin.deadline_ms)
        super().requeue(ReturnedStretch.of(back, return_count))

    def settle(self, stretch: Stretch) -> None:
        """Forget deliveries that were acked, or died; transient ones are in the log as well."""
        self.unacked_count -= len(stretch.ids)
        if self.log is not None and not self.is_deleted:
            self.log.settle(self.id, stretch.ids)

    # Out

    def get(self) -> Stretch | None:
        """Take the message at the head for basic.get, which tells its count even where that is 0.

        Raises ResourceLocked (405) where only the single active consumer may have it.
        """
        if self.line.is_single:
            text = "basic.get operations are not supported by quorum queues with single active consumer"
            raise ResourceLocked(f"cannot obtain access to locked {queue_text(self.name, self.vhost_name)}. {text}")
        stretch = super().get()
        if stretch is None or isinstance(stretch, ReturnedStretch):
            return stretch
        return ReturnedStretch.of(stretch, 0)

    # What it refuses

    def check_consumer(self, consumer: Consumer, global_prefetch: int) -> None:
        """Refuse a consumer with a shared prefetch (540). Exclusive ones are no more than others, as in RabbitMQ."""
        place = queue_text(self.name, self.vhost_name)
        check_consumer_arguments(place, "rabbit_quorum_queue", consumer.arguments)
        if global_prefetch:
            raise NotImplementedFault(f"{place} does not support global qos")

    def check_delete(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse a delete that depends on something (540)."""
        for flag, is_set in (("if-unused", if_unused), ("if-empty", if_empty)):
            if is_set:
                place = queue_text(self.name, self.vhost_name)
                text = f"queue.delete operations with {flag} flag set are not supported by quorum queues"
                raise NotImplementedFault(f"cannot delete {place}. {text}")
