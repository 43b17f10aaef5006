"""Verbs of clusters and replicas, on a broker that is one node: rabbitmq-queues, rabbitmq-streams, rabbitmq-upgrade.

What asks for more nodes is refused (69, as RabbitMQ for a node that is not there); what waits for them has nothing to
wait for. RabbitMQ: rabbitmq-queues(8), rabbitmq-streams(8), rabbitmq-upgrade(8).
"""

from typing import Any, Final

from broker.control.failures import OK, UNAVAILABLE, USAGE, Failure
from broker.control.verb import Session, Verb, found_or, grouped

GROUP: Final = "Cluster and replicas"
PAYLOAD_SHOWN_OCTETS: Final = 64


def refuse(session: Session) -> None:
    """Refuse what needs a cluster."""
    raise Failure(UNAVAILABLE, f"{session.verb.name}: this broker is a single node and forms no clusters")


def refuse_while_running(session: Session) -> None:
    """Refuse it, and before ``stop_app`` with the code and words that RabbitMQ has for that."""
    need_stopped(session)
    refuse(session)


def need_stopped(session: Session) -> None:
    """Raise Failure (64) while clients are let in."""
    if session.facts()["is_running"]:
        raise Failure(
            USAGE,
            "this command requires the 'rabbit' app to be stopped on the target node. "
            "Stop it with 'rabbitmqctl stop_app'.",
        )


def force_boot(session: Session) -> None:
    """Accept it after ``stop_app``: there are no peers that a start could wait for."""
    need_stopped(session)
    session.doing(f"Forcing boot for node {session.node} ...")


def await_online_nodes(session: Session) -> None:
    """Tell that this node is there. Raises Failure (75) for more than one."""
    text = session.arguments[0]
    if not text.isdecimal():
        raise session.wrong("the count must be a whole number")
    limit = session.options.get("timeout", "300")
    session.doing(
        f"Will wait for at least {text} nodes to join the cluster of {session.node}. Timeout: {limit} seconds."
    )
    if int(text) > 1:
        raise Failure(75, f"{text} nodes will never be there: this broker is a single node and forms no clusters")


def sync_queue(session: Session) -> None:
    """Refuse to synchronise mirrors: no queue has any."""
    session.doing(f"Synchronising queue '{session.arguments[0]}' in vhost '{session.vhost}' ...")
    raise Failure(UNAVAILABLE, "not_mirrored")


def cancel_sync_queue(session: Session) -> None:
    """Tell that no queue synchronises."""
    session.doing(f"Stopping synchronising queue '{session.arguments[0]}' in vhost '{session.vhost}' ...")
    session.output.line("not_syncing")


def set_on_itself(session: Session) -> None:
    """Grow or shrink replicas: on this node there is nothing to change, and others there are not."""
    node = session.arguments[0]
    session.doing(f"{'Growing' if session.verb.name == 'grow' else 'Shrinking'} quorum queues on {node}...")
    if node != session.facts()["node"]:
        refuse(session)


def rebalance(session: Session) -> None:
    """Spread leaders over the nodes, which is this one."""
    kind = session.arguments[0]
    if kind not in ("all", "classic", "quorum", "stream"):
        raise session.wrong("the type is all, classic, quorum or stream")
    session.doing(f"Re-balancing leaders of {kind} queues...")
    queues = session.client.get("queues", query="columns=name,type")
    count = sum(queue.get("type") == "quorum" for queue in queues)
    columns = ("Node name", "Number of quorum queues", "Number of replicated classic queues")
    session.output.table(columns, [(session.node, count, 0)])


def alone(session: Session) -> None:
    """Tell that there is nobody to wait for."""
    session.doing(f"Will wait for all members of replicated queues: {session.node} ...")
    session.facts()
    session.output.line("Target node seems to be the only one in a single node cluster, the command does not apply")


# Queues


def _queue(session: Session, type_: str, action: str) -> dict[str, Any]:
    queue: dict[str, Any] = found_or(session, UNAVAILABLE, "not_found", "queues", session.vhost, session.arguments[0])
    if queue.get("type") != type_:
        raise Failure(UNAVAILABLE, f"Cannot {action} a {queue.get('type')} queue")
    return queue


def quorum_status(session: Session) -> None:
    """Tell a quorum queue's member."""
    session.doing(f"Status of quorum queue {session.arguments[0]} on node {session.node} ...")
    _queue(session, "quorum", "get quorum status of")
    rows = session.client.get("queues", "quorum", session.vhost, session.arguments[0], "status")
    columns = tuple(rows[0])
    session.output.table(columns, ([row.get(column) for column in columns] for row in rows))


def stream_status(session: Session) -> None:
    """Tell a stream's writer."""
    session.doing(f"Status of stream {session.arguments[0]} on node {session.node} ...")
    queue = _queue(session, "stream", "get stream status of")
    session.output.table(("role", "node"), [("writer", queue.get("node"))])


def peek(session: Session) -> None:
    """Show a quorum queue's message at a position, counted from 1. It stays where it is."""
    name, text = session.arguments
    if not text.isdecimal() or text == "0":
        raise session.wrong("the position is a number from 1 on")
    session.doing(f"Peeking at quorum queue {name} at position {text} on node {session.node} ...")
    _queue(session, "quorum", "peek into")
    query = f"offset={int(text) - 1}&limit=1"
    found = session.client.get("queues", session.vhost, name, "messages", query=query)["items"]
    if not found:
        raise Failure(UNAVAILABLE, "Target queue does not have a message at that position")
    (message,) = found
    properties = dict(message.get("properties", {}))
    headers = properties.pop("headers", {})
    shown = {
        **properties,
        "routing_keys": [message["routing_key"]],
        "exchange": message["exchange"],
        f"payload (max {PAYLOAD_SHOWN_OCTETS} bytes)": str(message.get("payload", ""))[:PAYLOAD_SHOWN_OCTETS],
        **{f"header.{key}": value for key, value in headers.items()},
    }
    if session.output.formatter == "json":
        session.output.value({"result": "ok", "message": shown}, "")
    else:
        session.output.table(("keys", "values"), shown.items())


def set_retention(session: Session) -> None:
    """Refuse to change a stream's retention by hand: a policy does it."""
    _queue(session, "stream", "set the retention of")
    raise Failure(UNAVAILABLE, f"{session.verb.name}: set max-age by a policy (rabbitmqctl set_policy)")


# Maintenance


def drain(session: Session) -> None:
    """Let nobody in and close all connections, until ``revive``."""
    session.doing(
        f"Will put node {session.node} into maintenance mode. The node will no longer serve any client traffic!"
    )
    session.client.control("suspend-listeners", {"is_draining": True})


def revive(session: Session) -> None:
    """Let clients in again."""
    session.doing(
        f"Will put node {session.node} back into regular operating mode. "
        "The node will again serve client traffic and host primary queue replicas."
    )
    session.client.control("resume-listeners", {})


def suspend_listeners(session: Session) -> None:
    """Let nobody more in; who is connected stays."""
    session.doing(
        f"Will suspend client connection listeners on node {session.node}. "
        "The node will no longer accept client connections!"
    )
    session.client.control("suspend-listeners", {"is_draining": False})


def resume_listeners(session: Session) -> None:
    """Let clients in again."""
    session.doing(
        f"Will resume client connection listeners on node {session.node}. The node will now accept client connections"
    )
    session.client.control("resume-listeners", {})


def post_upgrade(session: Session) -> int:
    """Have nothing to do after an upgrade."""
    session.facts()
    session.doing("Executing post upgrade tasks...")
    return OK


def _refused(name: str, usage: str = "", run: Any = refuse) -> Verb:
    return Verb(name, usage, "Is refused: this is a single node", run, 0, None)


_MEMBER: Final = {"membership": "kind"}
_GROW: Final = {"vhost-pattern": "pattern", "queue-pattern": "pattern", "errors-only": "", "membership": "kind"}

VERBS: Final = grouped(
    GROUP,
    Verb("await_online_nodes", "<count>", "Has one node online", await_online_nodes, 1, 1),
    Verb("await_online_quorum_plus_one", "", "Has nobody to wait for", alone),
    Verb("await_online_synchronized_mirror", "", "Has nobody to wait for", alone),
    Verb("drain", "", "Lets nobody in and closes all connections", drain),
    Verb("revive", "", "Lets clients in again", revive),
    Verb("suspend_listeners", "", "Lets nobody more in", suspend_listeners),
    Verb("resume_listeners", "", "Lets clients in again", resume_listeners),
    Verb("post_upgrade", "", "Has nothing to do", post_upgrade),
    Verb("force_boot", "", "Has nothing to do, after stop_app", force_boot),
    Verb("quorum_status", "[-p <vhost>] <queue>", "Tells a quorum queue's member", quorum_status, 1, 1),
    Verb("stream_status", "[-p <vhost>] <stream>", "Tells a stream's writer", stream_status, 1, 1, {"tracking": ""}),
    Verb("peek", "[-p <vhost>] <queue> <position>", "Shows a quorum queue's message", peek, 2, 2),
    Verb("rebalance", "all|classic|quorum|stream", "Has one node for all leaders", rebalance, 1, 1, _GROW),
    Verb("grow", "<node> all|even", "Adds replicas: there is one node", set_on_itself, 2, 2, _GROW),
    Verb("shrink", "<node>", "Removes replicas: there is one node", set_on_itself, 1, 1, _GROW),
    Verb("sync_queue", "[-p <vhost>] <queue>", "Is refused: there are no mirrors", sync_queue, 1, 1),
    Verb("cancel_sync_queue", "[-p <vhost>] <queue>", "Has nothing to do", cancel_sync_queue, 1, 1),
    Verb(
        "set_stream_retention_policy",
        "[-p <vhost>] <stream> <max-age>",
        "Is refused: a policy does it",
        set_retention,
        2,
        2,
    ),
    Verb("add_member", "<queue> <node>", "Is refused: this is a single node", refuse, 0, None, _MEMBER),
    _refused("delete_member", "<queue> <node>"),
    _refused("add_replica", "<stream> <node>"),
    _refused("delete_replica", "<stream> <node>"),
    Verb(
        "join_cluster",
        "<node>",
        "Is refused: this is a single node",
        refuse_while_running,
        0,
        None,
        {"disc": "", "ram": ""},
    ),
    _refused("change_cluster_node_type", "<type>", refuse_while_running),
    _refused("rename_cluster_node", "<old> <new> ..."),
    _refused("update_cluster_nodes", "<node>", refuse_while_running),
    Verb("forget_cluster_node", "<node>", "Is refused: this is a single node", refuse, 0, None, {"offline": ""}),
)
