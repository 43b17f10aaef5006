"""Verbs that act on one thing: a queue, a connection, a policy, a parameter, all definitions."""

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from broker.control.failures import DATA, UNAVAILABLE, USAGE, Failure, Refused
from broker.control.verb import Session, Verb, failing, grouped, need_vhost
from broker.control.verbs.lists import pid_of
from broker.control.verbs.users import json_object

QUEUES: Final = "Queues and connections"
POLICIES: Final = "Policies and parameters"
DEFINITIONS: Final = "Definitions"


def purge_queue(session: Session) -> None:
    """Throw a queue's ready messages away."""
    name = session.arguments[0]
    session.doing(f"Purging queue '{name}' in vhost '{session.vhost}' ...")
    failing(404, UNAVAILABLE, f"no queue '{name}' in vhost '{session.vhost}' (not_found)", lambda: _purge(session))


def _purge(session: Session) -> None:
    session.client.delete("queues", session.vhost, session.arguments[0], "contents")


def delete_queue(session: Session) -> None:
    """Delete a queue."""
    name = session.arguments[0]
    conditions = [word for word in ("empty", "unused") if f"if-{word}" in session.options]
    suffix = f" if queue is {' and '.join(conditions)}" if conditions else ""
    session.doing(f"Deleting queue '{name}' on vhost '{session.vhost}'{suffix} ...")
    count = 0
    try:
        count = session.client.get("queues", session.vhost, name).get("messages_ready", 0)
        query = "&".join(f"if-{word}=true" for word in conditions)
        session.client.delete("queues", session.vhost, name, query=query)
    except Refused as refused:
        if refused.status == 404:
            raise Failure(USAGE, f"Queue not found: no queue '{name}' in vhost '{session.vhost}'") from None
        raise Failure(USAGE, refused.reason) from None
    session.doing(f"Queue was successfully deleted with {count} ready messages")


def close_connection(session: Session) -> None:
    """Close a connection by its name, which ``list_connections name`` (or ``pid``) shows."""
    name, reason = session.arguments
    session.doing(f"Closing connection {name}, reason: {reason}...")
    if name.startswith("<"):
        names = [each["name"] for each in session.client.get("connections", query="columns=name")]
        name = next((each for each in names if pid_of(each) == name), name)
    _close(session, name, reason)


def close_all_connections(session: Session) -> None:
    """Close all connections of a virtual host, or with ``--global`` all there are."""
    reason = session.arguments[0]
    is_global = "global" in session.options
    where = "" if is_global else f" in vhost {session.vhost}"
    session.doing(f"Closing all connections{where}, reason: {reason}...")
    names = [
        each["name"] for each in session.client.get("connections") if is_global or each.get("vhost") == session.vhost
    ]
    limit = _whole(session, "limit", 0)
    names = names[:limit] if limit else names
    for name in names:
        _close(session, name, reason)
        time.sleep(_whole(session, "per-connection-delay", 0) / 1000)
    session.doing(f"Closed {len(names)} connections")


def close_all_user_connections(session: Session) -> None:
    """Close all connections of a user."""
    user, reason = session.arguments
    session.doing(f"Closing all connections of user {user}, reason: {reason}...")
    names = [each["name"] for each in session.client.get("connections") if each.get("user") == user]
    for name in names:
        _close(session, name, reason)
    session.doing(f"Closed {len(names)} connections")


def _close(session: Session, name: str, reason: str) -> None:
    try:
        session.client.delete("connections", name, headers={"X-Reason": " ".join(reason.split())})
    except Refused as refused:
        if refused.status != 404:  # It has gone by itself.
            raise


def _whole(session: Session, option: str, default: int) -> int:
    text = session.options.get(option, str(default))
    if not text.isdecimal():
        raise session.wrong(f"--{option} must be a whole number")
    return int(text)


# Policies


def set_policy(session: Session) -> None:
    """Make or replace a policy."""
    _set_policy(session, "policies", "Setting policy")


def set_operator_policy(session: Session) -> None:
    """Make or replace an operator's policy."""
    _set_policy(session, "operator-policies", "Setting operator policy override")


def _set_policy(session: Session, kind: str, doing: str) -> None:
    name, pattern, text = session.arguments
    priority = session.options.get("priority", "0")
    what = f'"{name}" for pattern "{pattern}" to "{text}" with priority "{priority}"'
    session.doing(f'{doing} {what} for vhost "{session.vhost}" ...')
    if not priority.lstrip("-").isdecimal():
        raise session.wrong("--priority must be a whole number")
    body = {"pattern": pattern, "definition": json_object(text), "priority": int(priority)}
    if "apply-to" in session.options:
        body["apply-to"] = session.options["apply-to"]
    session.client.put(kind, session.vhost, name, body=body)


def clear_policy(session: Session) -> None:
    """Take a policy away."""
    name = session.arguments[0]
    session.doing(f'Clearing policy "{name}" on vhost "{session.vhost}" ...')
    _clear(session, "policies", session.vhost, name)


def clear_operator_policy(session: Session) -> None:
    """Take an operator's policy away."""
    name = session.arguments[0]
    session.doing(f'Clearing operator policy "{name}" on vhost "{session.vhost}" ...')
    _clear(session, "operator-policies", session.vhost, name)


def _clear(session: Session, *path: str) -> None:
    failing(404, UNAVAILABLE, "Parameter does not exist", lambda: session.client.delete(*path))


def list_policies(session: Session) -> None:
    """List policies."""
    session.doing(f'Listing policies for vhost "{session.vhost}" ...')
    _list_policies(session, "policies")


def list_operator_policies(session: Session) -> None:
    """List operators' policies."""
    session.doing(f'Listing operator policy overrides for vhost "{session.vhost}" ...')
    _list_policies(session, "operator-policies")


def _list_policies(session: Session, kind: str) -> None:
    need_vhost(session)
    columns = ("vhost", "name", "pattern", "apply-to", "definition", "priority")
    rows = [
        [compact(row[column]) if column == "definition" else row.get(column) for column in columns]
        for row in session.client.get(kind, session.vhost)
    ]
    session.output.table(columns, rows)


# Parameters


def set_parameter(session: Session) -> None:
    """Set a runtime parameter."""
    component, name, text = session.arguments
    session.doing(
        f'Setting runtime parameter "{name}" for component "{component}" to "{text}" in vhost "{session.vhost}" ...'
    )
    session.client.put("parameters", component, session.vhost, name, body={"value": any_json(text)})


def clear_parameter(session: Session) -> None:
    """Take a runtime parameter away."""
    component, name = session.arguments
    session.doing(f'Clearing runtime parameter "{name}" for component "{component}" on vhost "{session.vhost}" ...')
    _clear(session, "parameters", component, session.vhost, name)


def list_parameters(session: Session) -> None:
    """List runtime parameters."""
    session.doing(f'Listing runtime parameters for vhost "{session.vhost}" ...')
    need_vhost(session)
    rows = [
        (each["component"], each["name"], compact(each["value"]))
        for each in session.client.get("parameters")
        if each.get("vhost") == session.vhost
    ]
    session.output.table(("component", "name", "value"), rows)


def set_global_parameter(session: Session) -> None:
    """Set a global runtime parameter."""
    name, text = session.arguments
    session.doing(f'Setting global runtime parameter "{name}" to "{text}" ...')
    session.client.put("global-parameters", name, body={"value": any_json(text)})


def clear_global_parameter(session: Session) -> None:
    """Take a global runtime parameter away."""
    name = session.arguments[0]
    session.doing(f'Clearing global runtime parameter "{name}" ...')
    _clear(session, "global-parameters", name)


def list_global_parameters(session: Session) -> None:
    """List global runtime parameters."""
    session.doing("Listing global runtime parameters ...")
    rows = [(each["name"], compact(each["value"])) for each in session.client.get("global-parameters")]
    session.output.table(("name", "value"), rows)


def set_cluster_name(session: Session) -> None:
    """Give the cluster, that is this node, a name."""
    name = session.arguments[0]
    session.doing(f"Setting cluster name to {name} ...")
    session.client.put("cluster-name", body={"name": name})


def any_json(text: str) -> Any:
    """Return an argument that is JSON. Raises Failure (69, as rabbitmqctl)."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(UNAVAILABLE, f"JSON decoding error. Reason: {error}") from None


def compact(value: Any) -> str:
    """Return a value as JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# Definitions


def export_definitions(session: Session) -> None:
    """Write users, virtual hosts, queues and all that to a file, or with ``-`` to the standard output."""
    path = session.arguments[0]
    if session.options.get("format", "json").lower() != "json":
        raise session.wrong("the only --format is json")
    if path == "-":
        session.output.line(compact(_definitions(session)))
        return
    session.doing(f'Exporting definitions in JSON to a file at "{path}" ...')
    text = compact(_definitions(session))
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(DATA, f"cannot write {path}: {error.strerror}") from None


def _definitions(session: Session) -> Any:
    definitions = session.client.get("definitions", *_only_vhost(session))
    return dict(sorted(definitions.items()))


def import_definitions(session: Session) -> None:
    """Take over definitions from a file, or with ``-`` from the standard input."""
    path = session.arguments[0] if session.arguments else "-"
    if session.options.get("format", "json").lower() != "json":
        raise session.wrong("the only --format is json")
    try:
        octets = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise Failure(DATA, f"cannot read {path}: {error.strerror}") from None
    if path == "-":
        session.doing("Importing definitions in JSON from standard input ...")
    else:
        session.doing(f'Importing definitions in JSON from a file at "{path}" ...')
    try:
        json.loads(octets)
    except ValueError as error:
        raise Failure(DATA, f"{path} is no JSON: {error}") from None
    session.client.request("POST", ("definitions", *_only_vhost(session)), octets)
    session.doing("Successfully imported definitions.")


def _only_vhost(session: Session) -> tuple[str, ...]:
    return (session.vhost,) if "vhost" in session.options else ()


_POLICY_USAGE: Final = "[-p <vhost>] [--priority <priority>] [--apply-to <what>] <name> <pattern> <definition>"
_POLICY: Final = {"priority": "priority", "apply-to": "what"}

VERBS: Final = (
    *grouped(
        QUEUES,
        Verb("purge_queue", "[-p <vhost>] <queue>", "Throws ready messages away", purge_queue, 1, 1),
        Verb(
            "delete_queue",
            "[-p <vhost>] <queue> [--if-empty] [--if-unused]",
            "Deletes a queue",
            delete_queue,
            1,
            1,
            {"if-empty": "", "if-unused": ""},
        ),
        Verb("close_connection", "<name> <reason>", "Closes a connection", close_connection, 2, 2),
        Verb(
            "close_all_connections",
            "[-p <vhost> | --global] [--limit <count>] [--per-connection-delay <ms>] <reason>",
            "Closes connections",
            close_all_connections,
            1,
            1,
            {"global": "", "limit": "count", "per-connection-delay": "ms"},
        ),
        Verb(
            "close_all_user_connections",
            "<username> <reason>",
            "Closes a user's connections",
            close_all_user_connections,
            2,
            2,
        ),
    ),
    *grouped(
        POLICIES,
        Verb("set_policy", _POLICY_USAGE, "Makes or replaces a policy", set_policy, 3, 3, _POLICY),
        Verb("clear_policy", "[-p <vhost>] <name>", "Takes a policy away", clear_policy, 1, 1),
        Verb("list_policies", "[-p <vhost>]", "Lists policies", list_policies),
        Verb("set_operator_policy", _POLICY_USAGE, "Makes an operator's policy", set_operator_policy, 3, 3, _POLICY),
        Verb("clear_operator_policy", "[-p <vhost>] <name>", "Takes it away", clear_operator_policy, 1, 1),
        Verb("list_operator_policies", "[-p <vhost>]", "Lists operators' policies", list_operator_policies),
        Verb(
            "set_parameter", "[-p <vhost>] <component> <name> <json>", "Sets a runtime parameter", set_parameter, 3, 3
        ),
        Verb("clear_parameter", "[-p <vhost>] <component> <name>", "Takes it away", clear_parameter, 2, 2),
        Verb("list_parameters", "[-p <vhost>]", "Lists runtime parameters", list_parameters),
        Verb("set_global_parameter", "<name> <json>", "Sets a global one", set_global_parameter, 2, 2),
        Verb("clear_global_parameter", "<name>", "Takes it away", clear_global_parameter, 1, 1),
        Verb("list_global_parameters", "", "Lists global runtime parameters", list_global_parameters),
        Verb("set_cluster_name", "<name>", "Names the cluster", set_cluster_name, 1, 1),
    ),
    *grouped(
        DEFINITIONS,
        Verb(
            "export_definitions",
            "[-p <vhost>] <file>|- [--format json]",
            "Writes all definitions to a file",
            export_definitions,
            1,
            1,
            {"format": "json"},
        ),
        Verb(
            "import_definitions",
            "[-p <vhost>] <file>|- [--format json] [--skip-if-unchanged]",
            "Takes over definitions from a file",
            import_definitions,
            0,
            1,
            {"format": "json", "skip-if-unchanged": ""},
        ),
    ),
)
