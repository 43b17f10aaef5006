"""Verbs that list what is there: queues, exchanges, bindings, connections, channels, consumers.

The columns are rabbitmqctl's; those of Erlang processes (``pid``) hold names without their spaces, as in
``<127.0.0.1:40000->127.0.0.1:5672>``, which ``close_connection`` takes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from broker.control.verb import Session, Verb
from broker.control.verbs.vhosts import chosen

GROUP: Final = "Lists"
Row = Mapping[str, Any]

QUEUE_COLUMNS: Final = (
    "name",
    "durable",
    "auto_delete",
    "arguments",
    "policy",
    "operator_policy",
    "effective_policy_definition",
    "pid",
    "owner_pid",
    "exclusive",
    "exclusive_consumer_pid",
    "exclusive_consumer_tag",
    "messages_ready",
    "messages_unacknowledged",
    "messages",
    "messages_ready_ram",
    "messages_unacknowledged_ram",
    "messages_ram",
    "messages_persistent",
    "message_bytes",
    "message_bytes_ready",
    "message_bytes_unacknowledged",
    "message_bytes_ram",
    "message_bytes_persistent",
    "head_message_timestamp",
    "disk_reads",
    "disk_writes",
    "consumers",
    "consumer_utilisation",
    "consumer_capacity",
    "memory",
    "slave_pids",
    "synchronised_slave_pids",
    "state",
    "type",
    "leader",
    "members",
    "online",
    "confirm_on",
    "single_active_consumer_pid",
    "single_active_consumer_tag",
    "vhost",
)
EXCHANGE_COLUMNS: Final = ("name", "type", "durable", "auto_delete", "internal", "arguments", "policy", "vhost")
BINDING_COLUMNS: Final = (
    "source_name",
    "source_kind",
    "destination_name",
    "destination_kind",
    "routing_key",
    "arguments",
    "vhost",
)
CONNECTION_COLUMNS: Final = (
    "pid",
    "name",
    "port",
    "host",
    "peer_port",
    "peer_host",
    "ssl",
    "ssl_protocol",
    "ssl_key_exchange",
    "ssl_cipher",
    "ssl_hash",
    "peer_cert_subject",
    "peer_cert_issuer",
    "peer_cert_validity",
    "state",
    "channels",
    "protocol",
    "auth_mechanism",
    "user",
    "vhost",
    "timeout",
    "frame_max",
    "channel_max",
    "client_properties",
    "recv_oct",
    "recv_cnt",
    "send_oct",
    "send_cnt",
    "send_pend",
    "connected_at",
    "user_provided_name",
)
CHANNEL_COLUMNS: Final = (
    "pid",
    "connection",
    "name",
    "number",
    "user",
    "vhost",
    "transactional",
    "confirm",
    "consumer_count",
    "messages_unacknowledged",
    "messages_uncommitted",
    "acks_uncommitted",
    "messages_unconfirmed",
    "prefetch_count",
    "global_prefetch_count",
    "state",
)
CONSUMER_COLUMNS: Final = (
    "queue_name",
    "channel_pid",
    "consumer_tag",
    "ack_required",
    "prefetch_count",
    "active",
    "activity_status",
    "arguments",
    "exclusive",
)

# Columns that the HTTP API has under another name, or inside something.
QUEUE_VALUES: Final[Mapping[str, Callable[[Row], Any]]] = {
    "pid": lambda row: row.get("node"),
    "owner_pid": lambda row: pid_of(within(row, "owner_pid_details", "name")),
    "state": lambda row: row.get("state") or "running",
    "type": lambda row: row.get("type") or row.get("arguments", {}).get("x-queue-type") or "classic",
    "leader": lambda row: row.get("leader") or row.get("node"),
    "messages": lambda row: row.get("messages", 0),
    "messages_ready": lambda row: row.get("messages_ready", 0),
    "messages_unacknowledged": lambda row: row.get("messages_unacknowledged", 0),
    "consumers": lambda row: row.get("consumers", 0),
}
BINDING_VALUES: Final[Mapping[str, Callable[[Row], Any]]] = {
    "source_name": lambda row: row.get("source"),
    "source_kind": lambda _row: "exchange",
    "destination_name": lambda row: row.get("destination"),
    "destination_kind": lambda row: row.get("destination_type"),
}
CONNECTION_VALUES: Final[Mapping[str, Callable[[Row], Any]]] = {
    "pid": lambda row: pid_of(row.get("name")),
    "protocol": lambda row: (0, 9, 1) if row.get("protocol") == "AMQP 0-9-1" else row.get("protocol"),
    "user_provided_name": lambda row: within(row, "client_properties", "connection_name"),
}
CHANNEL_VALUES: Final[Mapping[str, Callable[[Row], Any]]] = {
    "pid": lambda row: pid_of(row.get("name")),
    "connection": lambda row: pid_of(within(row, "connection_details", "name")),
}
CONSUMER_VALUES: Final[Mapping[str, Callable[[Row], Any]]] = {
    "queue_name": lambda row: within(row, "queue", "name"),
    "channel_pid": lambda row: pid_of(within(row, "channel_details", "name")),
}
TABLES: Final = ("arguments", "client_properties")
"""Columns that are AMQP tables, whose values have types in JSON and in Erlang's terms."""
ATOMS: Final = ("state", "type", "source_kind", "destination_kind", "activity_status")


def pid_of(name: Any) -> str | None:
    """Return what stands for a connection's or channel's process: its name, as one word."""
    return f"<{str(name).replace(' ', '')}>" if name else None


def within(row: Row, outer: str, inner: str) -> Any:
    """Return a value of an object within a row, None where there is none."""
    value = row.get(outer)
    return value.get(inner) if isinstance(value, Mapping) else None


def _show(
    session: Session, columns: tuple[str, ...], rows: list[Row], values: Mapping[str, Callable[[Row], Any]]
) -> None:
    shown = [[values[name](row) if name in values else row.get(name) for name in columns] for row in rows]
    if session.output.formatter in ("json", "erlang"):
        from broker.control.erlang_terms import Atom, typed_table

        for place, name in enumerate(columns):
            if name in TABLES:
                for row in shown:
                    row[place] = typed_table(row[place] or {})
            elif name in ATOMS:
                for row in shown:
                    row[place] = Atom(row[place] or "")
    session.output.table(columns, shown)


def list_queues(session: Session) -> None:
    """List the queues of a virtual host; none for one that does not exist, as rabbitmqctl."""
    columns = chosen(session, QUEUE_COLUMNS, ("name", "messages"))
    session.doing(f"Timeout: {session.client.timeout_s or 60.0:.1f} seconds ...")
    session.doing(f"Listing queues for vhost {session.vhost} ...")
    rows = [] if "offline" in session.options else _in_vhost(session, "queues")
    _show(session, columns, rows, QUEUE_VALUES)


def list_exchanges(session: Session) -> None:
    """List the exchanges of a virtual host."""
    columns = chosen(session, EXCHANGE_COLUMNS, ("name", "type"))
    session.doing(f"Listing exchanges for vhost {session.vhost} ...")
    _show(session, columns, _in_vhost(session, "exchanges"), {})


def list_bindings(session: Session) -> None:
    """List the bindings of a virtual host."""
    columns = chosen(session, BINDING_COLUMNS, BINDING_COLUMNS[:-1])
    session.doing(f"Listing bindings for vhost {session.vhost}...")
    _show(session, columns, _in_vhost(session, "bindings"), BINDING_VALUES)


def list_connections(session: Session) -> None:
    """List connections."""
    columns = chosen(session, CONNECTION_COLUMNS, ("user", "peer_host", "peer_port", "state"))
    session.doing("Listing connections ...")
    _show(session, columns, session.client.get("connections"), CONNECTION_VALUES)


def list_channels(session: Session) -> None:
    """List channels."""
    columns = chosen(session, CHANNEL_COLUMNS, ("pid", "user", "consumer_count", "messages_unacknowledged"))
    session.doing("Listing channels ...")
    _show(session, columns, session.client.get("channels"), CHANNEL_VALUES)


def list_consumers(session: Session) -> None:
    """List the consumers of a virtual host."""
    default = (*CONSUMER_COLUMNS[:6], "arguments")
    columns = chosen(session, CONSUMER_COLUMNS, default)
    session.doing(f"Listing consumers in vhost {session.vhost} ...")
    _show(session, columns, _in_vhost(session, "consumers"), CONSUMER_VALUES)


def list_unresponsive_queues(session: Session) -> None:
    """List queues that do not answer: there are none."""
    session.doing(f"Listing unresponsive queues for vhost {session.vhost} ...")


def _in_vhost(session: Session, kind: str) -> list[Row]:
    known = [vhost["name"] for vhost in session.client.get("vhosts", query="columns=name")]
    found: list[Row] = session.client.get(kind, session.vhost) if session.vhost in known else []
    return found


def _verb(name: str, run: Callable[[Session], None], summary: str, *, is_in_vhost: bool) -> Verb:
    usage = "[-p <vhost>] [<column> ...]" if is_in_vhost else "[<column> ...]"
    options = {"online": "", "offline": "", "local": "", "mirrored": ""} if name == "list_queues" else {}
    return Verb(name, usage, summary, run, 0, None, options, GROUP)


VERBS: Final = (
    _verb("list_queues", list_queues, "Lists queues and what is in them", is_in_vhost=True),
    _verb("list_exchanges", list_exchanges, "Lists exchanges", is_in_vhost=True),
    _verb("list_bindings", list_bindings, "Lists bindings", is_in_vhost=True),
    _verb("list_connections", list_connections, "Lists connections", is_in_vhost=False),
    _verb("list_channels", list_channels, "Lists channels", is_in_vhost=False),
    _verb("list_consumers", list_consumers, "Lists consumers", is_in_vhost=True),
    _verb("list_unresponsive_queues", list_unresponsive_queues, "Lists queues that do not answer", is_in_vhost=True),
)
COLUMNS: Final = {
    "list_queues": QUEUE_COLUMNS,
    "list_exchanges": EXCHANGE_COLUMNS,
    "list_bindings": BINDING_COLUMNS,
    "list_connections": CONNECTION_COLUMNS,
    "list_channels": CHANNEL_COLUMNS,
    "list_consumers": CONSUMER_COLUMNS,
}
"""The columns that each verb knows, for its help."""
