"""Verbs about the node as a whole: status, limits, starting and stopping."""

import os
import time
from pathlib import Path
from typing import Any, Final

from broker.control.failures import DATA, TEMPORARY, UNAVAILABLE, USAGE, Failure, Unreachable
from broker.control.verb import Session, Verb, grouped

GROUP: Final = "Node"
POLL_S: Final = 0.1
UNITS: Final = {
    "bytes": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgtp", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgtp", 1)},
}
"""What ``--unit`` knows, as RabbitMQ's information units."""


def status(session: Session) -> None:
    """Tell what the node is and uses."""
    session.doing(f"Status of node {session.node} ...")
    unit = unit_of(session)
    found = node_status(session)
    session.output.value(found, "\n".join(status_lines(found, listeners(session), unit)))


def unit_of(session: Session) -> str:
    """Return the unit that ``--unit`` names, else gb. Raises UsageFailure."""
    unit = session.options.get("unit", "gb").lower()
    if unit not in UNITS:
        raise session.wrong(f"unit '{unit}' not supported. Please use one of: {', '.join(UNITS)}")
    return unit


def in_unit(octets: int, unit: str) -> str:
    """Return a size as rabbitmqctl shows it."""
    return f"{round(octets / UNITS[unit], 4)} {unit}"


def node_status(session: Session) -> dict[str, Any]:
    """Return what ``status`` shows, with rabbitmq-diagnostics' names."""
    overview = session.client.get("overview")
    node = session.client.get("nodes", overview["node"])
    totals = overview.get("object_totals", {})
    return {
        "node": overview["node"],
        "pid": int(node.get("os_pid") or 0),
        "rabbitmq_version": overview["rabbitmq_version"],
        "product_name": overview.get("product_name", "RabbitMQ"),
        "product_version": overview.get("product_version", overview["rabbitmq_version"]),
        "os": "Linux" if os.name == "posix" else os.name,
        "uptime": int(node.get("uptime", 0)) // 1000,
        "run_queue": node.get("run_queue", 0),
        "is_under_maintenance": bool(session.facts().get("is_under_maintenance")),
        "alarms": [
            kind for kind in ("memory", "disk") if node.get(f"{'mem' if kind == 'memory' else 'disk_free'}_alarm")
        ],
        "active_plugins": list(node.get("enabled_plugins", [])),
        "config_files": list(node.get("config_files", [])),
        "data_directory": node.get("db_dir", ""),
        "log_files": list(node.get("log_files", [])),
        "memory": {"strategy": "rss", "total": dict.fromkeys(("rss", "allocated", "erlang"), node.get("mem_used", 0))},
        "vm_memory_calculation_strategy": "rss",
        "vm_memory_high_watermark_limit": node.get("mem_limit", 0),
        "disk_free": node.get("disk_free", 0),
        "disk_free_limit": node.get("disk_free_limit", 0),
        "file_descriptors": {
            "total_used": node.get("fd_used", 0),
            "total_limit": node.get("fd_total", 0),
            "sockets_used": node.get("sockets_used", 0),
            "sockets_limit": node.get("sockets_total", 0),
        },
        "processes": {"used": node.get("proc_used", 0), "limit": node.get("proc_total", 0)},
        "totals": {
            "connection_count": totals.get("connections", 0),
            "queue_count": totals.get("queues", 0),
            "virtual_host_count": len(session.client.get("vhosts", query="columns=name")),
        },
        "listeners": [shown_listener(each, overview["node"]) for each in listeners(session)],
    }


def status_lines(found: dict[str, Any], ports: list[dict[str, Any]], unit: str) -> list[str]:
    """Return the node's status for people."""
    descriptors, totals = found["file_descriptors"], found["totals"]
    sections: dict[str, list[str]] = {
        "Runtime": [
            f"OS PID: {found['pid']}",
            f"OS: {found['os']}",
            f"Uptime (seconds): {found['uptime']}",
            f"Is under maintenance?: {str(found['is_under_maintenance']).lower()}",
            f"RabbitMQ version: {found['rabbitmq_version']}",
            f"Node name: {found['node']}",
        ],
        "Plugins": ["Enabled plugins:", "", *(f" * {name}" for name in found["active_plugins"])],
        "Data directory": [f"Node data directory: {found['data_directory']}"],
        "Config files": [f" * {name}" for name in found["config_files"]] or ["(none)"],
        "Log file(s)": [f" * {name}" for name in found["log_files"]] or [" * <stdout>"],
        "Alarms": [f"{kind} alarm on node {found['node']}" for kind in found["alarms"]] or ["(none)"],
        "Memory": [
            f"Total memory used: {in_unit(found['memory']['total']['rss'], unit)}",
            f"Memory high watermark: {in_unit(found['vm_memory_high_watermark_limit'], unit)}",
        ],
        "File Descriptors": [f"Total: {descriptors['total_used']}, limit: {descriptors['total_limit']}"],
        "Free Disk Space": [
            f"Low free disk space watermark: {in_unit(found['disk_free_limit'], unit)}",
            f"Free disk space: {in_unit(found['disk_free'], unit)}",
        ],
        "Totals": [
            f"Connection count: {totals['connection_count']}",
            f"Queue count: {totals['queue_count']}",
            f"Virtual host count: {totals['virtual_host_count']}",
        ],
        "Listeners": [listener_line(each) for each in ports],
    }
    return [line for title, lines in sections.items() for line in (title, "", *lines, "")][:-1]


def cluster_status(session: Session) -> None:
    """Tell about the cluster, which is this node."""
    node = session.node
    session.doing(f"Cluster status of node {node} ...")
    overview = session.client.get("overview")
    release = overview["rabbitmq_version"]
    flags = session.client.get("feature-flags")
    ports = listeners(session)
    maintenance = "under maintenance" if session.facts().get("is_under_maintenance") else "not under maintenance"
    value = {
        "cluster_name": overview.get("cluster_name", node),
        "disk_nodes": [node],
        "ram_nodes": [],
        "running_nodes": [node],
        "versions": {node: {"rabbitmq_version": release}},
        "maintenance_status": {node: maintenance},
        "alarms": [],
        "partitions": {},
        "listeners": {node: [shown_listener(each, node) for each in ports]},
        "feature_flags": flags,
    }
    sections = {
        "Basics": [f"Cluster name: {value['cluster_name']}"],
        "Disk Nodes": [node],
        "Running Nodes": [node],
        "Versions": [f"{node}: {overview.get('product_name', 'RabbitMQ')} {release}"],
        "Maintenance status": [f"Node: {node}, status: {maintenance}"],
        "Network Partitions": ["(none)"],
        "Listeners": [f"Node: {node}, {listener_line(each)[0].lower()}{listener_line(each)[1:]}" for each in ports],
        "Feature flags": [f"Flag: {flag['name']}, state: {flag['state']}" for flag in flags],
    }
    session.output.value(value, "\n".join(line for t, lines in sections.items() for line in (t, "", *lines, "")))


PURPOSES: Final = {
    "amqp": "AMQP 0-9-1",
    "amqp/ssl": "AMQP 0-9-1 over TLS",
    "http": "HTTP API",
    "https": "HTTP API over TLS",
    "http/prometheus": "Prometheus exporter API over HTTP",
}


def listeners(session: Session) -> list[dict[str, Any]]:
    """Return the ports that are listened on, each once: interface, port, protocol."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for each in session.facts()["listeners"]:
        key = (each["protocol"], each["port"])
        found.setdefault(key, {"ip_address": each.get("ip_address", "::"), **each})
    return sorted(found.values(), key=lambda each: int(each["port"]))


def shown_listener(each: dict[str, Any], node: str) -> dict[str, Any]:
    """Return a listener with rabbitmqctl's names."""
    protocol = each["protocol"]
    return {
        "interface": interface(each),
        "node": node,
        "port": each["port"],
        "protocol": protocol,
        "purpose": PURPOSES.get(protocol, protocol),
    }


def interface(each: dict[str, Any]) -> str:
    """Return a listener's address as rabbitmqctl shows it."""
    address = str(each["ip_address"])
    return f"[{address}]" if ":" in address else address


def listener_line(each: dict[str, Any]) -> str:
    """Return a listener as a line."""
    purpose = PURPOSES.get(each["protocol"], each["protocol"])
    return f"Interface: {interface(each)}, port: {each['port']}, protocol: {each['protocol']}, purpose: {purpose}"


def environment(session: Session) -> None:
    """Tell the settings in force, without secrets."""
    session.doing(f"Application environment of node {session.node} ...")
    settings = session.client.control("environment")
    session.output.value(settings, "\n".join(f"{name} = {value}" for name, value in settings.items()))


def report(session: Session) -> None:
    """Tell all that a report of a problem needs."""
    from broker.control.verbs import lists, objects, users, vhosts

    session.doing(f"Reporting server status of node {session.node} ...")
    session.output.line()
    status(session)
    session.output.line()
    for run in (environment, cluster_status) if session.client.place.is_local else (cluster_status,):
        run(session)
        session.output.line()
    for run in (users.list_users, vhosts.list_vhosts, lists.list_connections, lists.list_channels):
        session.arguments = []
        run(session)
        session.output.line()
    for vhost in [each["name"] for each in session.client.get("vhosts", query="columns=name")]:
        session.options = {**session.options, "vhost": vhost}
        for run in (
            lists.list_queues,
            lists.list_exchanges,
            lists.list_bindings,
            vhosts.list_permissions,
            objects.list_policies,
        ):
            run(session)
            session.output.line()


def version(session: Session) -> None:
    """Tell the version of RabbitMQ that clients are told, as scripts compare it."""
    session.output.line(str(session.facts()["release"]))


# Limits


def set_vm_memory_high_watermark(session: Session) -> None:
    """Set the memory above which publishers must wait."""
    kind, text = ("absolute", session.arguments[1]) if len(session.arguments) == 2 else ("", session.arguments[0])
    if len(session.arguments) == 2 and session.arguments[0] != "absolute":
        raise Failure(DATA, f"Bad argument: {session.arguments[0]}; it must be a fraction, or absolute <value>")
    body: dict[str, float]
    if kind:
        session.doing(f"Setting memory threshold on {session.node} to {text} bytes ...")
        body = {"octets": octets(text)}
    else:
        fraction = number(text)
        if not 0 < fraction <= 1:
            raise Failure(DATA, f"Bad argument: {text}; the fraction is above 0 and up to 1")
        session.doing(f"Setting memory threshold on {session.node} to {text} ...")
        body = {"fraction": fraction}
    session.client.control("memory-limit", body)


def set_disk_free_limit(session: Session) -> None:
    """Set the free disk space below which publishers must wait."""
    if len(session.arguments) == 2:
        if session.arguments[0] != "mem_relative":
            raise Failure(DATA, f"Bad argument: {session.arguments[0]}; it must be a size, or mem_relative <fraction>")
        factor = number(session.arguments[1])
        session.doing(f"Setting disk free limit on {session.node} to {session.arguments[1]} times the total RAM ...")
        session.client.control("disk-limit", {"memory_factor": factor})
        return
    size = octets(session.arguments[0])
    session.doing(f"Setting disk free limit on {session.node} to {session.arguments[0]} bytes ...")
    session.client.control("disk-limit", {"octets": size})


_UNITS: Final = {
    "": 1,
    "B": 1,
    **{f"{letter}{'iB'}": 1024**power for power, letter in enumerate("KMGTP", 1)},
    **{letter: 1024**power for power, letter in enumerate("kMGTP", 1)},
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGTP", 1)},
    "K": 1024,
    "KB": 1000,
}


def octets(text: str) -> int:
    """Return the octets that ``2GB``, ``1GiB`` or ``1000`` stand for. Raises Failure (65)."""
    digits = text.rstrip("BKMGTPki")
    factor = _UNITS.get(text[len(digits) :])
    if not digits.isdecimal() or factor is None:
        raise Failure(DATA, f"Bad argument: {text}; a size is a number such as 1000000, 50MB or 2GiB")
    return int(digits) * int(factor)


def number(text: str) -> float:
    """Return a positive number. Raises Failure (65)."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:
        raise Failure(DATA, f"Bad argument: {text}; it must be a number")
    return value


def set_log_level(session: Session) -> None:
    """Log more or less from now on."""
    level = session.arguments[-1]
    session.doing(f'Setting log level to "{level}" ...')
    known = {"debug": "debug", "info": "info", "notice": "info", "warning": "warning", "error": "error"}
    known |= dict.fromkeys(("critical", "alert", "emergency", "none"), "error")
    if level not in known:
        raise Failure(UNAVAILABLE, f"level {level} is not supported. Try one of {', '.join(known)}")
    session.client.control("log-level", {"level": known[level]})


# Feature flags


def list_feature_flags(session: Session) -> None:
    """List feature flags."""
    session.doing("Listing feature flags ...")
    columns = tuple(session.arguments) or ("name", "state")
    rows = ([flag.get(column) for column in columns] for flag in session.client.get("feature-flags"))
    session.output.table(columns, rows)


def enable_feature_flag(session: Session) -> None:
    """Enable a feature flag: what RabbitMQ has behind one is always on here."""
    name = session.arguments[0]
    session.doing("Enabling all feature flags ..." if name == "all" else f'Enabling feature flag "{name}" ...')
    if name != "all" and name not in [flag["name"] for flag in session.client.get("feature-flags")]:
        raise Failure(USAGE, f"This feature flag is not supported by node {session.node}")


def list_deprecated_features(session: Session) -> None:
    """List what later versions of RabbitMQ refuse, and whether this one does."""
    session.doing("Listing deprecated features ...")
    columns = ("name", "deprecation_phase")
    rows = ([each.get(column) for column in columns] for each in session.client.get("deprecated-features"))
    session.output.table(columns, rows)


def shovel_status(session: Session) -> None:
    """List shovels: there are none."""
    session.doing(f"Shovel status on node {session.node}")
    session.output.table(("name", "vhost", "type", "state"), [])


def federation_status(session: Session) -> None:
    """List federation links: there are none."""
    session.doing(f"Listing federation links on node {session.node}...")
    session.output.table(("upstream", "vhost", "status"), [])


# Life


def stop(session: Session) -> None:
    """Stop the broker and wait until it has ended."""
    facts = session.client.control("status")
    session.doing(f"Stopping and halting node {facts['node']} ...")
    session.client.control("stop", {})
    wait_until(lambda: not is_process(facts["pid"]), seconds(session, 60.0), "the broker did not stop")


def stop_app(session: Session) -> None:
    """Close all connections and let no more in; the process stays, as do its data."""
    session.doing(f"Stopping rabbit application on node {session.node} ...")
    session.client.control("stop-app", {})


def start_app(session: Session) -> None:
    """Let clients in again."""
    session.doing(f"Starting node {session.node} ...")
    session.client.control("start-app", {})


def reset(session: Session) -> None:
    """Delete all that is there and begin as at the first start; after ``stop_app`` only."""
    if session.client.control("status")["is_running"]:
        raise Failure(
            USAGE,
            "this command requires the 'rabbit' app to be stopped on the target node. "
            "Stop it with 'rabbitmqctl stop_app'.",
        )
    session.doing(f"Resetting node {session.node} ...")
    session.client.control("reset", {})


def await_startup(session: Session) -> None:
    """Wait until the broker is ready."""
    limit = seconds(session, 300.0)
    wait_until(lambda: answers(session), limit, f"operation {session.verb.name} timed out")


def wait(session: Session) -> None:
    """Wait for a process to be there and the broker to be ready; fail if the process ends."""
    limit = seconds(session, 10.0)
    if "pid" in session.options:
        pid = session.options["pid"]
    elif session.arguments:
        path = Path(session.arguments[0])
        session.doing(f"Waiting for pid file '{path}' to appear")
        text = f"operation wait timed out: no pid file {path}, and no broker answers"
        # Scripts name the file that RabbitMQ writes; Leveret writes none, so that a broker that answers will do.
        wait_until(lambda: written_in(path) or answers(session), limit, text)
        pid = written_in(path) or str(session.facts().get("pid", os.getpid()))
    else:
        raise session.wrong("not enough arguments: a pid file, or --pid <pid>")
    if not pid.isdecimal():
        raise Failure(DATA, f"{pid!r} is no process number")
    session.doing(f"Waiting for the broker to start while OS process '{pid}' is running")
    until = time.monotonic() + limit
    while not answers(session):
        if not is_process(int(pid)):
            raise Failure(UNAVAILABLE, f"process {pid} is not running")
        if time.monotonic() > until:
            raise Failure(TEMPORARY, "operation wait timed out")
        time.sleep(POLL_S)
    session.doing(f"Applications 'rabbit_and_plugins' are running on node '{session.node}'")


def written_in(path: Path) -> str:
    """Return what is in a pid file, nothing as long as it is not there."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def answers(session: Session) -> bool:
    """Whether the broker is there and ready."""
    try:
        return bool(session.facts()["is_running"])
    except Unreachable:
        return False


def seconds(session: Session, default: float) -> float:
    """Return what ``--timeout`` gives."""
    return session.client.timeout_s if "timeout" in session.options and session.client.timeout_s else default


def wait_until(is_so: Any, limit_s: float, text: str) -> None:
    """Return when ``is_so()``. Raises Failure (75) with ``text`` when it takes too long."""
    until = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > until:
            raise Failure(TEMPORARY, text)
        time.sleep(POLL_S)


def is_process(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return True


def refuse_rotation(session: Session) -> None:
    """Refuse it as RabbitMQ does, with its code: nobody rotates logs by a command."""
    raise Failure(UNAVAILABLE, "This command does not rotate logs anymore [deprecated]: they go to the standard output")


VERBS: Final = grouped(
    GROUP,
    Verb("status", "[--unit <unit>]", "Tells what the node is and uses", status, 0, 0, {"unit": "unit"}),
    Verb("cluster_status", "", "Tells about the cluster of this one node", cluster_status),
    Verb("environment", "", "Tells the settings in force", environment),
    Verb("report", "", "Tells all that a report of a problem needs", report),
    Verb("version", "", "Tells the version that clients are told", version),
    Verb(
        "set_vm_memory_high_watermark",
        "<fraction> | absolute <size>",
        "Sets the memory limit",
        set_vm_memory_high_watermark,
        1,
        2,
    ),
    Verb("set_disk_free_limit", "<size> | mem_relative <fraction>", "Sets the disk limit", set_disk_free_limit, 1, 2),
    Verb("set_log_level", "<level>", "Logs more or less", set_log_level, 1, 2),
    Verb("list_feature_flags", "[<column> ...]", "Lists feature flags", list_feature_flags, 0, None),
    Verb(
        "enable_feature_flag",
        "<name>|all",
        "Accepts a feature flag",
        enable_feature_flag,
        1,
        1,
        {"experimental": "", "opt-in": ""},
    ),
    Verb("list_deprecated_features", "", "Lists what later versions refuse", list_deprecated_features),
    Verb("shovel_status", "", "Has no shovels to list", shovel_status),
    Verb("federation_status", "", "Has no links to list", federation_status),
    Verb("stop", "[<pidfile>]", "Stops the broker", stop, 0, 1),
    Verb("shutdown", "", "Stops the broker", stop, options={"wait": "", "no-wait": ""}),
    Verb("stop_app", "", "Lets nobody in", stop_app),
    Verb("start_app", "", "Lets clients in again", start_app),
    Verb("reset", "", "Deletes everything, after stop_app", reset),
    Verb("force_reset", "", "Deletes everything, after stop_app", reset),
    Verb("await_startup", "", "Waits until the broker is ready", await_startup),
    Verb("wait", "<pidfile> | --pid <pid>", "Waits for a process and its broker", wait, 0, 1, {"pid": "pid"}),
    Verb("rotate_logs", "", "Is refused: logs go to the standard output", refuse_rotation),
)
