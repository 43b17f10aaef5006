"""Prometheus metrics by the names that RabbitMQ's dashboards use: all together, or one by one.

``/metrics`` sums up; ``/metrics/per-object`` has each queue, channel and connection, ``/metrics/detailed`` the families
that are asked for. Made when they are asked for; object_metrics.py has those of queues, channels and connections.
RabbitMQ: Monitoring with Prometheus and Grafana.
"""

import asyncio
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

import broker
from broker.management.call import Call
from broker.management.node import ManagedNode
from broker.management.node_metrics import PROTOCOL, NodeMetrics
from broker.management.object_metrics import ObjectMetrics, family
from broker.management.routing import Row
from broker.server.counters import AT_LEAST_ONCE, AT_MOST_ONCE, Counts, counts_of

QUEUE_TYPES: Final = ("classic", "quorum", "stream")
STRATEGIES: Final = (("classic", AT_MOST_ONCE), ("quorum", AT_LEAST_ONCE), ("quorum", AT_MOST_ONCE))
DEAD_LETTER_REASONS: Final = ("expired", "rejected", "maxlen", "delivery_limit")

FAMILIES: Final[Mapping[str, Callable[[NodeMetrics, ObjectMetrics], Iterator[Metric]]]] = {
    "connection_churn_metrics": lambda node, _: node.churn(),
    "node_coarse_metrics": lambda node, _: node.coarse(),
    "node_metrics": lambda node, _: node.limits(),
    "node_persister_metrics": lambda node, _: node.persister(),
    "auth_attempt_metrics": lambda node, _: node.logins(),
    "queue_coarse_metrics": lambda _, objects: objects.queue_coarse(),
    "queue_metrics": lambda _, objects: objects.queue_fine(),
    "queue_consumer_count": lambda _, objects: objects.queue_consumer_count(),
    "queue_delivery_metrics": lambda _, objects: objects.queue_delivered(),
    "exchange_metrics": lambda _, objects: objects.exchange_published(),
    "channel_metrics": lambda _, objects: objects.channel_fine(),
    "channel_exchange_metrics": lambda _, objects: objects.channel_of_exchanges(),
    "channel_queue_metrics": lambda _, objects: objects.channel_of_queues(),
    "channel_queue_exchange_metrics": lambda _, objects: objects.queue_published(),
    "connection_coarse_metrics": lambda _, objects: objects.connection_coarse(),
    "connection_metrics": lambda _, objects: objects.connection_fine(),
}
"""What ``/metrics/detailed?family=`` asks for; of the objects of this node."""
QUEUE_FAMILIES: Final = {"queue_coarse_metrics", "queue_consumer_count", "queue_metrics"}
CLUSTER_FAMILIES: Final[Mapping[str, Callable[[ObjectMetrics], Iterator[Metric]]]] = {
    "vhost_status": ObjectMetrics.vhosts,
    "exchange_names": ObjectMetrics.exchange_names,
    "exchange_bindings": ObjectMetrics.exchange_bindings,
}
"""The same, of what a cluster has in common."""


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
        node = NodeMetrics(self._node)
        yield from self.identity("per-object" if self._is_per_object else "aggregated")
        yield from node.process()
        yield from node.totals()
        yield from node.coarse()
        yield from node.limits()
        yield from node.persister()
        yield from node.churn()
        yield from node.logins()
        yield from node.message_sizes()
        yield from self._global()
        if self._is_per_object:
            yield from objects.queue_kinds()
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
        node, objects = NodeMetrics(self._node), ObjectMetrics(self._broker, is_per_object=True)
        yield from self.identity("detailed")
        told: set[str] = set()
        if not QUEUE_FAMILIES.isdisjoint(wanted):
            for metric in objects.queue_kinds():
                yield _renamed(metric, "rabbitmq_detailed_", vhosts)
        for name in wanted:
            for metric in FAMILIES[name](node, objects) if name in FAMILIES else ():
                if metric.name not in told:
                    told.add(metric.name)
                    yield _renamed(metric, "rabbitmq_detailed_", vhosts)
            for metric in CLUSTER_FAMILIES[name](objects) if name in CLUSTER_FAMILIES else ():
                yield _renamed(metric, "rabbitmq_cluster_", vhosts)

    def collect_memory(self) -> Iterator[Metric]:
        """Yield the memory by what takes it."""
        yield from self.identity("memory-breakdown")
        yield from NodeMetrics(self._node).memory()

    def identity(self, endpoint: str) -> Iterator[Metric]:
        """Yield who the node is; dashboards join everything on it. ``endpoint`` says what else is told."""
        node = self._node
        identity = {
            "rabbitmq_node": node.name,
            "rabbitmq_cluster": node.cluster_name,
            "rabbitmq_cluster_permanent_id": str(self._broker.parameters.get_global("internal_cluster_id") or ""),
            "rabbitmq_endpoint": endpoint,
        }
        yield _labelled(GaugeMetricFamily, "identity_info", "RabbitMQ node & cluster identity info", [(identity, 1)])
        build = {
            "rabbitmq_version": node.release,
            "prometheus_plugin_version": node.release,
            "prometheus_client_version": prometheus_client_version(),
            "product_name": self._broker.settings.product,
            "product_version": node.release,
            "leveret_version": broker.__version__,
            "python_version": platform.python_version(),
            "durability": self._broker.settings.durability,
        }
        yield _labelled(GaugeMetricFamily, "build_info", "RabbitMQ & Leveret version info", [(build, 1)])

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
                (_death_labels(kind, strategy), counters.dead_lettered.get((kind, strategy, reason), 0))
                for kind, strategy in STRATEGIES
                if (kind, reason) != ("classic", "delivery_limit")
            ]
            text = f"Total number of messages dead-lettered due to {reason}"
            yield _labelled(CounterMetricFamily, f"global_messages_dead_lettered_{reason}", text, samples)
        sure = sum(counters.dead_lettered.get(("quorum", AT_LEAST_ONCE, reason), 0) for reason in DEAD_LETTER_REASONS)
        text = "Total number of messages dead-lettered and confirmed by target queues"
        samples = [(_death_labels("quorum", AT_LEAST_ONCE), sure)]
        yield _labelled(CounterMetricFamily, "global_messages_dead_lettered_confirmed", text, samples)
        channels = [each for connection in self._broker.connections for each in connection.channels.values()]
        publishers = sum(1 for channel in channels if counts_of(channel).publish)
        consumers = sum(len(channel.consumers) for channel in channels)
        yield _labelled(GaugeMetricFamily, "global_publishers", "Publishers connected", [(protocol, publishers)])
        yield _labelled(GaugeMetricFamily, "global_consumers", "Consumers connected", [(protocol, consumers)])


def _death_labels(kind: str, strategy: str) -> dict[str, str]:
    return {"queue_type": f"rabbit_{kind}_queue", "dead_letter_strategy": strategy.replace("-", "_")}


def _renamed(metric: Metric, prefix: str, vhosts: Collection[str]) -> Metric:
    """Return a metric with another prefix, and of its samples those of ``vhosts``, if any are given."""
    renamed = Metric(prefix + metric.name.removeprefix("rabbitmq_"), metric.documentation, metric.type)
    renamed.samples = [
        sample._replace(name=prefix + sample.name.removeprefix("rabbitmq_"))
        for sample in metric.samples
        if not vhosts or sample.labels.get("vhost", "") in ("", *vhosts)
    ]
    return renamed


@cache
def prometheus_client_version() -> str:
    """Return the version of the library that writes the metrics; "" where it was installed without saying."""
    try:
        return version("prometheus_client")
    except PackageNotFoundError:
        return ""


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


async def get_memory(call: Call) -> Response:
    return await _respond(Metrics(call.node, is_per_object=False).collect_memory())


async def get_detailed(call: Call) -> Response:
    metrics = Metrics(call.node, is_per_object=True)
    return await _respond(metrics.collect_families(call.all_of("family"), call.all_of("vhost")))


ROWS: Final = (
    Row("GET", "/metrics", get_metrics, "Metrics, summed up", None),
    Row("GET", "/metrics/per-object", get_per_object, "Metrics of each object", None),
    Row("GET", "/metrics/memory-breakdown", get_memory, "Memory by what takes it", None),
    Row("GET", "/metrics/detailed", get_detailed, "Metrics of each object, by family", None),
)
