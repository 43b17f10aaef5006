"""Metrics of the node as a whole: what it uses, its limits, its disk, its memory by what takes it. See metrics.py.

A family here is what RabbitMQ calls so: metrics that are asked for together at ``/metrics/detailed``.
"""

import os
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from broker.management.node import ManagedNode
from broker.management.node_facts import context_switches, garbage_collections, memory_parts
from broker.management.object_metrics import family
from broker.management.overview import descriptor_count, descriptor_limit, free_octets
from broker.server.resources import own_resident_octets
from broker.server.unlogged import LEVELS
from storage.metered import counts_of

PROTOCOL: Final = "amqp091"
NS_A_SECOND: Final = 1_000_000_000

MEMORY: Final = {
    "connection_readers": "client_connection_reader",
    "connection_writers": "client_connection_writer",
    "connection_channels": "client_connection_channel",
    "connection_other": "client_connection_other",
    "queue_procs": "classic_queue_erlang_process",
    "quorum_queue_procs": "quorum_queue_erlang_process",
    "quorum_queue_dlx_procs": "quorum_queue_dlx_erlang_process",
    "stream_queue_procs": "stream_erlang_process",
    "other_proc": "other_erlang_process",
    "metrics": "metrics",
    "mgmt_db": "management_stats_db",
    "mnesia": "classic_metadata_store",
    "binary": "binary_heap",
    "msg_index": "message_index",
    "code": "code_module",
    "other_system": "other_system",
    "allocated_unused": "runtime_allocated_unused",
}
"""RabbitMQ's names for parts of memory: in JSON, and among the metrics."""


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """Return a metric of one number."""
    return GaugeMetricFamily(f"rabbitmq_{name}", text, value=value)


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    """Return a metric of one number that grows."""
    return CounterMetricFamily(f"rabbitmq_{name}", text, value=value)


class NodeMetrics:
    """The families of one node."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._broker = node.broker

    def process(self) -> Iterator[Metric]:
        """Yield what every process tells Prometheus, the level of durability, and the alarms."""
        text = "is 1 for the level in force: what a confirm says of the disk"
        durability = GaugeMetricFamily("leveret_durability", text, labels=["level"])
        for level in LEVELS:
            durability.add_metric([level], level == self._broker.settings.durability)
        yield durability
        raised = self._broker.alarms.raised
        yield gauge("alarms_memory_used_watermark", "is 1 if the memory alarm is on", "memory" in raised)
        yield gauge("alarms_free_disk_space_watermark", "is 1 if the disk alarm is on", "disk" in raised)
        yield gauge("alarms_file_descriptor_limit", "is 1 if the descriptor alarm is on", 0)
        yield gauge("unreachable_cluster_peers_count", "Peers that cannot be reached", 0)
        yield CounterMetricFamily("process_cpu_seconds", "CPU time used", value=sum(os.times()[:2]))
        started_s = (self._broker.clock.wall_ms() - self._node.uptime_ms) // 1000
        yield GaugeMetricFamily("process_start_time_seconds", "When the broker was started, since 1970", started_s)

    def totals(self) -> Iterator[Metric]:
        """Yield how many objects there are."""
        vhosts = self._broker.vhosts.values()
        connections = [each for each in self._broker.connections if each.is_open]
        queues = [queue for vhost in vhosts for queue in vhost.queues.values()]
        yield gauge("connections", "Connections currently open", len(connections))
        yield gauge("channels", "Channels currently open", sum(len(each.channels) for each in connections))
        yield gauge("consumers", "Consumers currently connected", sum(queue.consumer_count for queue in queues))
        yield gauge("queues", "Queues available", len(queues))
        yield gauge("exchanges", "Exchanges available", sum(len(vhost.exchanges) for vhost in vhosts))

    def coarse(self) -> Iterator[Metric]:
        """Yield what is used."""
        yield gauge("process_open_fds", "Open file descriptors", descriptor_count())
        yield gauge("process_open_tcp_sockets", "Open TCP sockets", len(self._broker.connections))
        yield gauge("process_resident_memory_bytes", "Memory used in bytes", own_resident_octets())
        yield gauge("disk_space_available_bytes", "Disk space available in bytes", free_octets(self._node))
        yield gauge("erlang_processes_used", "Processes used", 1)
        yield counter("erlang_gc_runs", "Runs of the (here: Python's) garbage collector", garbage_collections()[0])
        yield counter("erlang_scheduler_context_switches", "Context switches of the process", context_switches())

    def limits(self) -> Iterator[Metric]:
        """Yield how much may be used."""
        yield gauge("process_max_fds", "Open file descriptors limit", descriptor_limit())
        yield gauge("process_max_tcp_sockets", "Open TCP sockets limit", descriptor_limit())
        memory, disk = self._node.memory_limit_octets, self._node.disk_limit_octets
        yield gauge("resident_memory_limit_bytes", "Memory high watermark in bytes", memory)
        yield gauge("disk_space_available_limit_bytes", "Free disk space low watermark in bytes", disk)
        yield gauge("erlang_processes_limit", "Processes limit", 1)
        yield gauge("erlang_scheduler_run_queue", "Always 0: there is no scheduler of Erlang's", 0)
        yield gauge("erlang_uptime_seconds", "Node uptime", self._node.uptime_ms / 1000)

    def persister(self) -> Iterator[Metric]:
        """Yield what was done to the disk."""
        counts = counts_of(self._broker.store.disk)
        for name, count in (("read", counts.read), ("write", counts.write), ("sync", counts.sync)):
            yield counter(f"io_{name}_ops", f"Total number of I/O {name} operations", count.calls)
            yield counter(f"io_{name}_time_seconds", f"Total I/O {name} time", count.ns / NS_A_SECOND)
        yield counter("io_read_bytes", "Total number of I/O bytes read", counts.read.octets)
        yield counter("io_write_bytes", "Total number of I/O bytes written", counts.write.octets)

    def message_sizes(self) -> Iterator[Metric]:
        """Yield how large the messages of publishers are, where the setting ``message_sizes`` has them counted."""
        sizes = self._broker.message_sizes
        if sizes is not None:
            text = "Size of messages received from publishers"
            found = HistogramMetricFamily("rabbitmq_message_size_bytes", text, labels=["protocol"])
            found.add_metric([PROTOCOL], sizes.cumulated(), sizes.octets)
            yield found

    def memory(self) -> Iterator[Metric]:
        """Yield the memory by what takes it; see node_facts.py."""
        _, parts = memory_parts(self._node)
        for key, name in MEMORY.items():
            yield gauge(f"memory_{name}_bytes", f"Memory, {name.replace('_', ' ')}, in bytes", parts[key])

    def churn(self) -> Iterator[Metric]:
        """Yield how many came and went."""
        counters = self._broker.counters
        yield counter("connections_opened", "Total number of connections opened", counters.connections_opened)
        yield counter("connections_closed", "Total number of connections closed", counters.connections_closed)
        yield counter("channels_opened", "Total number of channels opened", counters.channels_opened)
        yield counter("channels_closed", "Total number of channels closed", counters.channels_closed)
        yield counter("queues_declared", "Total number of queues declared", counters.queues_declared)
        yield counter("queues_created", "Total number of queues created", counters.queues_created)
        yield counter("queues_deleted", "Total number of queues deleted", counters.queues_deleted(self._broker))

    def logins(self) -> Iterator[Metric]:
        """Yield how many tried to log in, by protocol. Not from where and as whom: these are read without a login."""
        logins, http = self._broker.admission.logins, self._node.http_logins
        by_protocol = {
            "http": (http.succeeded, http.failed),
            PROTOCOL: (max(0, logins.succeeded - http.succeeded), max(0, logins.failed - http.failed)),
        }
        for name, text, value in (
            ("auth_attempts", "Total number of authentication attempts", sum),
            ("auth_attempts_succeeded", "Total number of successful authentication attempts", lambda pair: pair[0]),
            ("auth_attempts_failed", "Total number of failed authentication attempts", lambda pair: pair[1]),
        ):
            samples = [({"protocol": protocol}, float(value(pair))) for protocol, pair in by_protocol.items()]
            yield family(CounterMetricFamily, (name, text), samples)
