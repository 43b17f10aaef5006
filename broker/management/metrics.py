"""Prometheus metrics by the names that RabbitMQ's dashboards use: all together, or one by one.

``/metrics`` sums up; ``/metrics/per-object`` has each queue, channel and connection, ``/metrics/detailed`` the families
that are asked for. Made when they are asked for; object_metrics.py has those of queues, channels and connections.
RabbitMQ: Monitoring with Prometheus and Grafana.
"""

import asyncio
import os
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

import broker
from broker.management.call import Call
from broker.management.node import ManagedNode
from broker.management.object_metrics import ObjectMetrics, family
from broker.management.overview import descriptor_count, descriptor_limit, free_octets
from broker.management.routing import Row
from broker.server.counters import Counts, counts_of
from broker.server.resources import own_resident_octets
from broker.server.unlogged import LEVELS

PROTOCOL: Final = "amqp091"
QUEUE_TYPES: Final = ("classic", "quorum", "stream")
DEAD_LETTER_REASONS: Final = ("expired", "rejected", "maxlen", "delivery_limit")

FAMILIES: Final[Mapping[str, Callable[["Metrics", ObjectMetrics], Iterator[Metric]]]] = {
    "connection_churn_metrics": lambda node, _: node.churn(),
    "node_metrics": lambda node, _: node.of_node(),
    "queue_coarse_metrics": lambda _, objects: objects.queue_coarse(),
    "queue_metrics": lambda _, objects: objects.queue_fine(),
    "queue_consumer_count": lambda _, objects: objects.queue_consumer_count(),
    "queue_delivery_metrics": lambda _, objects: objects.queue_published(),
    "channel_metrics": lambda _, objects: objects.channel_fine(),
    "channel_exchange_metrics": lambda _, objects: objects.channel_of_exchanges(),
    "channel_queue_metrics": lambda _, objects: objects.channel_of_queues(),
    "connection_coarse_metrics": lambda _, objects: objects.connection_coarse(),
    "connection_metrics": lambda _, objects: objects.connection_fine(),
}
"""What ``/metrics/detailed?family=`` asks for; of the objects of this node."""
CLUSTER_FAMILIES: Final[Mapping[str, Callable[[ObjectMetrics], Iterator[Metric]]]] = {
    "vhost_status": ObjectMetrics.vhosts,
    "exchange_names": ObjectMetrics.exchange_names,
    "exchange_bindings": ObjectMetrics.exchange_bindings,
}
"""The same, of what a cluster has in common."""


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rabbitmq_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"rabbitmq_{name}", text, value=value)


def _labelled(kind: Any, name: str, text: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    return family(kind, (name, text), samples)


class Metrics:
    """All metrics of a node, collected once."""

    def __init__(self, node: ManagedNode, *, is_per_object: bool) -> None:
        self._node = node
        self._broker = node.broker
        self._is_per_object = is_per_object

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        self._broker.counters.gather(self._broker)
        objects = ObjectMetrics(self._broker, is_per_object=self._is_per_object)
        yield from self.identity()
        yield from self.of_node()
        yield from self.churn()
        yield from self._global()
        yield from objects.queue_coarse()
        yield from objects.queue_fine()
        yield from objects.queue_published()
        yield from objects.channel_fine()
        yield from objects.channel_of_exchanges()
        yield from objects.channel_of_queues()
        yield from objects.connection_coarse()
        yield from objects.connection_fine()

    def collect_families(self, wanted: Collection[str], vhosts: Collection[str]) -> Iterator[Metric]:
        """Yield families of each object, named as ``/metrics/detailed`` does; those of ``vhosts`` if any are given.

        RabbitMQ: Monitoring with Prometheus and Grafana, "Detailed".
        """
        self._broker.counters.gather(self._broker)
        objects = ObjectMetrics(self._broker, is_per_object=True)
        yield from self.identity()
        told: set[str] = set()
        for name in wanted:
            for metric in FAMILIES[name](self, objects) if name in FAMILIES else ():
                if metric.name not in told:
                    told.add(metric.name)
                    yield _renamed(metric, "rabbitmq_detailed_", vhosts)
            for metric in CLUSTER_FAMILIES[name](objects) if name in CLUSTER_FAMILIES else ():
                yield _renamed(metric, "rabbitmq_cluster_", vhosts)

    def identity(self) -> Iterator[Metric]:
        """Yield who the node is; dashboards join everything on it."""
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

    def of_node(self) -> Iterator[Metric]:
        """Yield what the node is and uses."""
        text = "is 1 for the level in force: what a confirm says of the disk"
        durability = GaugeMetricFamily("leveret_durability", text, labels=["level"])
        for level in LEVELS:
            durability.add_metric([level], level == self._broker.settings.durability)
        yield durability
        raised = self._broker.alarms.raised
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
        limits = self._node.memory_limit_octets, self._node.disk_limit_octets
        yield _gauge("resident_memory_limit_bytes", "Memory high watermark in bytes", limits[0])
        yield _gauge("disk_space_available_bytes", "Disk space available in bytes", free_octets(self._node))
        yield _gauge("disk_space_available_limit_bytes", "Free disk space low watermark", limits[1])
        yield _gauge("erlang_uptime_seconds", "Node uptime", self._node.uptime_ms / 1000)
        yield _gauge("erlang_processes_used", "Processes used", 1)
        yield _gauge("erlang_processes_limit", "Processes limit", 1)
        yield _gauge("alarms_memory_used_watermark", "is 1 if the memory alarm is on", "memory" in raised)
        yield _gauge("alarms_free_disk_space_watermark", "is 1 if the disk alarm is on", "disk" in raised)
        yield _gauge("alarms_file_descriptor_limit", "is 1 if the descriptor alarm is on", 0)
        yield _gauge("unreachable_cluster_peers_count", "Peers that cannot be reached", 0)
        cpu_s = sum(os.times()[:2])
        yield CounterMetricFamily("process_cpu_seconds", "CPU time used", value=cpu_s)

    def churn(self) -> Iterator[Metric]:
        """Yield how many came and went."""
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


def _renamed(metric: Metric, prefix: str, vhosts: Collection[str]) -> Metric:
    """Return a metric with another prefix, and of its samples those of ``vhosts``, if any are given."""
    renamed = Metric(prefix + metric.name.removeprefix("rabbitmq_"), metric.documentation, metric.type)
    renamed.samples = [
        sample._replace(name=prefix + sample.name.removeprefix("rabbitmq_"))
        for sample in metric.samples
        if not vhosts or sample.labels.get("vhost", "") in ("", *vhosts)
    ]
    return renamed


class _Collected:
    """Metrics that were collected before, to be written in another thread."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """Return them."""
        return self._families


async def _respond(metrics: Iterable[Metric]) -> Response:
    """Collect on the loop, where nothing changes meanwhile; write the text, which takes longer, beside it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(list(metrics)))
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def get_metrics(call: Call) -> Response:
    return await _respond(Metrics(call.node, is_per_object=False).collect())


async def get_per_object(call: Call) -> Response:
    return await _respond(Metrics(call.node, is_per_object=True).collect())


async def get_detailed(call: Call) -> Response:
    metrics = Metrics(call.node, is_per_object=True)
    return await _respond(metrics.collect_families(call.all_of("family"), call.all_of("vhost")))


ROWS: Final = (
    Row("GET", "/metrics", get_metrics, "Metrics, summed up", None),
    Row("GET", "/metrics/per-object", get_per_object, "Metrics of each object", None),
    Row("GET", "/metrics/detailed", get_detailed, "Metrics of each object, by family", None),
)
