"""Prometheus metrics by the names that RabbitMQ's dashboards use: all together, or one by one.

``/metrics`` sums up; ``/metrics/per-object`` has each queue, channel and connection. Made when they are asked for.
RabbitMQ: Monitoring with Prometheus and Grafana.
"""

import asyncio
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

import broker
from broker.core.queues.classic import ClassicQueue
from broker.management.call import Call
from broker.management.describe import body_octets, channel_name
from broker.management.node import ManagedNode
from broker.management.overview import descriptor_count, descriptor_limit, free_octets
from broker.management.routing import Row
from broker.server.channel import Channel
from broker.server.connection import Connection
from broker.server.counters import Counts, counts_of
from broker.server.resources import memory_limit_octets, own_resident_octets

PROTOCOL: Final = "amqp091"
QUEUE_TYPES: Final = ("classic", "quorum", "stream")
DEAD_LETTER_REASONS: Final = ("expired", "rejected", "maxlen", "delivery_limit")

QUEUE_GAUGES: Final = {
    "messages_ready": "Messages ready to be delivered to consumers",
    "messages_unacked": "Messages delivered to consumers but not yet acknowledged",
    "messages": "Sum of ready and unacknowledged messages",
    "consumers": "Consumers on a queue",
    "messages_bytes": "Size of all message bodies",
    "messages_ready_bytes": "Size of ready messages",
    "messages_unacked_bytes": "Size of all unacknowledged messages",
    "messages_ram": "Messages in memory",
    "messages_persistent": "Persistent messages",
    "messages_paged_out": "Messages that have left memory",
}


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rabbitmq_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"rabbitmq_{name}", text, value=value)


def _labelled(kind: Any, name: str, text: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    rows = list(samples)
    labels = list(rows[0][0]) if rows else []
    family: Metric = kind(f"rabbitmq_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(list(values.values()), value)  # type: ignore[attr-defined]
    return family


class Metrics:
    """All metrics of a node, collected once."""

    def __init__(self, node: ManagedNode, *, is_per_object: bool) -> None:
        self._node = node
        self._broker = node.broker
        self._is_per_object = is_per_object

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        self._broker.counters.gather(self._broker)
        yield from self._identity()
        yield from self._of_node()
        yield from self._churn()
        yield from self._global()
        yield from self._queues()
        if self._is_per_object:
            yield from self._channels()
            yield from self._connections()

    def _identity(self) -> Iterator[Metric]:
        node = self._node
        identity = {
            "rabbitmq_node": node.name,
            "rabbitmq_cluster": node.cluster_name,
            "rabbitmq_cluster_permanent_id": str(self._broker.parameters.get_global("internal_cluster_id") or ""),
        }
        yield _labelled(GaugeMetricFamily, "identity_info", "RabbitMQ node & cluster identity info", [(identity, 1)])
        build = {
            "rabbitmq_version": node.release,
            "prometheus_plugin_version": node.release,
            "leveret_version": broker.__version__,
            "python_version": platform.python_version(),
            "durability": self._broker.settings.durability,
        }
        yield _labelled(GaugeMetricFamily, "build_info", "RabbitMQ & Leveret version info", [(build, 1)])

    def _of_node(self) -> Iterator[Metric]:
        settings, raised = self._broker.settings, self._broker.alarms.raised
        vhosts = self._broker.vhosts.values()
        connections = [each for each in self._broker.connections if each.is_open]
        queues = [queue for vhost in vhosts for queue in vhost.queues.values()]
        yield _gauge("connections", "Connections currently open", len(connections))
        yield _gauge("channels", "Channels currently open", sum(len(each.channels) for each in connections))
        yield _gauge("consumers", "Consumers currently connected", sum(queue.consumer_count for queue in queues))
        yield _gauge("queues", "Queues available", len(queues))
        yield _gauge("exchanges", "Exchanges available", sum(len(vhost.exchanges) for vhost in vhosts))
        yield _gauge("process_open_fds", "Open file descriptors", descriptor_count())
        yield _gauge("process_max_fds", "Open file descriptors limit", descriptor_limit())
        yield _gauge("process_open_tcp_sockets", "Open TCP sockets", len(self._broker.connections))
        yield _gauge("process_max_tcp_sockets", "Open TCP sockets limit", descriptor_limit())
        yield _gauge("process_resident_memory_bytes", "Memory used in bytes", own_resident_octets())
        limit = memory_limit_octets(settings.memory_high_watermark)
        yield _gauge("resident_memory_limit_bytes", "Memory high watermark in bytes", limit)
        yield _gauge("disk_space_available_bytes", "Disk space available in bytes", free_octets(self._node))
        yield _gauge("disk_space_available_limit_bytes", "Free disk space low watermark", settings.disk_free_limit)
        yield _gauge("erlang_uptime_seconds", "Node uptime", self._node.uptime_ms / 1000)
        yield _gauge("erlang_processes_used", "Processes used", 1)
        yield _gauge("erlang_processes_limit", "Processes limit", 1)
        yield _gauge("alarms_memory_used_watermark", "is 1 if the memory alarm is on", "memory" in raised)
        yield _gauge("alarms_free_disk_space_watermark", "is 1 if the disk alarm is on", "disk" in raised)
        yield _gauge("alarms_file_descriptor_limit", "is 1 if the descriptor alarm is on", 0)
        yield _gauge("unreachable_cluster_peers_count", "Peers that cannot be reached", 0)
        cpu_s = sum(os.times()[:2])
        yield CounterMetricFamily("process_cpu_seconds", "CPU time used", value=cpu_s)

    def _churn(self) -> Iterator[Metric]:
        counters = self._broker.counters
        yield _counter("connections_opened", "Total connections opened", counters.connections_opened)
        yield _counter("connections_closed", "Total connections closed", counters.connections_closed)
        yield _counter("channels_opened", "Total channels opened", counters.channels_opened)
        yield _counter("channels_closed", "Total channels closed", counters.channels_closed)
        yield _counter("queues_declared", "Total queues declared", counters.queues_declared)
        yield _counter("queues_created", "Total queues created", counters.queues_created)
        yield _counter("queues_deleted", "Total queues deleted", counters.queues_deleted(self._broker))
        logins, http = self._broker.admission.logins, self._node.http_logins
        by_protocol = {
            "http": (http.succeeded, http.failed),
            PROTOCOL: (max(0, logins.succeeded - http.succeeded), max(0, logins.failed - http.failed)),
        }
        for name, text, value in (
            ("auth_attempts", "Total authentication attempts", sum),
            ("auth_attempts_succeeded", "Total successful authentication attempts", lambda pair: pair[0]),
            ("auth_attempts_failed", "Total failed authentication attempts", lambda pair: pair[1]),
        ):
            samples = [({"protocol": protocol}, value(pair)) for protocol, pair in by_protocol.items()]
            yield _labelled(CounterMetricFamily, name, text, samples)

    def _global(self) -> Iterator[Metric]:
        counters, node = self._broker.counters, self._broker.counters.node
        protocol = {"protocol": PROTOCOL}
        for name, value in (
            ("received", node.publish),
            ("received_confirm", counters.received_confirm),
            ("confirmed", node.confirm),
            ("routed", counters.routed),
            ("unroutable_dropped", node.drop_unroutable),
            ("unroutable_returned", node.return_unroutable),
        ):
            text = f"Total number of messages {name.replace('_', ' ')}"
            yield _labelled(CounterMetricFamily, f"global_messages_{name}", text, [(protocol, value)])
        counts = {kind: counters.by_type.get(kind) or Counts() for kind in QUEUE_TYPES}
        unacked = dict.fromkeys(QUEUE_TYPES, 0)
        for connection in self._broker.connections:
            for channel in connection.channels.values():
                for delivery in channel.unacked.open():
                    unacked[delivery.queue.arguments.get("x-queue-type") or "classic"] += delivery.count
        for name, values in {
            "acknowledged": {kind: each.acked(unacked[kind]) for kind, each in counts.items()},
            "delivered": {kind: each.deliver_get for kind, each in counts.items()},
            "delivered_consume_auto_ack": {kind: each.deliver_no_ack for kind, each in counts.items()},
            "delivered_consume_manual_ack": {kind: each.deliver for kind, each in counts.items()},
            "delivered_get_auto_ack": {kind: each.get_no_ack for kind, each in counts.items()},
            "delivered_get_manual_ack": {kind: each.get for kind, each in counts.items()},
            "get_empty": {kind: each.get_empty for kind, each in counts.items()},
            "redelivered": {kind: each.redeliver for kind, each in counts.items()},
        }.items():
            text = f"Total number of messages {name.replace('_', ' ')}"
            samples = [({**protocol, "queue_type": f"rabbit_{kind}_queue"}, value) for kind, value in values.items()]
            yield _labelled(CounterMetricFamily, f"global_messages_{name}", text, samples)
        for reason in DEAD_LETTER_REASONS:
            samples = [
                (
                    {"queue_type": f"rabbit_{kind}_queue", "dead_letter_strategy": "at_most_once"},
                    counters.dead_lettered.get((kind, reason), 0),
                )
                for kind in ("classic", "quorum")
            ]
            text = f"Total number of messages dead-lettered due to {reason}"
            yield _labelled(CounterMetricFamily, f"global_messages_dead_lettered_{reason}", text, samples)
        channels = [each for connection in self._broker.connections for each in connection.channels.values()]
        publishers = sum(1 for channel in channels if counts_of(channel).publish)
        consumers = sum(len(channel.consumers) for channel in channels)
        yield _labelled(GaugeMetricFamily, "global_publishers", "Publishers connected", [(protocol, publishers)])
        yield _labelled(GaugeMetricFamily, "global_consumers", "Consumers connected", [(protocol, consumers)])

    def _queues(self) -> Iterator[Metric]:
        queues = [queue for vhost in self._broker.vhosts.values() for queue in vhost.queues.values()]
        values = [(queue, _queue_values(queue)) for queue in queues]
        for name, text in QUEUE_GAUGES.items():
            if self._is_per_object:
                samples = [({"vhost": queue.vhost_name, "queue": queue.name}, each[name]) for queue, each in values]
                yield _labelled(GaugeMetricFamily, f"queue_{name}", text, samples)
            else:
                yield _gauge(f"queue_{name}", text, sum(each[name] for _, each in values))
        published = [(queue, counts_of(queue).publish) for queue in queues]
        text = "Total number of messages published to queues"
        if self._is_per_object:
            samples = [({"vhost": queue.vhost_name, "queue": queue.name}, count) for queue, count in published]
            yield _labelled(CounterMetricFamily, "queue_messages_published", text, samples)
        else:
            yield _counter("queue_messages_published", text, sum(count for _, count in published))

    def _channels(self) -> Iterator[Metric]:
        channels = [
            channel
            for connection in self._broker.connections
            if connection.is_open
            for channel in connection.channels.values()
        ]
        gauges: dict[str, Callable[[Channel], int]] = {
            "consumers": lambda each: len(each.consumers),
            "messages_unacked": lambda each: each.unacked.count,
            "messages_unconfirmed": lambda each: each.unconfirmed_count if each.is_confirming else 0,
            "prefetch": lambda each: each.global_prefetch,
        }
        for name, value in gauges.items():
            samples = [({"channel": channel_name(each)}, value(each)) for each in channels]
            yield _labelled(GaugeMetricFamily, f"channel_{name}", f"Channel {name.replace('_', ' ')}", samples)
        counters: dict[str, Callable[[Counts, Channel], int]] = {
            "messages_published": lambda counts, _: counts.publish,
            "messages_confirmed": lambda counts, _: counts.confirm,
            "messages_unroutable_returned": lambda counts, _: counts.return_unroutable,
            "messages_unroutable_dropped": lambda counts, _: counts.drop_unroutable,
            "messages_delivered": lambda counts, _: counts.deliver_no_ack,
            "messages_delivered_ack": lambda counts, _: counts.deliver,
            "messages_redelivered": lambda counts, _: counts.redeliver,
            "messages_acked": lambda counts, channel: counts.acked(channel.unacked.count),
            "get": lambda counts, _: counts.get_no_ack,
            "get_ack": lambda counts, _: counts.get,
            "get_empty": lambda counts, _: counts.get_empty,
        }
        for name, total in counters.items():
            rows = [({"channel": channel_name(each)}, _total(total, each)) for each in channels]
            yield _labelled(CounterMetricFamily, f"channel_{name}", f"Total {name.replace('_', ' ')}", rows)

    def _connections(self) -> Iterator[Metric]:
        connections = [each for each in self._broker.connections if each.is_open]
        for kind, name, value in (
            (CounterMetricFamily, "incoming_bytes", lambda each: each.received_octets),
            (CounterMetricFamily, "outgoing_bytes", lambda each: each.sent_octets),
            (CounterMetricFamily, "incoming_packets", lambda each: each.received_count),
            (CounterMetricFamily, "outgoing_packets", lambda each: each.sent_count),
            (GaugeMetricFamily, "pending_packets", lambda each: each.unwritten_octets),
            (GaugeMetricFamily, "channels", lambda each: len(each.channels)),
        ):
            samples = [({"connection": each.name}, _value(value, each)) for each in connections]
            yield _labelled(kind, f"connection_{name}", f"Connection {name.replace('_', ' ')}", samples)


def _total(total: Any, channel: Channel) -> int:
    return int(total(counts_of(channel), channel))


def _value(value: Any, connection: Connection) -> int:
    return int(value(connection))


def _queue_values(queue: ClassicQueue) -> dict[str, int]:
    octets = body_octets(queue)
    return {
        "messages_ready": queue.message_count,
        "messages_unacked": queue.unacked_count,
        "messages": queue.message_count + queue.unacked_count,
        "consumers": queue.consumer_count,
        "messages_bytes": octets["message_bytes"],
        "messages_ready_bytes": octets["message_bytes_ready"],
        "messages_unacked_bytes": octets["message_bytes_unacknowledged"],
        "messages_ram": octets["messages_ram"],
        "messages_persistent": octets["messages_persistent"],
        "messages_paged_out": octets["messages_paged_out"],
    }


class _Collected:
    """Metrics that were collected before, to be written in another thread."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """Return them."""
        return self._families


async def _respond(call: Call, *, is_per_object: bool) -> Response:
    """Collect on the loop, where nothing changes meanwhile; write the text, which takes longer, beside it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(list(Metrics(call.node, is_per_object=is_per_object).collect())))
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def get_metrics(call: Call) -> Response:
    return await _respond(call, is_per_object=False)


async def get_per_object(call: Call) -> Response:
    return await _respond(call, is_per_object=True)


ROWS: Final = (
    Row("GET", "/metrics", get_metrics, "Metrics, summed up", None),
    Row("GET", "/metrics/per-object", get_per_object, "Metrics of each object", None),
    Row("GET", "/metrics/detailed", get_per_object, "Metrics of each object", None),
)
