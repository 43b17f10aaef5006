"""Queues, exchanges, channels and connections as RabbitMQ's JSON: the parts that several resources share.

Numbers are those of now. Keys that stand for Erlang's inside (reductions, garbage_collection) are there with zeros, so
that clients that read them do not fail.
"""

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from broker.core.consumers import Consumer
from broker.core.exchanges.exchange import Exchange
from broker.core.json_tables import json_of
from broker.core.names import is_reserved
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.priority import PriorityBacklog
from broker.core.queues.reply import ReplyQueue
from broker.core.queues.stream import StreamQueue
from broker.core.vhosts import VirtualHost
from broker.management.node import ManagedNode
from broker.management.node_facts import tls_facts
from broker.management.queue_sizes import HeldSizes, described_sizes
from broker.server.channel import Channel
from broker.server.connection import Connection
from broker.server.counters import SAMPLED, Counts, counts_of, exchange_counts_of, type_of
from protocol.errors import FrameError
from protocol.headers import identity_of

Described = dict[str, Any]

READY_AT: Final = len(SAMPLED)
UNACKED_AT: Final = READY_AT + 1
RECEIVED_AT: Final = READY_AT + 2
SENT_AT: Final = READY_AT + 3

PUBLISH_KEYS: Final = ("publish", "confirm", "return_unroutable", "drop_unroutable")
DELIVER_KEYS: Final = (
    *("ack", "deliver", "deliver_get", "deliver_no_ack", "get", "get_empty", "get_no_ack", "redeliver"),
)
NO_GARBAGE: Final = {
    "fullsweep_after": -1,
    "max_heap_size": -1,
    "min_bin_vheap_size": -1,
    "min_heap_size": -1,
    "minor_gcs": 0,
}


def rate(value: float) -> dict[str, float]:
    """Return a rate as RabbitMQ's ``..._details`` have it."""
    return {"rate": value}


def with_rate(node: ManagedNode, counted: Hashable, name: str, value: int, place: int) -> Described:
    """Return a number and its rate."""
    return {name: value, f"{name}_details": rate(node.rates.of(counted, place))}


def totals(node: ManagedNode, counted: Hashable, ready: int, unacked: int) -> Described:
    """Return how many messages are in the queues of something that is counted, and the rates of these numbers."""
    rates = node.rates.of(counted, READY_AT), node.rates.of(counted, UNACKED_AT)
    return {
        "messages": ready + unacked,
        "messages_details": rate(sum(rates)),
        "messages_ready": ready,
        "messages_ready_details": rate(rates[0]),
        "messages_unacknowledged": unacked,
        "messages_unacknowledged_details": rate(rates[1]),
    }


def idleness(node: ManagedNode, counted: Hashable, values: tuple[int, ...]) -> Described:
    """Return ``idle_since`` of what nothing has happened to for a while; ``values`` are those of a sample, now."""
    since_ms = node.rates.idle_since(counted, values)
    return {} if since_ms is None else {"idle_since": iso_time(since_ms)}


def message_stats(
    node: ManagedNode,
    counted: Hashable,
    counts: Counts,
    open_count: int,
    publish_keys: tuple[str, ...] = PUBLISH_KEYS,
) -> Described:
    """Return ``message_stats``: publishes if there were any, deliveries if there were any."""
    values = dict(zip(SAMPLED, counts.sample(open_count), strict=True))
    names: tuple[str, ...] = ()
    if any(values[name] for name in publish_keys):
        names += publish_keys
    if any(values[name] for name in DELIVER_KEYS):
        names += DELIVER_KEYS
    stats: Described = {}
    for name in sorted(names):
        stats |= with_rate(node, counted, name, values[name], SAMPLED.index(name))
    return stats


# Queues


def queue_basics(node: ManagedNode, queue: ClassicQueue) -> Described:
    """Return what a queue was declared with."""
    return {
        "arguments": json_of(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "exclusive": queue.exclusive_owner is not None,
        "name": queue.name,
        "node": node.name,
        "type": type_of(queue),
        "vhost": queue.vhost_name,
    }


def queue_totals(queue: ClassicQueue) -> Described:
    """Return how many messages are in a queue."""
    ready, unacked = queue.message_count, queue.unacked_count
    return {
        "messages": ready + unacked if not isinstance(queue, StreamQueue) else ready,
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
    }


def describe_queue(node: ManagedNode, vhost: VirtualHost, queue: ClassicQueue, held: HeldSizes) -> Described:
    """Return a queue as in lists."""
    described = queue_basics(node, queue) | _queue_depth(node, queue) | _queue_consumers(queue)
    ruling = vhost.policies.of_queue(queue) if not vhost.policies.is_empty else None
    policy = ruling.policy if ruling is not None else None
    operator_policy = ruling.operator_policy if ruling is not None else None
    described |= {
        "effective_policy_definition": ruling.definition if ruling is not None else {},
        "garbage_collection": NO_GARBAGE,
        "memory": queue.resident_octets(),
        "operator_policy": operator_policy.name if operator_policy is not None else None,
        "policy": policy.name if policy is not None else None,
        "reductions": 0,
        "reductions_details": rate(0.0),
        "state": "running",
    }
    counts = counts_of(queue)
    stats = message_stats(node, queue, counts, queue.unacked_count, ("publish",))
    if stats:
        described["message_stats"] = stats
    described |= idleness(node, queue, (*counts.sample(queue.unacked_count), queue.message_count, queue.unacked_count))
    if isinstance(queue.exclusive_owner, Connection):
        described["owner_pid_details"] = connection_details(queue.exclusive_owner)
    return described | _queue_of_type(node, queue, held)


def _queue_depth(node: ManagedNode, queue: ClassicQueue) -> Described:
    depth = totals(node, queue, queue.message_count, queue.unacked_count)
    return depth | {"messages": queue_totals(queue)["messages"]}


def _queue_consumers(queue: ClassicQueue) -> Described:
    capacity = consumer_capacity(queue)
    return {"consumers": queue.consumer_count, "consumer_capacity": capacity, "consumer_utilisation": capacity}


def consumer_capacity(queue: ClassicQueue) -> float:
    """Return the share of a queue's consumers that could take a message now; 0 without any."""
    ready = sum(1 for consumer in queue.consumers if consumer.limit())
    return ready / queue.consumer_count if queue.consumer_count else 0


def head_timestamp(queue: ClassicQueue) -> int | None:
    """Return the timestamp that the publisher gave the first ready message; None without, or if it is on disk."""
    if isinstance(queue, StreamQueue) or not queue.message_count or not queue.backlog.is_at_hand:
        return None
    stretch = queue.backlog.head()
    try:
        digits = identity_of(stretch.shape.header_payload(stretch.pieces[-queue.backlog.head_count()]), "timestamp")
    except FrameError:
        return None
    return None if digits is None else int(digits)


def backing_status(node: ManagedNode, queue: ClassicQueue) -> Described:
    """Return what RabbitMQ tells of a classic queue's inside, as far as there is the like of it here."""
    rates = {name: node.rates.of(queue, SAMPLED.index(name)) for name in ("publish", "deliver_get", "deliver", "ack")}
    status: Described = {
        "avg_ack_egress_rate": rates["ack"],
        "avg_ack_ingress_rate": rates["deliver"],
        "avg_egress_rate": rates["deliver_get"],
        "avg_ingress_rate": rates["publish"],
        "len": queue.message_count,
        "mode": "default",
        "version": 2,
    }
    if isinstance(queue.backlog, PriorityBacklog):
        status["priority_lengths"] = {str(level): count for level, count in queue.backlog.lengths().items()}
    return status


def _queue_of_type(node: ManagedNode, queue: ClassicQueue, held: HeldSizes) -> Described:
    """Return the keys that queues of one type alone have."""
    kind = type_of(queue)
    active = queue.line.active if queue.line.is_single else None
    tag = active.tag if active is not None else None
    if kind == "classic":
        exclusive = next((consumer.tag for consumer in queue.consumers if consumer.exclusive), None)
        return {
            **described_sizes(queue, held.of(queue)),
            "backing_queue_status": backing_status(node, queue),
            "exclusive_consumer_tag": exclusive,
            "head_message_timestamp": head_timestamp(queue),
            "recoverable_slaves": None,
            "single_active_consumer_tag": tag,
        }
    described: Described = {"members": [node.name], "online": [node.name]}
    if kind == "quorum":
        sizes = described_sizes(queue, held.of(queue))
        octets = {key: value for key, value in sizes.items() if "paged_out" not in key}
        described |= octets | {
            "leader": node.name,
            "message_bytes_dlx": 0,
            "messages_dlx": 0,
            "open_files": {node.name: 0},
            "single_active_consumer_ctag": tag,
        }
    else:
        described |= {"leader": node.name, "readers": {node.name: queue.consumer_count}}
    return described


# Consumers


def describe_consumer(node: ManagedNode, consumer: Consumer) -> Described:
    """Return a consumer."""
    channel = consumer.sink
    assert isinstance(channel, Channel)
    line = consumer.queue.line
    is_active = not line.is_single or line.active is consumer
    return {
        "ack_required": not consumer.no_ack,
        "active": is_active,
        "activity_status": "up" if not line.is_single else ("single_active" if is_active else "waiting"),
        "arguments": json_of(consumer.arguments),
        "channel_details": {
            "connection_name": channel.connection.name,
            "name": channel_name(channel),
            "node": node.name,
            "number": channel.number,
            "user": channel.connection.user,
            **peer_of(channel.connection),
        },
        "consumer_tag": consumer.tag,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "queue": {"name": consumer.queue.name, "vhost": consumer.queue.vhost_name},
    }


# Exchanges


def describe_exchange(node: ManagedNode, vhost: VirtualHost, exchange: Exchange) -> Described:
    """Return an exchange as in lists."""
    described: Described = {
        "arguments": json_of(exchange.arguments),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "name": exchange.name,
        "type": exchange.type_name,
        "user_who_performed_action": "rmq-internal" if is_reserved(exchange.name or "amq.") else "",
        "vhost": exchange.vhost_name,
    }
    policy = vhost.policies.of_exchange(exchange).policy if not vhost.policies.is_empty else None
    if policy is not None:
        described["policy"] = policy.name
    kept = exchange.kept_messages
    if kept is not None:
        described["messages_delayed"] = kept.message_count
    counts = exchange_counts_of(exchange)
    if counts.publish_in:
        described["message_stats"] = with_rate(node, exchange, "publish_in", counts.publish_in, 0) | with_rate(
            node, exchange, "publish_out", counts.publish_out, 1
        )
    return described


# Channels and connections


def channel_name(channel: Channel) -> str:
    """Return what operators know a channel by."""
    return f"{channel.connection.name} ({channel.number})"


def describe_channel(node: ManagedNode, channel: Channel) -> Described:
    """Return a channel as in lists."""
    connection, transaction = channel.connection, channel.transaction
    described: Described = {
        "acks_uncommitted": transaction.settled_count if transaction is not None else 0,
        "confirm": channel.is_confirming,
        "connection_details": connection_details(connection),
        "consumer_count": len(channel.consumers),
        "garbage_collection": NO_GARBAGE,
        "global_prefetch_count": channel.global_prefetch,
        "messages_unacknowledged": channel.unacked.count,
        "messages_uncommitted": transaction.published_count if transaction is not None else 0,
        "messages_unconfirmed": channel.unconfirmed_count if channel.is_confirming else 0,
        "name": channel_name(channel),
        "node": node.name,
        "number": channel.number,
        "pending_raft_commands": 0,
        "prefetch_count": channel.prefetch,
        "reductions": 0,
        "reductions_details": rate(0.0),
        "state": "running",
        "transactional": channel.transaction is not None,
        "user": connection.user,
        "user_who_performed_action": connection.user,
        "vhost": connection.vhost.name,
    }
    counts = counts_of(channel)
    stats = message_stats(node, channel, counts, channel.unacked.count)
    if stats:
        described["message_stats"] = stats
    described |= idleness(node, channel, counts.sample(channel.unacked.count))
    return described


def peer_of(connection: Connection) -> Described:
    """Return the client's address and port."""
    host, _, port = connection.peer.rpartition(":")
    return {"peer_host": host or connection.peer, "peer_port": int(port) if port.isdigit() else 0}


def connection_details(connection: Connection) -> Described:
    """Return what of a connection other objects tell."""
    return {"name": connection.name, **peer_of(connection)}


def describe_connection(node: ManagedNode, connection: Connection) -> Described:
    """Return a connection as in lists."""
    negotiated = connection.negotiated
    properties: Mapping[str, Any] = negotiated.client_properties if negotiated is not None else {}
    here_host, _, here_port = connection.name.partition(" -> ")[2].rpartition(":")
    name = properties.get("connection_name")
    described: Described = {
        "auth_mechanism": negotiated.mechanism if negotiated is not None else "",
        "channel_max": connection.channel_max,
        "channels": len(connection.channels),
        "client_properties": json_of(dict(properties)),
        "connected_at": connection.connected_ms,
        "frame_max": connection.frame_max,
        "garbage_collection": NO_GARBAGE,
        "host": here_host,
        "name": connection.name,
        "node": node.name,
        "port": int(here_port) if here_port.isdigit() else 0,
        "protocol": "AMQP 0-9-1",
        "recv_cnt": connection.received_count,
        "recv_oct": connection.received_octets,
        "recv_oct_details": rate(node.rates.of(connection, 0)),
        "reductions": 0,
        "reductions_details": rate(0.0),
        "send_cnt": connection.sent_count,
        "send_oct": connection.sent_octets,
        "send_oct_details": rate(node.rates.of(connection, 1)),
        "send_pend": connection.unwritten_octets,
        **tls_facts(connection),
        "state": _state_of(connection),
        "timeout": negotiated.heartbeat_s if negotiated is not None else 0,
        "type": "network",
        "user": connection.user,
        "user_who_performed_action": connection.user,
        "vhost": connection.vhost.name,
    } | peer_of(connection)
    if isinstance(name, str):
        described["user_provided_name"] = name
    return described


def _state_of(connection: Connection) -> str:
    if connection.broker.alarms.is_blocked(connection):
        return "blocked"
    return "flow" if connection.is_paused else "running"


def is_shown(consumer: Consumer) -> bool:
    """Whether a consumer is one of a queue's: not of direct reply-to."""
    return not isinstance(consumer.queue, ReplyQueue)


def iso_time(wall_ms: int) -> str:
    """Return a time (milliseconds since 1970) as RabbitMQ writes it."""
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds")
