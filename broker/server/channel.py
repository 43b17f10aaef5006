"""A channel: publishes in, deliveries out, and what is open between them.

Events come from the connection, methods by way of handlers/; deliveries come from queues. Octets go to the
connection's ``out``, which is written once at the end of a read. It has no socket and never waits: what promises
durability is held until the log says so. Spec: AMQP 0-9-1, 2.2.4 and the channel, basic, confirm and tx classes.
"""

from collections import deque
from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from pamqp import commands
from pamqp.base import Frame

from broker.core.consumers import UNLIMITED, Consumer
from broker.core.exchanges.exchange import Exchange
from broker.core.messages import Stretch
from broker.core.names import ConsumerTags
from broker.core.publish.addressed import REPLY_TO
from broker.core.publish.checks import check_content
from broker.core.publish.enqueue import Route
from broker.core.publish.routable import LooksAt
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.reply import ReplyQueue
from broker.core.unacked import Delivery, SpreadDeliveries, Unacked, spread
from broker.server.by_headers import publish_by_headers
from broker.server.counters import Tally
from broker.server.deliveries import deliver_each, deliver_in_turn
from broker.server.keyed import publish_grouped, publish_keyed
from broker.server.limits import CACHED_ROUTES
from broker.server.transaction import Transaction
from protocol import delivery
from protocol.acks import Ack
from protocol.content import PublishMethod, Shape
from protocol.errors import NotImplementedFault, PreconditionFailed
from protocol.frames import OversizeContent
from protocol.methods import encode_empty, encode_method
from protocol.runs import GroupedRun, PublishRun

if TYPE_CHECKING:
    from broker.server.connection import Connection

NO_ROUTE = (312, "NO_ROUTE")


class Channel:
    """One open channel of a connection."""

    __slots__ = (
        "_awaited_ticket",
        "_confirms",
        "_held",
        "_next_tag",
        "_published_count",
        "_refused_count",
        "_settled_upto",
        "_tallies",
        "_turn_heads",
        "_unsent_confirms",
        "broker",
        "can_deliver",
        "connection",
        "consumers",
        "counts",
        "global_prefetch",
        "is_closing",
        "is_confirming",
        "last_queue",
        "number",
        "prefetch",
        "reply_queue",
        "routes",
        "shared_credit",
        "transaction",
        "unacked",
    )

    def __init__(self, connection: "Connection", number: int) -> None:
        self.connection = connection
        self.broker = connection.broker
        self.number = number
        self.consumers: dict[str, Consumer] = {}
        self.unacked = Unacked(connection.broker.residency.unacked)
        self.last_queue = ""
        self.prefetch = self.global_prefetch = 0
        self.shared_credit = UNLIMITED
        self.can_deliver = connection.is_writable
        self.is_closing = False
        self.is_confirming = False
        self.transaction: Transaction | None = None
        self.reply_queue: ReplyQueue | None = None
        self._next_tag = 1
        self._turn_heads: delivery.TurnHeads | None = None
        self.counts: object = None
        self._refused_count = 0
        self._tallies: dict[tuple[Route, Exchange, bool], Tally] = {}
        self.routes: dict[PublishMethod, Tally] = {}
        self._held: list[tuple[int, bytes]] = []
        self._awaited_ticket = 0
        self._published_count = 0
        self._confirms: deque[tuple[int, int, bool]] = deque()
        self._settled_upto = self._unsent_confirms = 0

    # Publish

    def publish(self, run: PublishRun) -> None:
        """Route a run of messages and append it to its queues. Ref: basic.publish."""
        publish, shape, pieces = run.publish, run.shape, run.pieces
        facts = shape.facts
        tally = self.routes.get(publish)
        vhost = self.connection.vhost
        is_known = tally is not None and tally.route.topology_version == vhost.topology_version
        reply_queue = None
        if not facts.is_plain:
            if not is_known:
                self.exchange_to_publish(publish)  # Its errors come first.
            check_content(facts, self.connection.access)
            if facts.has_carbon:
                publish_by_headers(self, run)
                return
            reply_queue = self.reply_queue_of(shape)
        if tally is None or not is_known:
            if run.routing_keys is not None:
                publish_keyed(self, run, run.routing_keys)
                return
            exchange = self.exchange_to_publish(publish)
            if vhost.looks_at(exchange) is not LooksAt.KEY or self.broker.firehose.is_on(vhost):
                publish_by_headers(self, run)
                return
            tally = self.learn(publish, exchange, vhost.route(exchange, publish.routing_key, None))
        tally.count += len(pieces)
        if reply_queue is None:
            self.enqueue(publish, tally.route, shape, pieces)
            return
        for request, contents in reply_queue.requests(shape, pieces):
            self.enqueue(publish, tally.route, request, contents)

    publish_run = publish
    """The same, where it was taken note of already that these messages came."""

    def publish_grouped(self, grouped: GroupedRun) -> None:
        """As ``publish``, for messages by many routing keys that are together by key."""
        publish_grouped(self, grouped)

    def reply_queue_of(self, shape: Shape) -> ReplyQueue | None:
        """Return the queue that direct replies come back by, if messages ask for such. Raises PreconditionFailed."""
        is_request = shape.facts.reply_to == REPLY_TO
        if is_request and self.reply_queue is None:
            raise PreconditionFailed("fast reply consumer does not exist")
        return self.reply_queue if is_request else None

    def exchange_to_publish(self, publish: PublishMethod) -> Exchange:
        """As ``writable_exchange``; also raises AccessRefused (403) for the routing key."""
        exchange = self.writable_exchange(publish)
        self.connection.access.check_topics("write", exchange, (publish.routing_key,))
        return exchange

    def writable_exchange(self, publish: PublishMethod) -> Exchange:
        """Return the exchange that a publish goes to, whatever its routing key.

        Raises NotImplementedFault (540) for immediate, AccessRefused (403), NotFound (404). Ref: basic.publish.
        """
        if publish.immediate:
            raise NotImplementedFault("immediate=true")
        connection = self.connection
        connection.access.check("write", "exchange", publish.exchange)
        return connection.vhost.exchange_to_publish(publish.exchange)

    def tally(self, publish: PublishMethod, exchange: Exchange, route: Route) -> Tally:
        """Return where what is published this way is counted."""
        key = route, exchange, publish.mandatory
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= CACHED_ROUTES:
                self.broker.counters.fold_channel(self)
                self._tallies.clear()
                self.routes.clear()
            tally = self._tallies[key] = Tally(*key)
        return tally

    def learn(self, publish: PublishMethod, exchange: Exchange, queues: Sequence[ClassicQueue]) -> Tally:
        """Remember that what is published this way goes to ``queues``; return where it is counted."""
        route = self.broker.enqueuer.route_to(queues, self.connection.vhost.topology_version)
        tally = self.tally(publish, exchange, route)
        if len(self.routes) >= CACHED_ROUTES:
            self.routes.clear()
        self.routes[publish] = tally
        return tally

    @property
    def tallies(self) -> Collection[Tally]:
        """What was published since it was counted last, by route."""
        return self._tallies.values()

    def enqueue(self, publish: PublishMethod, route: Route, shape: Shape, pieces: list[bytes]) -> None:
        """Append the messages to the route's queues, now or at the commit, and answer for them if that was asked."""
        if self.transaction is not None:
            self.transaction.publish(publish, route, shape, pieces)
            return
        if route.may_be_refused:
            for piece in pieces:
                is_logged, is_refused = self.broker.enqueuer.enqueue_or_refuse(route, shape, piece)
                if self.is_confirming:
                    self._published_count += 1
                    self._expect_confirm(is_logged, is_refused)
            return
        if publish.mandatory or not route.queues:
            is_logged = self.enqueue_now(publish, route, shape, pieces)
        else:
            is_logged = self.broker.enqueuer.enqueue(route, shape, pieces)
        if self.is_confirming:
            self._published_count += len(pieces)
            self._expect_confirm(is_logged)

    def answer_for(self, count: int, is_logged: bool) -> None:
        """Confirm that many more messages, if that was asked, once they are safe."""
        if self.is_confirming:
            self._published_count += count
            self._expect_confirm(is_logged)

    def enqueue_now(self, publish: PublishMethod, route: Route, shape: Shape, pieces: list[bytes]) -> bool:
        """Append the messages to the route's queues, or return mandatory ones; True if they went to the log."""
        if publish.mandatory and not route.reaches_queue():
            frame_max = self.connection.frame_max
            for piece in pieces:
                self.send(delivery.returned(shape, piece, self.number, frame_max, *NO_ROUTE))
        if not route.queues:
            self.broker.counters.note_unroutable(self, publish, pieces)
            return False
        return self.broker.enqueuer.enqueue(route, shape, pieces)

    def refuse_oversize(self, content: OversizeContent) -> None:
        """Raise PreconditionFailed (406) for a message over the limit. RabbitMQ: max_message_size."""
        limit = self.broker.max_message_octets
        text = f"message size {content.body_octets} is larger than configured max size {limit}"
        raise PreconditionFailed(text, class_id=60, method_id=40)

    # Confirms

    def _expect_confirm(self, is_logged: bool, is_refused: bool = False) -> None:
        """Confirm what was published so far once it is safe: at the end of this read, or after the sync.

        What a full queue refused is nacked, in its turn.
        """
        confirms = self._confirms
        if is_logged or confirms:
            ticket = self._await_log() if is_logged else confirms[-1][1]
            if confirms and confirms[-1][1:] == (ticket, is_refused):
                confirms.pop()
            confirms.append((self._published_count, ticket, is_refused))
        elif is_refused:
            self._refuse_upto(self._published_count)
        else:
            self._confirm_upto(self._published_count)

    def _refuse_upto(self, tag: int) -> None:
        """Send a nack for all publishes up to ``tag`` that have no answer, after the acks that are due."""
        self.send_confirms()
        count = tag - self._settled_upto
        self._settled_upto = tag
        self._refused_count += count
        self.connection.send(delivery.refuse(self.number, tag, count > 1))

    def _confirm_upto(self, tag: int) -> None:
        if self._unsent_confirms == 0:
            self.broker.confirming.append(self)
        self._unsent_confirms = tag - self._settled_upto

    def send_confirms(self) -> None:
        """Send the confirms that are due, as one frame."""
        count = self._unsent_confirms
        if count:
            self._unsent_confirms = 0
            self._settled_upto += count
            self.connection.send(delivery.confirm(self.number, self._settled_upto, count > 1))

    # What waits for the log

    def _await_log(self) -> int:
        """Ask to be told when all that was appended so far is on disk; return the ticket."""
        ticket = self.broker.store.ticket
        if ticket != self._awaited_ticket:
            self._awaited_ticket = self.broker.store.promise(self._durable)
        return self._awaited_ticket

    def _durable(self, ticket: int) -> None:
        """All that was appended up to ``ticket`` is on disk."""
        confirms = self._confirms
        while confirms and confirms[0][1] <= ticket:
            upto, _, is_refused = confirms.popleft()
            if is_refused:
                self._refuse_upto(upto)
            else:
                self._confirm_upto(upto)
        if self._held:
            self._release(ticket)

    @property
    def confirmed_count(self) -> int:
        """How many publishes were confirmed."""
        return self._settled_upto - self._refused_count

    @property
    def unconfirmed_count(self) -> int:
        """How many publishes have no answer yet."""
        return self._published_count - self._settled_upto

    @property
    def next_tag(self) -> int:
        """The tag of the next delivery."""
        return self._next_tag

    @property
    def is_holding(self) -> bool:
        """Whether replies wait for the disk."""
        return bool(self._held)

    def _release(self, ticket: int) -> None:
        held, self._held = self._held, []
        for awaited, octets in held:
            if awaited <= ticket:
                self.connection.send(octets)
            else:
                self._held.append((awaited, octets))
        if not self._held:
            self.update_can_deliver()

    def send(self, octets: bytes) -> None:
        """Send whole frames, after all that is held on this channel."""
        if self._held:
            self._held.append((self._held[-1][0], octets))
        else:
            self.connection.send(octets)

    def reply(self, method: Frame) -> None:
        """Send a reply that promises nothing about the disk."""
        self.send(encode_method(self.number, method))

    def reply_when_durable(self, method: Frame) -> None:
        """Send a reply once all that was defined and published so far is on disk; later replies wait behind it."""
        self._held.append((self._await_log(), encode_method(self.number, method)))
        self.can_deliver = False
        if self.broker.backpressure.must_pause():
            self.broker.backpressure.pause(self.connection)

    # Deliveries

    def deliver(self, consumer: Consumer, stretch: Stretch) -> None:
        """Send the messages of ``stretch`` to ``consumer``'s client, and keep them as unacked if it acks."""
        first_tag, count = self._next_tag, len(stretch.pieces)
        self._next_tag = first_tag + count  # Not by take_tags: hot.
        consumer.delivered_count += count
        if stretch.redelivered:
            consumer.redelivered_count += count
        connection = self.connection
        consumer.writer.write(connection.out, stretch.shape, stretch.pieces, first_tag, stretch.redelivered)
        if not consumer.no_ack:
            self.keep_unacked(first_tag, consumer, stretch)
        connection.delivered(stretch.delivered_octets())

    def keep_unacked(self, first_tag: int, consumer: Consumer, stretch: Stretch) -> None:
        """Keep what was delivered to ``consumer`` until it is settled, and count it against the prefetch limits."""
        self.unacked.add(Delivery(first_tag, consumer.queue, consumer, stretch))
        if consumer.prefetch:
            consumer.credit -= len(stretch.pieces)
        if self.global_prefetch:
            self.shared_credit -= len(stretch.pieces)

    def deliver_each(self, handed: Sequence[tuple[Consumer, Stretch]], each_octets: int) -> None:
        """As DeliverySink has it."""
        deliver_each(self, handed, each_octets)

    def deliver_in_turn(self, consumers: Sequence[Consumer], stretch: Stretch) -> None:
        """Send the messages of ``stretch`` to consumers of this channel, one each in turn, as ``deliver`` does."""
        if self._turn_heads is None:
            self._turn_heads = delivery.TurnHeads()
        deliver_in_turn(self, consumers, stretch, self._turn_heads)

    def take_tags(self, count: int) -> int:
        """Return the first of the next so many delivery tags, which are given away."""
        first_tag = self._next_tag
        self._next_tag = first_tag + count
        return first_tag

    def get(self, queue: ClassicQueue, no_ack: bool) -> None:
        """Answer basic.get with a message or get-empty. Ref: basic.get."""
        stretch = queue.get()
        if stretch is None:
            self.broker.counters.got_nothing(queue, self)
            self.send(encode_empty(self.number, commands.Basic.GetEmpty))
            return
        self.broker.counters.got(queue, self, no_ack=no_ack, redelivered=stretch.redelivered)
        if self.broker.firehose.is_on(self.connection.vhost):
            self.broker.firehose.got(self, queue, stretch)
        tag = self.take_tags(1)
        shape, frame_max = stretch.shape, self.connection.frame_max
        piece, left = stretch.pieces[0], queue.message_count
        self.send(delivery.get_ok(shape, piece, self.number, frame_max, tag, stretch.redelivered, left))
        self.connection.wait_for_client()
        if no_ack:
            queue.settle(stretch)
        else:
            self.unacked.add(Delivery(tag, queue, None, stretch))

    def update_can_deliver(self) -> None:
        """Take the state of connection, flow and held replies into account; wake consumers up."""
        can_deliver = self.connection.is_writable and not self._held and not self.is_closing
        if can_deliver and not self.can_deliver:
            self.can_deliver = True
            self._wake_consumers()
        self.can_deliver = can_deliver

    def set_flow(self, is_active: bool) -> None:
        """Answer channel.flow. Raises NotImplementedFault (540) when asked to stop, as RabbitMQ does."""
        if not is_active:
            raise NotImplementedFault("active=false")
        self.reply(commands.Channel.FlowOk(active=True))

    def _wake_consumers(self) -> None:
        """Let them stand in line again in the order in which they left, so that a pause changes nobody's turn."""
        for consumer in sorted(self.consumers.values(), key=attrgetter("left_at")):
            consumer.queue.consumer_ready(consumer)

    def limit_prefetch(self, count: int) -> None:
        """Let the channel's consumers together hold ``count`` unacked messages, 0 for any. RabbitMQ: Prefetch."""
        held = sum(item.count for item in self.unacked.consumed())
        self.global_prefetch = count
        self.shared_credit = max(0, count - held) if count else UNLIMITED
        self._wake_consumers()

    # Settlements

    def ack(self, ack: Ack) -> None:
        """Settle acked deliveries. Raises PreconditionFailed (406) on a tag that is not open. Ref: basic.ack."""
        if self.transaction is not None:
            taken, unknown = self._take(ack)
            self.transaction.settle(taken, "ack")
        else:
            taken, unknown = self._take(ack)
            self.settle(taken)
        if unknown is not None:
            raise PreconditionFailed(f"unknown delivery tag {unknown}", class_id=60, method_id=80)

    def reject(self, tag: int, multiple: bool, requeue: bool) -> None:
        """Requeue or drop deliveries. Raises PreconditionFailed (406) on a tag that is not open."""
        taken, unknown = self._take(Ack(self.number, tag, 1, multiple))
        if self.transaction is not None:
            self.transaction.settle(taken, "requeue" if requeue else "reject")
        elif requeue:
            self.requeue(taken)
        else:
            self.discard(taken)
        if unknown is not None:
            raise PreconditionFailed(f"unknown delivery tag {unknown}")

    def _take(self, ack: Ack) -> tuple[list[Delivery], int | None]:
        """Take the tags that ``ack`` names out of the open ones; also return the first that was not open."""
        unacked, unknown = self.unacked, None
        has_parked = unacked.has_parked
        if not ack.multiple:
            taken, unknown = unacked.take(ack.first_tag, ack.count)
        elif ack.first_tag == 0:
            taken = unacked.take_all()
        elif unacked.has(ack.first_tag):
            taken = unacked.take_up_to(ack.first_tag)
        else:
            return [], ack.first_tag
        return SpreadDeliveries(taken) if has_parked else taken, unknown

    def discard(self, deliveries: list[Delivery], *, at_once: bool = False) -> None:
        """Let messages die that were rejected for good; ``at_once``: in this batch of the log, however many."""
        for item in deliveries:
            item.queue.reject(item.stretch, at_once=at_once)
            self.broker.counters.gave_back(item.queue, self, item.count)
        self._return_credit(deliveries)

    def settle(self, deliveries: list[Delivery]) -> None:
        """Forget messages that were acked."""
        for item in deliveries:
            item.queue.settle(item.stretch)
        self._return_credit(deliveries)

    def requeue(self, deliveries: list[Delivery]) -> None:
        """Put messages back to where they were in their queues."""
        for item in deliveries:
            item.queue.requeue(item.stretch)
            self.broker.counters.gave_back(item.queue, self, item.count)
            self._relieve()
        self._return_credit(deliveries)

    def _relieve(self) -> None:
        """Let messages leave memory again where many came back to it; on the way, for they may be more than fit."""
        if self.broker.residency.is_due:
            self.broker.residency.relieve()

    def _return_credit(self, deliveries: list[Delivery]) -> None:
        for item in deliveries:
            consumer = item.consumer
            if consumer is not None:
                if self.global_prefetch:
                    self.shared_credit += item.count
                consumer.settled(item.count)
        if self.global_prefetch and self.shared_credit > 0:
            self._wake_consumers()

    # Consumers

    def consume(self, consumer: Consumer) -> None:
        """Add ``consumer`` under its tag."""
        self.consumers[consumer.tag] = consumer
        if self.broker.firehose.is_on(self.connection.vhost):
            self.broker.firehose.watch(self, consumer)
        consumer.queue.subscribe(consumer)

    def cancel(self, tag: str) -> None:
        """End the consumer with ``tag``, if there is one; its unacked deliveries stay open. Ref: basic.cancel."""
        consumer = self.consumers.pop(tag, None)
        if consumer is not None:
            self._leave(consumer)

    def _leave(self, consumer: Consumer) -> None:
        self.broker.counters.fold_consumer(consumer, self)
        queue = consumer.queue
        if isinstance(queue, ReplyQueue):
            self.connection.vhost.remove_reply_queue(queue)
            queue.consumer = self.reply_queue = None
            return
        queue.unsubscribe(consumer)
        if queue.auto_delete and not queue.consumers and not queue.is_deleted:
            self.connection.vhost.queue_unused(queue)

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """Tell the client that ``consumer``'s queue is gone, if it asked for that. RabbitMQ: Consumer Cancel."""
        if self.consumers.get(consumer.tag) is consumer:
            del self.consumers[consumer.tag]
            self.broker.counters.fold_consumer(consumer, self)
            if self.connection.has_capability("consumer_cancel_notify"):
                self.reply(commands.Basic.Cancel(consumer_tag=consumer.tag, nowait=True))

    def new_consumer_tag(self) -> str:
        """Return a tag that no consumer of the channel has."""
        return ConsumerTags(self.broker.random).new()

    # End

    def close(self) -> None:
        """Leave the channel: consumers go, unacked messages return to their queues, a transaction is undone."""
        counters = self.broker.counters
        if not (self._tallies or self.consumers or self._next_tag > 1 or self.transaction or self._published_count):
            counters.channels_closed += 1  # Nothing was done on it.
            self.is_closing = True
            self.can_deliver = False
            return
        self.send_confirms()
        counters.fold_channel(self)
        counters.channels_closed += 1
        self.is_closing = True
        self.can_deliver = False
        if self.transaction is not None:
            self.transaction.rollback()
            self.transaction = None
        consumers = list(self.consumers.values())
        self.consumers.clear()
        for consumer in consumers:
            consumer.queue.unsubscribe(consumer)
        # A queue that goes with its last consumer goes before its messages return: they do not die by its limits.
        for consumer in consumers:
            self._leave(consumer)
        for item in spread(self.unacked.take_all()):
            item.queue.requeue(item.stretch)
            counters.gave_back(item.queue, self, item.count)
            self._relieve()
        self._confirms.clear()
        self.routes.clear()
        self._tallies.clear()
