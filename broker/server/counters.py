"""What the broker has done so far, in whole numbers, for whoever looks: management API and metrics.

Nothing is counted per message. The hot path keeps one number for each route of a channel (a Tally: messages published
that way), and one in each consumer (messages delivered); ``gather`` turns these into counts of queues, exchanges,
channels and the node when somebody asks, or when channel or consumer goes. Acks are what was delivered and is
neither open nor given back. RabbitMQ: Management Plugin, "message_stats".
"""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from broker.core.exchanges.kept import KeptMessages

if TYPE_CHECKING:
    from broker.core.consumers import Consumer
    from broker.core.exchanges.exchange import Exchange
    from broker.core.publish.enqueue import Route
    from broker.core.queues.classic import ClassicQueue
    from broker.core.vhosts import VirtualHost
    from broker.server.broker import Broker
    from broker.server.channel import Channel
    from broker.server.connection import Connection
    from protocol.content import PublishMethod

UNROUTABLE_KEPT: Final = 1000
AT_MOST_ONCE: Final = "at-most-once"
AT_LEAST_ONCE: Final = "at-least-once"


@dataclass(slots=True)
class Counts:
    """Messages by what became of them; names as in RabbitMQ's message_stats. ``given_back`` were not acked."""

    publish: int = 0
    confirm: int = 0
    return_unroutable: int = 0
    drop_unroutable: int = 0
    deliver: int = 0
    deliver_no_ack: int = 0
    get: int = 0
    get_no_ack: int = 0
    get_empty: int = 0
    redeliver: int = 0
    given_back: int = 0

    @property
    def deliver_get(self) -> int:
        """All deliveries."""
        return self.deliver + self.deliver_no_ack + self.get + self.get_no_ack

    def acked(self, open_count: int) -> int:
        """Return how many were acked, of which ``open_count`` are not settled."""
        return max(0, self.deliver + self.get - self.given_back - open_count)

    def sample(self, open_count: int) -> tuple[int, ...]:
        """Return all counts, in the order of SAMPLED."""
        return (
            *(self.publish, self.confirm, self.return_unroutable, self.drop_unroutable, self.deliver),
            *(self.deliver_no_ack, self.get, self.get_no_ack, self.get_empty, self.redeliver),
            *(self.acked(open_count), self.deliver_get),
        )


SAMPLED: Final = (
    *("publish", "confirm", "return_unroutable", "drop_unroutable", "deliver"),
    *("deliver_no_ack", "get", "get_no_ack", "get_empty", "redeliver", "ack", "deliver_get"),
)
"""What a sample holds, by place; of queues, ready and unacked messages follow, of vhosts octets in and out."""


@dataclass(slots=True)
class Traffic:
    """What came and went over connections: octets, and how many reads and writes that were."""

    received_octets: int = 0
    sent_octets: int = 0
    received_count: int = 0
    sent_count: int = 0

    def add(self, connection: "Connection | Traffic") -> None:
        """Add what another has."""
        self.received_octets += connection.received_octets
        self.sent_octets += connection.sent_octets
        self.received_count += connection.received_count
        self.sent_count += connection.sent_count


@dataclass(slots=True)
class ExchangeCounts:
    """Messages that came to an exchange from publishers, and that it led to queues."""

    publish_in: int = 0
    publish_out: int = 0


class Tally:
    """Messages that a channel has published along one route since they were counted last."""

    __slots__ = ("count", "exchange", "is_mandatory", "route")

    def __init__(self, route: "Route", exchange: "Exchange", is_mandatory: bool) -> None:
        self.route = route
        self.exchange = exchange
        self.is_mandatory = is_mandatory
        self.count = 0


@dataclass(slots=True)
class Unroutable:
    """A run of messages that reached no queue."""

    wall_ms: int
    vhost: str
    exchange: str
    routing_key: str
    user: str
    connection: str
    count: int
    returned: bool


@dataclass(slots=True)
class Counters:
    """The node's counts since the start. ``received_confirm`` are those on channels that confirm."""

    connections_opened: int = 0
    connections_closed: int = 0
    channels_opened: int = 0
    channels_closed: int = 0
    queues_declared: int = 0
    queues_created: int = 0
    received_confirm: int = 0
    routed: int = 0
    node: Counts = field(default_factory=Counts)
    by_type: dict[str, Counts] = field(default_factory=dict)
    dead_lettered: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """By type of queue, strategy and reason."""
    gone: Traffic = field(default_factory=Traffic)
    """Of connections that have been closed; ``gone_of`` is the same by virtual host."""
    gone_of: dict[str, Traffic] = field(default_factory=dict)
    unroutable: deque[Unroutable] = field(default_factory=lambda: deque(maxlen=UNROUTABLE_KEPT))

    # Fold what the hot path keeps

    def fold_tally(self, channel: "Channel", tally: Tally) -> None:
        """Take the messages that a channel has published along a route into all counts."""
        count, tally.count = tally.count, 0
        if not count:
            return
        vhost = channel.connection.vhost
        if channel.is_confirming:
            self.received_confirm += count
        self.published(count, tally.route, tally.exchange, vhost, tally.is_mandatory, counts_of(channel))

    def published(
        self,
        count: int,
        route: "Route",
        exchange: "Exchange",
        vhost: "VirtualHost",
        is_mandatory: bool = False,
        publisher: Counts | None = None,
    ) -> None:
        """Count messages that were published to ``exchange`` and went along ``route``."""
        everywhere = [self.node, counts_of(vhost)] + ([] if publisher is None else [publisher])
        for counts in everywhere:
            counts.publish += count
        queues = [queue for queue in route.queues if not isinstance(queue, KeptMessages)]
        for queue in queues:
            counts_of(queue).publish += count
        exchange_counts = exchange_counts_of(exchange)
        exchange_counts.publish_in += count
        exchange_counts.publish_out += count * len(queues)
        if route.queues:
            self.routed += count
        elif is_mandatory:
            for counts in everywhere:
                counts.return_unroutable += count
        else:
            for counts in everywhere:
                counts.drop_unroutable += count

    def fold_consumer(self, consumer: "Consumer", channel: "Channel") -> None:
        """Take the messages that a consumer has got into all counts."""
        count, consumer.delivered_count = consumer.delivered_count, 0
        redelivered, consumer.redelivered_count = consumer.redelivered_count, 0
        if not count:
            return
        for counts in self._of_delivery(consumer.queue, channel):
            if consumer.no_ack:
                counts.deliver_no_ack += count
            else:
                counts.deliver += count
            counts.redeliver += redelivered

    def fold_channel(self, channel: "Channel") -> None:
        """Take all that a channel's routes and consumers keep into the counts, and its confirms."""
        for tally in channel.tallies:
            self.fold_tally(channel, tally)
        for consumer in channel.consumers.values():
            self.fold_consumer(consumer, channel)
        if not channel.confirmed_count:
            return
        counts = counts_of(channel)
        news = channel.confirmed_count - counts.confirm
        if news:
            counts.confirm += news
            self.node.confirm += news
            counts_of(channel.connection.vhost).confirm += news

    def gather(self, broker: "Broker") -> None:
        """Bring all counts up to date."""
        for connection in broker.connections:
            for channel in connection.channels.values():
                self.fold_channel(channel)

    # What is rare is counted at once

    def connection_gone(self, connection: "Connection") -> None:
        """Count a connection that is closed, so that sums do not lose what it has done."""
        self.connections_closed += 1
        self.gone.add(connection)
        vhost = connection.vhost.name
        gone = self.gone_of.get(vhost)
        if gone is None:
            gone = self.gone_of[vhost] = Traffic()
        gone.add(connection)

    def traffic(self, broker: "Broker", vhost: str | None = None) -> Traffic:
        """Return what all connections have done since the start, of the node or of a virtual host."""
        traffic = Traffic()
        gone = self.gone if vhost is None else self.gone_of.get(vhost)
        if gone is not None:
            traffic.add(gone)
        for connection in broker.connections if vhost is None else broker.admission.of_vhost(vhost):
            if connection.is_open:
                traffic.add(connection)
        return traffic

    def got(self, queue: "ClassicQueue", channel: "Channel | None", *, no_ack: bool, redelivered: bool) -> None:
        """Count a basic.get that found a message."""
        for counts in self._of_delivery(queue, channel):
            if no_ack:
                counts.get_no_ack += 1
            else:
                counts.get += 1
            counts.redeliver += redelivered

    def got_nothing(self, queue: "ClassicQueue", channel: "Channel | None") -> None:
        """Count a basic.get that found none."""
        for counts in self._of_delivery(queue, channel):
            counts.get_empty += 1

    def gave_back(self, queue: "ClassicQueue", channel: "Channel | None", count: int) -> None:
        """Count deliveries that were requeued or rejected."""
        for counts in self._of_delivery(queue, channel):
            counts.given_back += count

    def note_unroutable(
        self, channel: "Channel", publish: "PublishMethod", pieces: Sequence[bytes], routing_key: str | None = None
    ) -> None:
        """Remember messages that reached no queue, for whoever wonders where they are.

        ``routing_key`` is theirs, where ``publish`` does not say it.
        """
        connection = channel.connection
        self.unroutable.append(
            Unroutable(
                wall_ms=channel.broker.clock.wall_ms(),
                vhost=connection.vhost.name,
                exchange=publish.exchange,
                routing_key=publish.routing_key if routing_key is None else routing_key,
                user=connection.user,
                connection=connection.peer,
                count=len(pieces),
                returned=publish.mandatory,
            )
        )

    def _of_delivery(self, queue: "ClassicQueue", channel: "Channel | None") -> tuple[Counts, ...]:
        kind = type_of(queue)
        by_type = self.by_type.get(kind)
        if by_type is None:
            by_type = self.by_type[kind] = Counts()
        if channel is None:
            return self.node, by_type, counts_of(queue)
        return self.node, by_type, counts_of(channel.connection.vhost), counts_of(channel), counts_of(queue)

    def died(self, queue: "ClassicQueue", count: int, reason: str) -> None:
        """Count messages that were dead-lettered."""
        kind, rules = type_of(queue), queue.rules
        is_sure = (
            kind == "quorum" and rules.dead_letter_strategy == AT_LEAST_ONCE and rules.overflow == "reject-publish"
        )
        key = kind, AT_LEAST_ONCE if is_sure else AT_MOST_ONCE, reason
        self.dead_lettered[key] = self.dead_lettered.get(key, 0) + count

    # Samples

    def samples(self, broker: "Broker") -> dict[Hashable, tuple[int, ...]]:
        """Return the values of everything whose rates are shown, by the object itself; None stands for the node."""
        samples: dict[Hashable, tuple[int, ...]] = {}
        all_ready = all_unacked = 0
        for vhost in broker.vhosts.values():
            vhost_ready = vhost_unacked = 0
            for queue in vhost.queues.values():
                ready, unacked = queue.message_count, queue.unacked_count
                vhost_ready += ready
                vhost_unacked += unacked
                samples[queue] = (*counts_of(queue).sample(unacked), ready, unacked)
            traffic = self.traffic(broker, vhost.name)
            octets = traffic.received_octets, traffic.sent_octets
            samples[vhost] = (*counts_of(vhost).sample(vhost_unacked), vhost_ready, vhost_unacked, *octets)
            all_ready += vhost_ready
            all_unacked += vhost_unacked
            for exchange in vhost.exchanges.values():
                counts = exchange_counts_of(exchange)
                samples[exchange] = (counts.publish_in, counts.publish_out)
        for connection in broker.connections:
            samples[connection] = (connection.received_octets, connection.sent_octets)
            for channel in connection.channels.values():
                samples[channel] = counts_of(channel).sample(channel.unacked.count)
        churn = self.connections_opened, self.connections_closed, self.channels_opened, self.channels_closed
        queues = self.queues_declared, self.queues_created, self.queues_deleted(broker)
        samples[None] = (*self.node.sample(all_unacked), all_ready, all_unacked, *churn, *queues)
        return samples

    def queues_deleted(self, broker: "Broker") -> int:
        """Return how many queues have gone."""
        return self.queues_created - sum(len(vhost.queues) for vhost in broker.vhosts.values())


def type_of(queue: "ClassicQueue") -> str:
    """Return a queue's type: classic, quorum or stream."""
    return queue.arguments.get("x-queue-type") or "classic"


def counts_of(counted: "ClassicQueue | Channel | VirtualHost") -> Counts:
    """Return the counts of a queue, channel or virtual host, made now if nobody has asked before."""
    counts = counted.counts
    if counts is None:
        counts = counted.counts = Counts()
    assert isinstance(counts, Counts)
    return counts


def exchange_counts_of(exchange: "Exchange") -> ExchangeCounts:
    """Return the counts of an exchange, made now if nobody has asked before."""
    counts = exchange.counts
    if counts is None:
        counts = exchange.counts = ExchangeCounts()
    assert isinstance(counts, ExchangeCounts)
    return counts
