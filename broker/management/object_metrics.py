"""Metrics of queues, channels and connections: summed up, or one by one. See metrics.py.

A family here is what RabbitMQ calls so: metrics that are asked for together at ``/metrics/detailed``.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from broker.core.queues.classic import ClassicQueue
from broker.management.describe import channel_name, consumer_capacity, head_timestamp
from broker.management.queue_sizes import HeldSizes, described_sizes
from broker.server.broker import Broker
from broker.server.channel import Channel
from broker.server.connection import Connection
from broker.server.counters import Counts, Traffic, counts_of, exchange_counts_of, type_of

Labels = dict[str, str]
Named = tuple[str, str]
"""A metric's name without what all begin with, and its text."""

COARSE: Final[dict[str, str]] = {
    "messages_ready": "Messages ready to be delivered to consumers",
    "messages_unacked": "Messages delivered to consumers but not yet acknowledged",
    "messages": "Sum of ready and unacknowledged messages",
}
FINE: Final[dict[str, str]] = {
    "consumers": "Consumers on a queue",
    "consumer_capacity": "Consumer capacity",
    "consumer_utilisation": "Same as consumer capacity",
    "messages_bytes": "Size in bytes of ready and unacknowledged messages",
    "messages_ready_bytes": "Size in bytes of ready messages",
    "messages_unacked_bytes": "Size in bytes of all unacknowledged messages",
    "messages_ram": "Ready and unacknowledged messages stored in memory",
    "messages_ready_ram": "Ready messages stored in memory",
    "messages_unacked_ram": "Unacknowledged messages stored in memory",
    "messages_ram_bytes": "Size of ready and unacknowledged messages stored in memory",
    "messages_persistent": "Persistent messages",
    "messages_persistent_bytes": "Size in bytes of persistent messages",
    "messages_paged_out": "Messages that have left memory",
    "messages_paged_out_bytes": "Size in bytes of messages that have left memory",
    "process_memory_bytes": "Memory in bytes that a queue's messages take, about",
    "head_message_timestamp": "Timestamp of the first message in the queue, if any",
}

CHANNEL_GAUGES: Final[dict[str, tuple[str, Callable[[Channel], int]]]] = {
    "channel_consumers": ("Consumers on a channel", lambda each: len(each.consumers)),
    "channel_messages_unacked": ("Delivered but not yet acknowledged messages", lambda each: each.unacked.count),
    "channel_messages_unconfirmed": (
        "Published but not yet confirmed messages",
        lambda each: each.unconfirmed_count if each.is_confirming else 0,
    ),
    "channel_prefetch": ("Total limit of unacknowledged messages for all consumers", lambda each: each.global_prefetch),
    "channel_messages_uncommitted": (
        "Messages published in a transaction but not yet committed",
        lambda each: each.transaction.published_count if each.transaction is not None else 0,
    ),
    "channel_acks_uncommitted": (
        "Acknowledgements in a transaction not yet committed",
        lambda each: each.transaction.settled_count if each.transaction is not None else 0,
    ),
    "consumer_prefetch": ("Limit of unacknowledged messages for each consumer", lambda each: each.prefetch),
}
CHANNEL_OF_EXCHANGES: Final[dict[str, tuple[str, Callable[[Counts, int], int]]]] = {
    "messages_published": ("Messages published on a channel", lambda counts, _: counts.publish),
    "messages_confirmed": ("Messages confirmed on a channel", lambda counts, _: counts.confirm),
    "messages_unroutable_returned": (
        "Messages published as mandatory and returned as unroutable",
        lambda counts, _: counts.return_unroutable,
    ),
    "messages_unroutable_dropped": (
        "Messages published as non-mandatory and dropped as unroutable",
        lambda counts, _: counts.drop_unroutable,
    ),
}
CHANNEL_OF_QUEUES: Final[dict[str, tuple[str, Callable[[Counts, int], int]]]] = {
    "get": ("Messages fetched without acknowledgement", lambda counts, _: counts.get_no_ack),
    "get_ack": ("Messages fetched to be acknowledged", lambda counts, _: counts.get),
    "get_empty": ("Times that nothing was there to fetch", lambda counts, _: counts.get_empty),
    "messages_delivered": ("Messages delivered without acknowledgement", lambda counts, _: counts.deliver_no_ack),
    "messages_delivered_ack": ("Messages delivered to be acknowledged", lambda counts, _: counts.deliver),
    "messages_redelivered": ("Messages redelivered", lambda counts, _: counts.redeliver),
    "messages_acked": ("Messages acknowledged", lambda counts, unacked: counts.acked(unacked)),
}
CONNECTION_COARSE: Final[dict[str, tuple[Any, str, Callable[[Connection | Traffic], int]]]] = {
    "incoming_bytes": (CounterMetricFamily, "Octets received on a connection", lambda each: each.received_octets),
    "outgoing_bytes": (CounterMetricFamily, "Octets sent on a connection", lambda each: each.sent_octets),
}
CONNECTION_FINE: Final[dict[str, tuple[Any, str, Callable[[Connection | Traffic], int]]]] = {
    "incoming_packets": (CounterMetricFamily, "Reads of a connection", lambda each: each.received_count),
    "outgoing_packets": (CounterMetricFamily, "Writes of a connection", lambda each: each.sent_count),
}
CONNECTION_GAUGES: Final[dict[str, tuple[str, Callable[[Connection], int]]]] = {
    "pending_packets": ("Octets waiting to be sent", lambda each: each.unwritten_octets),
    "channels": ("Channels on a connection", lambda each: len(each.channels)),
}


class ObjectMetrics:
    """The families. ``is_per_object`` labels each object; else there is one sum.

    Sums over channels and connections hold what closed ones did as well, so that counters never fall.
    """

    def __init__(self, broker: Broker, *, is_per_object: bool) -> None:
        self._broker = broker
        self._is_per_object = is_per_object

    def queue_coarse(self) -> Iterator[Metric]:
        """Yield what is cheap to tell of queues."""
        yield from self._of_queues(COARSE, _coarse)

    def queue_fine(self) -> Iterator[Metric]:
        """Yield what of each queue is looked for."""
        held = HeldSizes(self._broker)
        yield from self._of_queues(FINE, lambda queue: _fine(queue, held))

    def queue_consumer_count(self) -> Iterator[Metric]:
        """Yield the consumers alone."""
        yield from self._of_queues({"consumers": FINE["consumers"]}, lambda queue: {"consumers": queue.consumer_count})

    def queue_published(self) -> Iterator[Metric]:
        """Yield what was published to queues."""
        samples = [(_queue_labels(queue), float(counts_of(queue).publish)) for queue in self._queues()]
        text = "Total number of messages published to queues"
        yield self._family(CounterMetricFamily, ("queue_messages_published", text), samples)

    def queue_delivered(self) -> Iterator[Metric]:
        """Yield what was delivered from queues."""
        queues = [(_queue_labels(each), counts_of(each), each.unacked_count) for each in self._queues()]
        for name, (text, value) in CHANNEL_OF_QUEUES.items():
            samples = [(labels, float(value(counts, unacked))) for labels, counts, unacked in queues]
            yield self._family(CounterMetricFamily, (f"queue_{name}", text), samples)

    def queue_kinds(self) -> Iterator[Metric]:
        """Yield of what type each queue is."""
        samples = [
            ({**_queue_labels(each), "queue_type": f"rabbit_{type_of(each)}_queue", "membership": "leader"}, 1.0)
            for each in self._queues()
        ]
        yield family(GaugeMetricFamily, ("queue_info", "Queues, to know of their types"), samples)

    def exchange_published(self) -> Iterator[Metric]:
        """Yield what was published to exchanges."""
        samples = [
            ({"vhost": vhost.name, "exchange": name}, float(exchange_counts_of(exchange).publish_in))
            for vhost in self._broker.vhosts.values()
            for name, exchange in vhost.exchanges.items()
        ]
        text = "Total number of messages published to an exchange"
        yield self._family(CounterMetricFamily, ("exchange_messages_published", text), samples)

    def channel_fine(self) -> Iterator[Metric]:
        """Yield what channels hold."""
        for name, (text, value) in CHANNEL_GAUGES.items():
            samples = [({"channel": channel_name(each)}, float(value(each))) for each in self._channels()]
            yield self._family(GaugeMetricFamily, (name, text), samples)

    def channel_of_exchanges(self) -> Iterator[Metric]:
        """Yield what was published on channels."""
        yield from self._counted(CHANNEL_OF_EXCHANGES)

    def channel_of_queues(self) -> Iterator[Metric]:
        """Yield what was delivered on channels."""
        yield from self._counted(CHANNEL_OF_QUEUES)

    def connection_coarse(self) -> Iterator[Metric]:
        """Yield the traffic of connections."""
        yield from self._of_connections(CONNECTION_COARSE)

    def connection_fine(self) -> Iterator[Metric]:
        """Yield what else is told of connections."""
        yield from self._of_connections(CONNECTION_FINE)
        for name, (text, value) in CONNECTION_GAUGES.items():
            samples = [({"connection": each.name}, float(value(each))) for each in self._connections()]
            yield self._family(GaugeMetricFamily, (f"connection_{name}", text), samples)

    def vhosts(self) -> Iterator[Metric]:
        """Yield that virtual hosts run."""
        samples = [({"vhost": name}, 1.0) for name in sorted(self._broker.vhosts)]
        yield family(GaugeMetricFamily, ("vhost_status", "Whether a virtual host is running"), samples)

    def exchange_names(self) -> Iterator[Metric]:
        """Yield the exchanges."""
        samples = [(labels, 1.0) for labels, _ in self._exchanges()]
        yield family(GaugeMetricFamily, ("exchange_name", "Exchanges, to know of them"), samples)

    def exchange_bindings(self) -> Iterator[Metric]:
        """Yield how many bindings exchanges have."""
        yield family(GaugeMetricFamily, ("exchange_bindings", "Bindings of an exchange"), self._exchanges())

    # What they are made of

    def _queues(self) -> list[ClassicQueue]:
        return [queue for vhost in self._broker.vhosts.values() for queue in vhost.queues.values()]

    def _channels(self) -> list[Channel]:
        return [channel for connection in self._connections() for channel in connection.channels.values()]

    def _connections(self) -> list[Connection]:
        return [each for each in self._broker.connections if each.is_open]

    def _exchanges(self) -> list[tuple[Labels, float]]:
        return [
            ({"vhost": vhost.name, "exchange": name, "type": exchange.type_name}, float(len(exchange.bindings)))
            for vhost in self._broker.vhosts.values()
            for name, exchange in vhost.exchanges.items()
            if name
        ]

    def _of_queues(self, texts: dict[str, str], values: Callable[[ClassicQueue], dict[str, float]]) -> Iterator[Metric]:
        found = [(_queue_labels(queue), values(queue)) for queue in self._queues()]
        for name, text in texts.items():
            samples = [(labels, each[name]) for labels, each in found if name in each]
            yield self._family(GaugeMetricFamily, (f"queue_{name}", text), samples)

    def _counted(self, metrics: dict[str, tuple[str, Callable[[Counts, int], int]]]) -> Iterator[Metric]:
        channels = self._channels()
        all_unacked = sum(each.unacked.count for each in channels)
        for name, (text, value) in metrics.items():
            named = (f"channel_{name}", text)
            if self._is_per_object:
                samples = [
                    ({"channel": channel_name(each)}, float(value(counts_of(each), each.unacked.count)))
                    for each in channels
                ]
            else:
                samples = [({}, float(value(self._broker.counters.node, all_unacked)))]
            yield self._family(CounterMetricFamily, named, samples)

    def _of_connections(
        self, metrics: dict[str, tuple[Any, str, Callable[[Connection | Traffic], int]]]
    ) -> Iterator[Metric]:
        everything = self._broker.counters.traffic(self._broker)
        for name, (kind, text, value) in metrics.items():
            samples: list[tuple[Labels, float]] = [({}, float(value(everything)))]
            if self._is_per_object:
                samples = [({"connection": each.name}, float(value(each))) for each in self._connections()]
            yield self._family(kind, (f"connection_{name}", text), samples)

    def _family(self, kind: Any, named: Named, samples: list[tuple[Labels, float]]) -> Metric:
        if self._is_per_object:
            return family(kind, named, samples)
        return family(kind, named, [({}, sum(value for _, value in samples))])


def family(kind: Any, named: Named, samples: Iterable[tuple[Labels, float]], prefix: str = "rabbitmq_") -> Metric:
    """Return a metric with a sample for each set of labels."""
    rows = list(samples)
    made: Metric = kind(prefix + named[0], named[1], labels=list(rows[0][0]) if rows else [])
    for labels, value in rows:
        made.add_metric(list(labels.values()), value)  # type: ignore[attr-defined]
    return made


def _queue_labels(queue: ClassicQueue) -> Labels:
    return {"vhost": queue.vhost_name, "queue": queue.name}


def _coarse(queue: ClassicQueue) -> dict[str, float]:
    return {
        "messages_ready": queue.message_count,
        "messages_unacked": queue.unacked_count,
        "messages": queue.message_count + queue.unacked_count,
    }


def _fine(queue: ClassicQueue, held: HeldSizes) -> dict[str, float]:
    octets, capacity = described_sizes(queue, held.of(queue)), consumer_capacity(queue)
    timestamp = head_timestamp(queue)
    return {
        "consumers": queue.consumer_count,
        "consumer_capacity": capacity,
        "consumer_utilisation": capacity,
        "process_memory_bytes": queue.resident_octets(),
        "messages_bytes": octets["message_bytes"],
        "messages_ready_bytes": octets["message_bytes_ready"],
        "messages_unacked_bytes": octets["message_bytes_unacknowledged"],
        "messages_ram": octets["messages_ram"],
        "messages_ready_ram": octets["messages_ready_ram"],
        "messages_unacked_ram": octets["messages_unacknowledged_ram"],
        "messages_ram_bytes": octets["message_bytes_ram"],
        "messages_persistent": octets["messages_persistent"],
        "messages_persistent_bytes": octets["message_bytes_persistent"],
        "messages_paged_out": octets["messages_paged_out"],
        "messages_paged_out_bytes": octets["message_bytes_paged_out"],
        **({} if timestamp is None else {"head_message_timestamp": timestamp}),
    }
