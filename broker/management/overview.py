"""The node as a whole: overview, nodes, memory. RabbitMQ: HTTP API, ``/api/overview``, ``/api/nodes``."""

import math
import os
import platform
import shutil
from pathlib import Path
from typing import Any, Final

import broker
from broker.core.exchanges.types import EXCHANGE_TYPES
from broker.management.call import NO_CONTENT, Call, Empty, Listing
from broker.management.connections import visible_connections
from broker.management.describe import READY_AT, message_stats, rate, totals, with_rate
from broker.management.errors import NotThere
from broker.management.node import ManagedNode
from broker.management.node_facts import (
    EXCHANGE_TEXTS,
    auth_mechanisms,
    context_switches,
    disk_facts,
    enabled_plugins,
    garbage_collections,
    memory_parts,
)
from broker.management.routing import Row
from broker.server.listener import BACKLOG
from broker.server.resources import own_resident_octets

CHURN_AT: Final = READY_AT + 2
CHURN: Final = (
    *("connection_created", "connection_closed", "channel_created", "channel_closed"),
    *("queue_declared", "queue_created", "queue_deleted"),
)
DESCRIPTORS: Final = Path("/proc/self/fd")
CLEARED_AT_ONCE: Final = (
    *("connection_closed", "channel_closed", "consumer_deleted", "exchange_deleted", "queue_deleted"),
    *("vhost_deleted", "node_node_deleted", "channel_consumer_deleted"),
)
"""What RabbitMQ's management forgets some time after it has gone."""


def churn(node: ManagedNode) -> dict[str, Any]:
    """Return how many connections, channels and queues came and went."""
    counters = node.broker.counters
    values = (
        *(counters.connections_opened, counters.connections_closed),
        *(counters.channels_opened, counters.channels_closed),
        *(counters.queues_declared, counters.queues_created, counters.queues_deleted(node.broker)),
    )
    rates: dict[str, Any] = {}
    for place, (name, value) in enumerate(zip(CHURN, values, strict=True)):
        rates |= with_rate(node, None, name, value, CHURN_AT + place)
    return rates


def exchange_types() -> list[dict[str, Any]]:
    """Return the exchange types there are."""
    return [
        {"name": name, "description": EXCHANGE_TEXTS.get(name, ""), "enabled": True} for name in sorted(EXCHANGE_TYPES)
    ]


def listeners(node: ManagedNode) -> list[dict[str, Any]]:
    """Return what is listened on, as far as it is known to the broker."""
    return [
        {
            "node": node.name,
            "protocol": protocol,
            "ip_address": address,
            "port": port,
            "socket_opts": {"backlog": BACKLOG, "nodelay": True} if protocol.startswith("amqp") else {"port": port},
        }
        for protocol, address, port in node.broker.listening
    ]


def contexts(node: ManagedNode) -> list[dict[str, Any]]:
    """Return the web applications."""
    return [
        {
            "ssl_opts": [],
            "node": node.name,
            "description": "RabbitMQ Prometheus" if protocol.endswith("prometheus") else "RabbitMQ Management",
            "path": "/",
            "cowboy_opts": "[]",
            "ip": address,
            "port": str(port),
            "protocol": protocol,
        }
        for protocol, address, port in node.broker.listening
        if protocol.startswith("http")
    ]


def get_overview(call: Call) -> dict[str, Any]:
    node = call.node
    settings = node.broker.settings
    is_monitor = call.principal.has("monitoring")
    node.rates.ask()
    vhosts = call.visible_vhosts()
    queues = [queue for vhost in vhosts for queue in vhost.queues.values()]
    ready = sum(queue.message_count for queue in queues)
    unacked = sum(queue.unacked_count for queue in queues)
    connections = visible_connections(call)
    described: dict[str, Any] = {
        "management_version": node.release,
        "rates_mode": "basic",
        "sample_retention_policies": {"global": [5], "basic": [5], "detailed": [5]},
        "exchange_types": exchange_types(),
        "product_version": node.release,
        "product_name": settings.product,
        "rabbitmq_version": node.release,
        "leveret_version": broker.__version__,
        "durability": settings.durability,
        "cluster_name": node.cluster_name,
        "cluster_tags": [],
        "node_tags": [],
        "default_queue_type": "classic",
        "erlang_version": "",
        "erlang_full_version": f"Python {platform.python_version()}",
        "release_series_support_status": "supported",
        "disable_stats": False,
        "enable_queue_totals": False,
        "is_op_policy_updating_enabled": True,
        "message_stats": message_stats(node, None, node.broker.counters.node, unacked) if is_monitor else {},
        "churn_rates": churn(node),
        "queue_totals": totals(node, None, ready, unacked) if queues or is_monitor else {},
        "object_totals": {
            "channels": sum(len(each.channels) for each in connections),
            "connections": len(connections),
            "consumers": sum(queue.consumer_count for queue in queues),
            "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
            "queues": len(queues),
        },
        "statistics_db_event_queue": 0,
    }
    if is_monitor:
        described |= {"node": node.name, "listeners": listeners(node), "contexts": contexts(node)}
    return described


def get_version(call: Call) -> str:
    return call.node.release


# Nodes


def descriptor_limit() -> int:
    """Return how many descriptors the process may have; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descriptor_count() -> int:
    """Return how many descriptors are open; 0 where the system does not tell."""
    try:
        return len(os.listdir(DESCRIPTORS))
    except OSError:
        return 0


def free_octets(node: ManagedNode) -> int:
    """Return the room on the data directory's disk; 0 where the system does not tell."""
    try:
        return shutil.disk_usage(node.broker.settings.data_dir).free
    except OSError:
        return 0


def describe_node(call: Call) -> dict[str, Any]:
    """Return this node, as RabbitMQ describes one; what only Erlang has is 0."""
    node = call.node
    settings, alarms = node.broker.settings, node.broker.alarms.raised
    node.rates.ask()
    limit = descriptor_limit()
    numbers = {
        "mem_used": own_resident_octets(),
        "fd_used": descriptor_count(),
        "sockets_used": len(node.broker.connections),
        "proc_used": 1,
        "disk_free": free_octets(node),
        "gc_num": garbage_collections()[0],
        "context_switches": context_switches(),
        **disk_facts(node),
        **dict.fromkeys(
            (
                *("gc_bytes_reclaimed", "mnesia_ram_tx_count", "mnesia_disk_tx_count", "msg_store_read_count"),
                *("msg_store_write_count", "queue_index_write_count", "queue_index_read_count"),
            ),
            0,
        ),
    }
    described: dict[str, Any] = {
        "applications": [{"name": "leveret", "description": "Leveret", "version": broker.__version__}],
        "auth_mechanisms": auth_mechanisms(node),
        "being_drained": node.broker.door.is_under_maintenance,
        "cluster_links": [],
        "config_files": [str(file.absolute()) for file in node.broker.config_files],
        "contexts": contexts(node),
        "db_dir": str(settings.data_dir.absolute()),
        "disk_free_alarm": "disk" in alarms,
        "disk_free_limit": node.disk_limit_octets,
        "enabled_plugins": enabled_plugins(node),
        "exchange_types": exchange_types(),
        "fd_total": limit,
        "log_files": ["<stdout>"],
        "mem_alarm": "memory" in alarms,
        "mem_calculation_strategy": "rss",
        "mem_limit": node.memory_limit_octets,
        "metrics_gc_queue_length": dict.fromkeys(CLEARED_AT_ONCE, 0),
        "name": node.name,
        "net_ticktime": 60,
        "os_pid": str(os.getpid()),
        "partitions": [],
        "proc_total": 1,
        "processors": os.cpu_count() or 1,
        "ra_open_file_metrics": {"ra_log_wal": 0, "ra_log_segment_writer": 0},
        "rates_mode": "basic",
        "run_queue": 0,
        "running": True,
        "sockets_total": limit,
        "type": "disc",
        "uptime": node.uptime_ms,
    }
    for name, value in numbers.items():
        described |= {name: value, f"{name}_details": rate(0.0)}
    return described | churn(node)


def list_nodes(call: Call) -> Listing:
    return Listing([describe_node(call)], dict, name_of=lambda each: str(each["name"]))


def get_node(call: Call) -> dict[str, Any]:
    _check_node(call)
    return describe_node(call)


def _check_node(call: Call) -> None:
    if call["node"] != call.node.name:
        raise NotThere


def get_memory(call: Call) -> dict[str, Any]:
    _check_node(call)
    used, parts = memory_parts(call.node)
    return {"memory": {**parts, "strategy": "rss", "total": {"erlang": used, "rss": used, "allocated": used}}}


def get_relative_memory(call: Call) -> dict[str, Any]:
    _check_node(call)
    used, parts = memory_parts(call.node)
    shares = {name: math.ceil(100 * octets / max(1, used)) for name, octets in parts.items()}
    return {"memory": {"total": 100, **shares}}


def reset(call: Call) -> Empty:
    """Forget samples; counters go on."""
    return NO_CONTENT


def effective_config(call: Call) -> dict[str, Any]:
    """Return the settings in force, without secrets."""
    hidden = ("default_pass", "tls_key_pass")
    settings = call.broker.settings.model_dump(mode="json")
    return {name: value for name, value in settings.items() if name not in hidden and "pass" not in name}


ROWS: Final = (
    Row("GET", "/api/overview", get_overview, "The node at a glance"),
    Row("GET", "/api/version", get_version, "The version that clients are told"),
    Row("GET", "/api/nodes", list_nodes, "All nodes: this one", "monitoring"),
    Row("GET", "/api/nodes/{node}", get_node, "One node", "monitoring"),
    Row("GET", "/api/nodes/{node}/memory", get_memory, "Its memory", "monitoring"),
    Row("GET", "/api/nodes/{node}/memory/relative", get_relative_memory, "Its memory in percent", "monitoring"),
    Row("DELETE", "/api/reset", reset, "Forget samples", "administrator", is_change=False),
    Row("DELETE", "/api/reset/{node}", reset, "Forget samples", "administrator", is_change=False),
    Row("GET", "/api/config/effective", effective_config, "The settings in force", "administrator"),
)
