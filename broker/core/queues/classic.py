"""The classic queue: messages in order, handed to consumers in strict turn.

Channels publish stretches into it, it hands stretches to consumers when it is drained, and they come back to be
settled or requeued. It knows the log, where it is durable; it knows no octets, connections or exchanges.
RabbitMQ: Classic Queues; spec: AMQP 0-9-1, 3.1.4.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from broker.core.consumer_arguments import check_consumer_arguments
from broker.core.consumers import UNLIMITED, Consumer
from broker.core.later import NotYet
from broker.core.messages import Stretch
from broker.core.names import queue_text
from broker.core.queues.backlog import Backlog
from broker.core.queues.context import QueueContext
from broker.core.queues.enforcement import Enforcement
from broker.core.queues.line import ConsumerLine
from broker.core.queues.parked import ParkedStretch, unparked
from broker.core.queues.priority import PriorityBacklog
from broker.core.queues.rules import NO_RULES, QueueRules, rules_of
from broker.core.residency import Residency
from protocol.errors import AccessRefused, PreconditionFailed

DRAIN_LIMIT = 16384
"""Messages that one drain delivers at most, so that other queues and connections get their turn."""


class ClassicQueue:
    """Ready messages in ``backlog``, consumers in ``line``, and rules, if it has any, in ``enforcement``.

    ``log`` is None where nothing is to be kept. ``message_count`` counts ready messages.
    """

    __slots__ = (
        "__weakref__",
        "_delivered_upto",
        "_is_delivery_unlogged",
        "arguments",
        "auto_delete",
        "backlog",
        "context",
        "counts",
        "durable",
        "enforcement",
        "exclusive_owner",
        "id",
        "is_deleted",
        "is_touched",
        "line",
        "log",
        "message_count",
        "name",
        "rules",
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
        context: QueueContext,
    ) -> None:
        self.name = name
        self.vhost_name = vhost_name
        self.id = queue_id
        self.durable = durable
        self.exclusive_owner = exclusive_owner
        self.auto_delete = auto_delete
        self.arguments = arguments
        self.context = context
        self.log = context.log if durable else None
        self.is_touched = False
        self.is_deleted = False
        self.message_count = 0
        self.unacked_count = 0
        self.counts: object = None
        self.backlog = self._new_backlog()
        self.line = ConsumerLine(is_single=bool(arguments.get("x-single-active-consumer")))
        self.enforcement: Enforcement | None = None
        self._delivered_upto = 0
        self._is_delivery_unlogged = False
        self.set_rules(rules_of(arguments))
        context.residency.watch(self)

    def _new_backlog(self) -> Backlog | PriorityBacklog:
        highest = self.arguments.get("x-max-priority")
        return PriorityBacklog(highest) if highest else Backlog()

    @property
    def keeps_transient(self) -> bool:
        """Whether it keeps messages that were not published as persistent, too."""
        return False

    @property
    def consumers(self) -> dict[Consumer, None]:
        """Its consumers, in the order of subscription."""
        return self.line.consumers

    @property
    def consumer_count(self) -> int:
        """How many consumers it has, those without credit included."""
        return len(self.line.consumers)

    def set_rules(self, rules: QueueRules) -> None:
        """Keep other rules from now on. A queue without rules pays nothing for them."""
        self.rules = rules
        if self.enforcement is not None or rules != NO_RULES:
            self._enforce().change(rules)
        if rules.consumer_timeout_ms:
            self.context.watch_deliveries(rules.consumer_timeout_ms)

    def _enforce(self) -> Enforcement:
        """Return its enforcement, made now if it had none."""
        if self.enforcement is None:
            context = self.context
            self.enforcement = Enforcement(
                self, NO_RULES, context.clock, context.dead_letter, context.expire_queue, context.room
            )
        return self.enforcement

    # In

    def publish(self, stretch: Stretch) -> None:
        """Append ``stretch``, whose ids are higher than all before. What is durable is in the log already."""
        if self.enforcement is not None or stretch.shape.facts.expiration is not None:
            stretch = self._enforce().admit(stretch)
        elif not self.message_count and self.line.waiting and self._pass_on(stretch):
            return
        self.backlog.append(stretch)
        self.message_count += len(stretch.pieces)
        if not self.is_touched:
            self.touch()

    def taker(self, count: int) -> Consumer | None:
        """Return who gets all of so many messages that come to it now: the first in line, if the queue is empty, and it
        is alone or all is one message. None where they are to be published. Who is returned must get them.
        """
        waiting = self.line.waiting
        if self.message_count or self.enforcement is not None or not waiting:
            return None
        consumer, is_alone = waiting[0], len(waiting) == 1
        if not (is_alone or count == 1) or consumer.limit() < count:
            return None
        if not is_alone:
            waiting.rotate(-1)
        if self.log is not None or not consumer.no_ack:
            self.unacked_count += count
        return consumer

    def _pass_on(self, stretch: Stretch) -> bool:
        """Deliver what comes to an empty queue at once, if one consumer takes all of it.

        It is what ``drain`` would do, without the way through the backlog. Hot where each read has a few messages for
        many queues, or one.
        """
        consumer = self.taker(len(stretch.pieces))
        if consumer is None:
            return False
        consumer.sink.deliver(consumer, stretch)
        if self.log is not None:
            if consumer.no_ack:
                self.settle(stretch)
            else:
                self._delivered_upto = stretch.ids[-1]
                self.log.delivered(self.id, self._delivered_upto)
        return True

    @property
    def refuses_publishes(self) -> bool:
        """Whether it refuses messages when it is full. RabbitMQ: Queue Length Limit, "reject-publish"."""
        return self.enforcement is not None and self.enforcement.rules.refuses_publishes

    def refuse(self, stretch: Stretch) -> None:
        """Let messages die that it was too full to take, if its rules say so."""
        if self.enforcement is not None:
            self.enforcement.refuse(stretch)

    def is_full(self, body_octets: int = 0) -> bool:
        """Whether it refuses to take a message of this size now."""
        if self.enforcement is None or not self.enforcement.rules.refuses_publishes:
            return False
        if self.is_touched:
            self.drain()
        return self.enforcement.is_full(body_octets)

    def restore(self, stretch: Stretch, age_ms: int, return_count: int = 0) -> None:
        """Append a stretch that the log gave back at start, published ``age_ms`` ago.

        ``return_count`` is how often it came back before; only some kinds of queue count that.
        """
        if self.enforcement is not None or stretch.shape.facts.expiration is not None:
            stretch = self._enforce().admit(stretch, age_ms)
        self.backlog.append(stretch)
        self.message_count += len(stretch.pieces)
        if stretch.redelivered:
            self._delivered_upto = max(self._delivered_upto, stretch.ids[-1])
        self.touch()

    def restores_ids(self, redelivered: bool) -> bool:
        """Whether ``restore_ids`` does for it; else all bodies must be read at the start.

        A priority is about what is in the messages, and so is a limit of octets that refuses messages. One that drops
        them can wait until somebody has counted.
        """
        is_plain = type(self.backlog) is Backlog and type(self) is ClassicQueue
        return is_plain and not self._counts_before_publishes() and self.context.residency.store is not None

    def _counts_before_publishes(self) -> bool:
        return self.rules.max_length_octets is not None and self.rules.refuses_publishes

    def restore_ids(self, firsts: Sequence[int], counts: Sequence[int], redelivered: bool) -> None:
        """Append ranges of messages that the log gave back at start, without reading them; ``restored`` comes after the
        last. Each range goes from its first id so many, and they ascend.
        """
        assert isinstance(self.backlog, Backlog)
        self.backlog.restore_logged(self, firsts, counts, redelivered)
        self.message_count += sum(counts)
        if redelivered:
            self._delivered_upto = max(self._delivered_upto, firsts[-1] + counts[-1] - 1)

    def restored(self) -> None:
        """All is restored: read the head."""
        if self.enforcement is not None:
            self.enforcement.count()
        self.backlog.fetch()
        if self.message_count:
            self.touch()

    def dated(self, stretch: Stretch, age_ms: int) -> Stretch:
        """Return ``stretch``, published ``age_ms`` ago and counted already, with the time at which it expires."""
        if self.enforcement is not None or stretch.shape.facts.expiration is not None:
            return self._enforce().dated(stretch, age_ms)
        return stretch

    def counted(self, octets: int) -> None:
        """Bodies among its messages were counted that nobody had counted before."""
        if self.enforcement is not None:
            self.enforcement.counted(octets)

    def lost(self, count: int) -> None:
        """Forget messages that could not be read back; the store has noted which."""
        self.message_count -= count
        if self.enforcement is not None and not self.message_count:
            self.enforcement.purged()
        self.context.residency.on_lost(self, count)

    def is_logged(self, stretch: Stretch) -> bool:
        """Whether the log is told about these messages of its."""
        return self.log is not None and (self.keeps_transient or stretch.shape.facts.persistent)

    gives_back: ClassVar[bool] = True
    """Whether deliveries that were not acked come back, so that their bodies are kept."""

    def requeue(self, stretch: Stretch) -> None:
        """Put deliveries back to where they were, marked redelivered."""
        if type(stretch) is ParkedStretch:
            self._requeue_parked(stretch)
            return
        self.unacked_count -= len(stretch.pieces)
        if self.is_deleted:
            return
        self.backlog.put_back(stretch)
        self.message_count += len(stretch.pieces)
        if self.enforcement is not None:
            self.enforcement.put_back(stretch)
            # Before anybody takes what came back: only what is published goes past the limit to a consumer.
            self.enforcement.limit()
        self.touch()

    def _requeue_parked(self, stretch: ParkedStretch) -> None:
        """As ``requeue``, for messages that are not in memory; where it matters what they are, they are read now."""
        if self.is_deleted:
            self.unacked_count -= len(stretch.ids)
        elif type(self.backlog) is Backlog and type(self) is ClassicQueue and self.rules.max_length_octets is None:
            self.unacked_count -= len(stretch.ids)
            self.message_count += len(stretch.ids)
            self.backlog.put_back_parked(self, stretch)
            if self.enforcement is not None:
                self.enforcement.limit()
            self.touch()
        else:
            left = len(stretch.ids)
            for part in unparked(self, stretch):
                left -= len(part.pieces)
                self.requeue(part)
                if self.context.residency.is_due:
                    self.context.residency.relieve()
            self.unacked_count -= left
            if left:
                self.context.residency.on_lost(self, left)

    def settle(self, stretch: Stretch) -> None:
        """Forget deliveries that were acked, or died."""
        self.unacked_count -= len(stretch.ids)
        if self.log is not None and stretch.shape.facts.persistent and not self.is_deleted:
            self.log.settle(self.id, stretch.ids)

    def reject(self, stretch: Stretch, *, at_once: bool = False) -> None:
        """Let deliveries die that a consumer rejected for good; ``at_once`` as ``Enforcement.die``."""
        if self.enforcement is not None and not self.is_deleted:
            self.enforcement.die(stretch, "rejected", at_once=at_once)
        else:
            self.settle(stretch)

    # What leaves memory

    def resident_octets(self) -> int:
        """Return about how much its messages take that can leave memory."""
        return self.backlog.resident_octets

    def page_out(self, residency: Residency, octets: int) -> int:
        """Let about ``octets`` leave memory; return how many did."""
        return self.backlog.page_out(self, octets, residency.head_octets)

    # Out

    def drain(self) -> None:
        """Deliver ready messages to consumers with credit, one message each in strict turn."""
        self.is_touched = False
        line, budget = self.line, DRAIN_LIMIT
        is_head_live = self.enforcement is None or self.enforcement.begin_drain()
        while self.message_count and line.waiting and is_head_live:
            if budget <= 0:
                self.touch()
                break
            if not self.backlog.is_at_hand:
                break  # It is being fetched, and touches the queue when it is there.
            waiting = line.waiting
            consumer = waiting[0]
            limit = consumer.limit()
            if not limit:
                line.leave(consumer)
            elif len(waiting) == 1:
                budget -= self._deliver(consumer, min(limit, budget))
            elif self.backlog.head_count() == 1:
                budget -= self._deliver(consumer, 1)
                waiting.rotate(-1)
            else:
                budget -= self._deliver_rounds(budget)
            if self.enforcement is not None:
                is_head_live = self.enforcement.expire()
        if self.enforcement is not None:
            self.enforcement.after_drain()
        if self._is_delivery_unlogged:
            self._log_delivered()

    def get(self) -> Stretch | None:
        """Take the message at the head for basic.get; None if none is ready.

        Raises NotYet where all that one look at the disk brought has expired, and more is there: for each look others
        get their turn.
        """
        if self.enforcement is not None:
            self.enforcement.use()
            self.drain()
            self.enforcement.uncover()
        if self.message_count and not self.backlog.is_at_hand:
            self.backlog.fetch_now()
            if self.enforcement is not None:
                # What was just read back may have expired long ago.
                self.enforcement.after_drain()
                self.enforcement.uncover()
            if self.message_count and not self.backlog.is_at_hand:
                raise NotYet
        if not self.message_count:
            return None
        stretch = self.take(1)
        if self.enforcement is not None:
            # The messages left, which basic.get-ok counts, are those that live on.
            self.enforcement.after_drain()
        if self._is_delivery_unlogged:
            self._log_delivered()
        return stretch

    def take(self, limit: int) -> Stretch:
        """Take at most ``limit`` messages of the first stretch; they count as unacked from now on."""
        stretch = self.backlog.take(limit)
        count = len(stretch.pieces)
        self.message_count -= count
        self.unacked_count += count
        if self.log is not None and stretch.ids[-1] > self._delivered_upto:
            self._delivered_upto = stretch.ids[-1]
            self._is_delivery_unlogged = True
        if self.enforcement is not None:
            self.enforcement.taken(stretch)
        return stretch

    def _deliver(self, consumer: Consumer, limit: int) -> int:
        """Deliver at most ``limit`` messages to ``consumer``; return how many."""
        stretch = self.take(limit)
        count = len(stretch.pieces)
        consumer.sink.deliver(consumer, stretch)
        if consumer.no_ack:
            self.settle(stretch)
        return count

    def _deliver_rounds(self, budget: int) -> int:
        """Deliver messages of the first stretch to the waiting consumers, in equal shares; return how many.

        Everybody's k-th message is what strict turns give. Where consumers share a channel, its deliveries must keep
        their order, too: that is done for all or, where they are of several channels, message by message.
        """
        line, waiting = self.line, self.line.waiting
        limits: list[int] = []
        for consumer in islice(waiting, min(self.backlog.head_count(), budget)):
            limit = consumer.limit()
            if not limit:
                break  # It leaves the line when it is the first.
            limits.append(limit)
        turns = len(limits)
        share = min(limits) if turns == len(waiting) else 1
        turners = tuple(islice(waiting, turns))
        sink = turners[0].sink
        is_in_turn = line.shares_channel and turns > 1
        if is_in_turn and (sink.shared_credit < UNLIMITED or len({each.sink for each in turners}) > 1):
            turns, turners, share, is_in_turn = 1, turners[:1], 1, False
        stretch = self.take(min(budget, share * turns))
        count = len(stretch.pieces)
        if is_in_turn:
            sink.deliver_in_turn(turners, stretch)
            self._settle_turns(turners, stretch)
        else:
            for place, consumer in enumerate(turners):
                part = stretch.part(place, count, turns)
                consumer.sink.deliver(consumer, part)
                if consumer.no_ack:
                    self.settle(part)
        waiting.rotate(-(count % len(waiting)))
        return count

    def _settle_turns(self, turners: Sequence[Consumer], stretch: Stretch) -> None:
        """Forget what went to those of ``turners`` who do not ack."""
        without_ack = [place for place, consumer in enumerate(turners) if consumer.no_ack]
        if len(without_ack) == len(turners):
            self.settle(stretch)
            return
        for place in without_ack:
            self.settle(stretch.part(place, len(stretch.pieces), len(turners)))

    def _log_delivered(self) -> None:
        """Let the log know up to where messages were delivered, so that they come back as redelivered."""
        self._is_delivery_unlogged = False
        if self.log is not None and self.unacked_count:
            self.log.delivered(self.id, self._delivered_upto)

    # Consumers

    def check_consumer(self, consumer: Consumer, global_prefetch: int) -> None:
        """Refuse ``consumer``, who would have the queue for itself or with others that cannot be.

        ``global_prefetch`` is the limit that it would share with others, 0 for none. Raises PreconditionFailed (406)
        for its arguments, AccessRefused (403). Ref: basic.consume, "exclusive".
        """
        place = queue_text(self.name, self.vhost_name)
        check_consumer_arguments(place, "rabbit_classic_queue", consumer.arguments)
        line = self.line
        if line.has_exclusive or (consumer.exclusive and (line.consumers or line.is_single)):
            raise AccessRefused(f"{place} in exclusive use")

    def subscribe(self, consumer: Consumer) -> None:
        """Add ``consumer`` at the end of the line."""
        self.line.add(consumer)
        self.consumer_ready(consumer)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Remove ``consumer``; what it holds stays unacked."""
        successor = self.line.remove(consumer)
        if successor is not None:
            self.consumer_ready(successor)
        if self.enforcement is not None and not self.line.consumers:
            self.enforcement.use()

    def consumer_ready(self, consumer: Consumer) -> None:
        """Let ``consumer`` stand in line again, at the end, if it may take messages."""
        if self.line.join(consumer) and self.message_count:
            self.touch()

    # Life

    def definition_fields(self) -> dict[str, int]:
        """Return what its kind keeps in its definition, beside what it was declared with."""
        return {}

    def restore_fields(self, fields: Mapping[str, Any]) -> None:
        """Take back what ``definition_fields`` gave, before any message is restored."""

    def check_delete(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse to be deleted where it is not unused or empty as asked: PreconditionFailed (406)."""
        if if_empty and self.message_count:
            raise PreconditionFailed(f"{queue_text(self.name, self.vhost_name)} not empty")
        if if_unused and self.line.consumers:
            raise PreconditionFailed(f"{queue_text(self.name, self.vhost_name)} in use")

    @property
    def is_burying(self) -> bool:
        """Whether it must not be deleted yet: dead letters wait, safe only as long as the log has the queue."""
        return self.durable and self.enforcement is not None and self.enforcement.is_burying

    def when_buried(self, then: Callable[[], object]) -> None:
        """Have ``then()`` called when these are with whom they are for."""
        assert self.enforcement is not None
        self.enforcement.when_buried(then)

    def use(self) -> None:
        """It was declared again: if it is to expire, its time begins anew."""
        if self.enforcement is not None:
            self.enforcement.use()

    def purge(self) -> int:
        """Drop all ready messages; return how many there were."""
        count = self.message_count
        if self.log is not None:
            for ids in self.backlog.paged_ids():
                self.log.settle(self.id, ids)
            for stretch in self.backlog.stretches():
                if self.is_logged(stretch):
                    self.log.settle(self.id, stretch.ids)
        self._forget_ready()
        return count

    def stop(self) -> list[Consumer]:
        """Forget messages and consumers, as the queue is deleted; return the consumers, to be told."""
        self.is_deleted = True
        self._forget_ready()
        if self.enforcement is not None:
            self.enforcement.stop()
        if self.enforcement is None or not self.enforcement.is_burying:
            self.forget_in_log()
        return self.line.clear()

    def forget_in_log(self) -> None:
        """Nothing of it is needed any more: it is deleted, and what had died in it is dead-lettered."""
        if self.log is not None:
            self.log.delete_queue(self.id)

    def _forget_ready(self) -> None:
        self.backlog.clear()
        self.message_count = 0
        if self.enforcement is not None:
            self.enforcement.purged()

    def touch(self) -> None:
        """Ask to be drained at the end of this read."""
        if not self.is_touched:
            self.is_touched = True
            self.context.touched.append(self)
