"""Verbs of rabbitmq-diagnostics: health checks, with exit code 69 for what is not well."""

import socket
from typing import Any, Final

from broker.control.failures import OK, UNAVAILABLE, Failure, Refused
from broker.control.verb import Session, Verb, grouped
from broker.control.verbs.node import in_unit, listener_line, listeners, shown_listener, unit_of

GROUP: Final = "Health checks"
CONNECT_S: Final = 5.0
UNWELL: Final = 503
"""HTTP's status of a check that did not pass."""
AMQP: Final = ("amqp", "amqp/ssl")


def ping(session: Session) -> None:
    """Tell whether the process answers."""
    session.facts()
    session.doing(f"Will ping {session.node}. This only checks if the broker's process runs and answers.")
    session.output.value({"result": "ok", "message": "Ping succeeded"}, "Ping succeeded")


def check_running(session: Session) -> None:
    """Tell whether clients are let in."""
    session.doing(f"Checking if RabbitMQ is running on node {session.node} ...")
    if not session.facts()["is_running"]:
        raise Failure(UNAVAILABLE, f"RabbitMQ on node {session.node} is not running or has not fully booted yet")
    text = f"RabbitMQ on node {session.node} is fully booted and running"
    session.output.value({"result": "ok", "message": text}, text)


def is_booting(session: Session) -> None:
    """Tell that the node is not starting: it answers only when it has started."""
    session.doing(f"Asking node {session.node} for its boot status ...")
    state = "is fully booted (check with is_running), stopped or has not started booting yet"
    session.output.line(f"RabbitMQ on node {session.node} {state}")


def _alarms(session: Session) -> list[str]:
    if session.client.place.is_local:
        return list(session.facts()["alarms"])
    try:
        session.client.get("health", "checks", "local-alarms")
    except Refused as refused:
        return [refused.reason]
    return []


def check_local_alarms(session: Session) -> None:
    """Tell whether memory or disk runs low."""
    session.doing(f"Asking node {session.node} to report any local resource alarms ...")
    _tell_alarms(session, "no local alarms", UNAVAILABLE)


def check_alarms(session: Session) -> None:
    """The same: there is one node."""
    session.doing(f"Asking node {session.node} to report any local resource alarms ...")
    _tell_alarms(session, "no alarms, local or clusterwide", UNAVAILABLE)


def alarms(session: Session) -> int:
    """Tell alarms; to have some is no failure."""
    session.doing(f"Asking node {session.node} to report any known resource alarms ...")
    _tell_alarms(session, "no alarms, local or clusterwide", OK)
    return OK


def _tell_alarms(session: Session, nothing: str, exit_code: int) -> None:
    raised = _alarms(session)
    if raised and exit_code:
        raise Failure(exit_code, f"Node {session.node} reported local alarms: {', '.join(raised)}")
    lines = [f"{kind} alarm on node {session.node}" for kind in raised]
    value = {"result": "ok", "node": session.node, "alarms": raised, "local": raised, "global": raised}
    session.output.value(value, "\n".join(lines) or f"Node {session.node} reported {nothing}")


def check_port_connectivity(session: Session) -> None:
    """Connect to every port that is listened on. Where AMQP's clients are turned away, their ports count as shut.

    RabbitMQ does not listen on them then, so its check fails, too.
    """
    session.doing(f"Testing TCP connections to all active listeners on node {session.node} ...")
    ports = listeners(session)
    shut = () if _is_taking_clients(session) else AMQP
    closed = [each for each in ports if each["protocol"] in shut or not _connects(session, each)]
    if closed:
        numbers = ", ".join(str(each["port"]) for each in closed)
        raise Failure(UNAVAILABLE, f"Connection attempts failed to the following ports of {session.node}: {numbers}")
    numbers = ", ".join(str(each["port"]) for each in ports)
    text = f"Successfully connected to ports {numbers} on node {session.node}."
    session.output.value({"result": "ok", "message": text}, text)


def _is_taking_clients(session: Session) -> bool:
    if session.client.place.is_local:
        return bool(session.facts()["is_taking_clients"])
    try:
        session.client.get("health", "checks", "ready-to-serve-clients")
    except Refused as refused:
        return refused.status != UNWELL  # Another broker may have no such check.
    return True


def _connects(session: Session, listener: dict[str, Any]) -> bool:
    from urllib.parse import urlsplit

    address = str(listener["ip_address"])
    if not session.client.place.is_local:
        address = urlsplit(session.client.place.url).hostname or "127.0.0.1"
    tried = {"::": ("127.0.0.1", "::1"), "0.0.0.0": ("127.0.0.1",), "*": ("127.0.0.1", "::1")}.get(address, (address,))
    for host in tried:
        try:
            socket.create_connection((host, int(listener["port"])), CONNECT_S).close()
        except OSError:
            continue
        return True
    return False


def check_port_listener(session: Session) -> None:
    """Tell whether a port is listened on."""
    text = session.arguments[0]
    if not text.isdecimal():
        raise session.wrong("the port must be a number")
    session.doing(f"Asking node {session.node} if there's an active listener on port {text} ...")
    known = [each["port"] for each in listeners(session)]
    if int(text) not in known:
        raise Failure(
            UNAVAILABLE,
            f"No listener for port {text} is active on node {session.node}. "
            f"Found listeners that use the following ports: {', '.join(map(str, known))}",
        )
    session.output.value({"result": "ok"}, f"A listener for port {text} is running on node {session.node}.")


ALIASES: Final = {"amqp091": "amqp", "amqp10": "amqp", "amqps": "amqp/ssl", "amqp/tls": "amqp/ssl", "ssl": "amqp/ssl"}


def check_protocol_listener(session: Session) -> None:
    """Tell whether a protocol is listened for."""
    wanted = session.arguments[0]
    session.doing(f"Asking node {session.node} if there's an active listener for protocol {wanted} ...")
    known = sorted({each["protocol"] for each in listeners(session)})
    if ALIASES.get(wanted, wanted) not in known:
        raise Failure(
            UNAVAILABLE,
            f"No listener for protocol {wanted} is active on node {session.node}. "
            f"Found listeners for the following protocols: {', '.join(known)}",
        )
    session.output.value({"result": "ok"}, f"A listener for protocol {wanted} is running on node {session.node}.")


def show_listeners(session: Session) -> None:
    """List the ports that are listened on."""
    session.doing(f"Asking node {session.node} to report its protocol listeners ...")
    ports = listeners(session)
    value = {"result": "ok", "node": session.node, "listeners": [shown_listener(each, session.node) for each in ports]}
    session.output.value(value, "\n".join(listener_line(each) for each in ports))


def check_virtual_hosts(session: Session) -> None:
    """Tell that all virtual hosts are there: none ever fails alone."""
    session.doing(f"Checking if all vhosts are running on node {session.node} ...")
    session.facts()
    text = f"Node {session.node} reported all vhosts as running"
    session.output.value({"result": "ok"}, text)


def node_health_check(session: Session) -> None:
    """The deprecated check of all: the node runs and has no alarm."""
    session.doing(f"Checking health of node {session.node} ...")
    raised = _alarms(session)
    if raised or not session.facts()["is_running"]:
        raise Failure(UNAVAILABLE, f"health check failed: {', '.join(raised) or 'the node is not running'}")
    session.output.line("Health check passed")


def server_version(session: Session) -> None:
    """Tell the version that clients are told."""
    session.doing(f"Asking node {session.node} for its RabbitMQ version...")
    session.output.line(str(session.facts()["release"]))


def erlang_version(session: Session) -> None:
    """Tell that there is no Erlang."""
    session.doing(f"Asking node {session.node} for its Erlang/OTP version...")
    session.output.line("none: this broker is written in Python")


def memory_breakdown(session: Session) -> None:
    """Tell how much memory is used; it is not broken down."""
    session.doing(f"Reporting memory breakdown on node {session.node}...")
    unit = unit_of(session)
    used = session.client.get("nodes", session.facts()["node"]).get("mem_used", 0)
    session.output.value({"total": used}, f"total: {in_unit(used, unit)} (100%)")


def always_well(session: Session) -> None:
    """Tell that a check does not apply to a single node."""
    session.facts()
    text = f"Node {session.node} seems to be the only one in a single node cluster, the check does not apply"
    session.output.value({"result": "ok", "message": text}, text)


def is_running(session: Session) -> int:
    """Tell whether clients are let in. That they are not is no failure to tell it."""
    session.doing(f"Asking node {session.node} for its status ...")
    is_it = bool(session.facts()["is_running"])
    state = (
        "is fully booted and running" if is_it else "is not running or has not fully booted yet (check with is_booting)"
    )
    text = f"RabbitMQ on node {session.node} {state}"
    session.output.value({"result": is_it, "message": text}, text)
    return OK


def check_deprecated(session: Session) -> None:
    """Tell whether something is in use that later versions refuse."""
    session.doing(f"Checking if any deprecated features are used on node {session.node} ...")
    used = [each["name"] for each in session.client.get("deprecated-features", "used")]
    if used:
        raise Failure(UNAVAILABLE, f"Deprecated features are used: {', '.join(used)}")
    text = f"Node {session.node} reported no deprecated features in use"
    session.output.value({"result": "ok", "message": text}, text)


def check_metadata(session: Session) -> None:
    """Tell that definitions are there: a broker that answers has read them."""
    session.doing(f"Checking if metadata store is initialized on node {session.node} ...")
    session.facts()
    text = f"Metadata store on node {session.node} is initialized"
    session.output.value({"result": "ok", "message": text}, text)


def check_mirroring(session: Session) -> None:
    """Tell whether a policy asks for mirrors, which there are none of."""
    session.doing(f"Checking if cluster {session.node} has any classic queue mirroring policy ...")
    kinds = ("policies", "operator-policies")
    found = [each["name"] for kind in kinds for each in session.client.get(kind) if "ha-mode" in each["definition"]]
    if found:
        raise Failure(UNAVAILABLE, f"Policies that enable classic queue mirroring: {', '.join(found)}")
    session.output.value({"result": "ok"}, "Cluster reported no policies that enable classic queue mirroring")


def check_certificate_expiration(session: Session) -> None:
    """Tell whether a certificate ends soon."""
    within, unit = session.options.get("within", "1"), session.options.get("unit", "months")
    session.doing(f"Checking certificate expiration on node {session.node} ...")
    session.client.get("health", "checks", "certificate-expiration", within, unit)
    session.output.line(f"No certificates are expiring within {within} {unit}.")


VERBS: Final = grouped(
    GROUP,
    Verb("ping", "", "Tells whether the process answers", ping),
    Verb("check_running", "", "Tells whether clients are let in", check_running),
    Verb("is_running", "", "Tells the same, without failing", is_running),
    Verb("is_booting", "", "Tells whether the node is starting", is_booting),
    Verb("check_local_alarms", "", "Fails if memory or disk runs low", check_local_alarms),
    Verb("check_alarms", "", "The same", check_alarms),
    Verb("alarms", "", "Lists alarms", alarms),
    Verb("check_port_connectivity", "", "Connects to every port that is listened on", check_port_connectivity),
    Verb("check_port_listener", "<port>", "Fails if a port is not listened on", check_port_listener, 1, 1),
    Verb("check_protocol_listener", "<protocol>", "The same for a protocol", check_protocol_listener, 1, 1),
    Verb("check_virtual_hosts", "", "Tells that virtual hosts are there", check_virtual_hosts),
    Verb("listeners", "", "Lists the ports that are listened on", show_listeners),
    Verb("node_health_check", "", "Deprecated: the node runs and has no alarm", node_health_check),
    Verb("server_version", "", "Tells the version that clients are told", server_version),
    Verb("erlang_version", "", "Tells that there is no Erlang", erlang_version),
    Verb("memory_breakdown", "[--unit <unit>]", "Tells the memory used", memory_breakdown, options={"unit": "unit"}),
    Verb("check_if_node_is_quorum_critical", "", "Does not apply to a single node", always_well),
    Verb("check_if_node_is_mirror_sync_critical", "", "Does not apply to a single node", always_well),
    Verb(
        "check_if_new_quorum_queue_replicas_have_finished_initial_sync",
        "",
        "Does not apply to a single node",
        always_well,
    ),
    Verb("check_if_any_deprecated_features_are_used", "", "Fails if some are in use", check_deprecated),
    Verb("check_if_metadata_store_is_initialized", "", "Tells that definitions are there", check_metadata),
    Verb("check_if_metadata_store_initialized_with_data", "", "Tells that definitions are there", check_metadata),
    Verb(
        "check_if_cluster_has_classic_queue_mirroring_policy", "", "Fails if a policy asks for mirrors", check_mirroring
    ),
    Verb(
        "check_certificate_expiration",
        "--within <count> --unit days|weeks|months|years",
        "Fails if a certificate ends soon",
        check_certificate_expiration,
        options={"within": "count", "unit": "unit"},
    ),
)
