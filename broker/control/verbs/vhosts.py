"""Verbs about virtual hosts, permissions and limits. RabbitMQ: rabbitmqctl(8), "Access Control"."""

import json
from typing import Any, Final

from broker.control.failures import DATA, NO_USER, SOFTWARE, UNAVAILABLE, Failure, Refused
from broker.control.verb import Session, Verb, failing, found_or, grouped, need_vhost
from broker.control.verbs.users import json_object

GROUP: Final = "Virtual hosts and permissions"
VHOST_COLUMNS: Final = (
    "name",
    "tracing",
    "description",
    "tags",
    "default_queue_type",
    "cluster_state",
    "protected_from_deletion",
)
LIMITS: Final = ("max-connections", "max-queues")

_METADATA: Final = {"description": "text", "tags": "tag,tag", "default-queue-type": "type"}
_METADATA_USAGE: Final = "<vhost> [--description <text>] [--tags <tag,tag>] [--default-queue-type <type>]"


def _need_user(session: Session, name: str, exit_code: int = NO_USER) -> None:
    found_or(session, exit_code, f'User "{name}" does not exist', "users", name)


def add_vhost(session: Session) -> None:
    """Add a virtual host; one that is there already is left as it is."""
    name = session.arguments[0]
    if not name:
        raise Failure(DATA, "a virtual host's name must not be empty")
    session.doing(f'Adding vhost "{name}" ...')
    session.client.put("vhosts", name, body=_told(session))


def update_vhost_metadata(session: Session) -> None:
    """Change description, tags or default queue type."""
    name = session.arguments[0]
    session.doing(f'Updating metadata of vhost "{name}" ...')
    need_vhost(session, name=name)
    session.client.put("vhosts", name, body=_told(session))


def _told(session: Session) -> dict[str, str]:
    """Return what the options say about a virtual host."""
    return {option.replace("-", "_"): session.options[option] for option in _METADATA if option in session.options}


def set_vhost_tags(session: Session) -> None:
    """Replace a virtual host's tags."""
    name, *tags = session.arguments
    session.doing(f'Setting tags for virtual host "{name}" to [{", ".join(tags)}] ...')
    need_vhost(session, name=name)
    session.client.put("vhosts", name, body={"tags": ",".join(tags)})


def restart_vhost(session: Session) -> None:
    """Tell that a virtual host runs: none ever fails alone."""
    session.doing(f"Trying to restart vhost '{session.vhost}' on node '{session.node}' ...")
    need_vhost(session, SOFTWARE)
    session.output.line(f"Vhost '{session.vhost}' is already running on node '{session.node}'")


def protect_vhost(session: Session) -> None:
    """Let nobody delete a virtual host."""
    name = session.arguments[0]
    session.doing(f'Protecting virtual host "{name}" from deletion ...')
    need_vhost(session, name=name)
    session.client.post("vhosts", name, "deletion", "protection")


def unprotect_vhost(session: Session) -> None:
    """Let it be deleted again."""
    name = session.arguments[0]
    session.doing(f'Lifting the protection of virtual host "{name}" from deletion ...')
    need_vhost(session, name=name)
    session.client.delete("vhosts", name, "deletion", "protection")


def delete_vhost(session: Session) -> None:
    """Delete a virtual host with all that is in it."""
    name = session.arguments[0]
    session.doing(f'Deleting vhost "{name}" ...')
    text = f"Virtual host '{name}' does not exist"
    failing(404, DATA, text, lambda: session.client.delete("vhosts", name))


def list_vhosts(session: Session) -> None:
    """List virtual hosts."""
    columns = chosen(session, VHOST_COLUMNS, ("name",))
    session.doing("Listing vhosts ...")
    _show(session, columns, session.client.get("vhosts"))


def trace_on(session: Session) -> None:
    """Publish what passes to amq.rabbitmq.trace."""
    _trace(session, "Starting", True)


def trace_off(session: Session) -> None:
    """Stop that."""
    _trace(session, "Stopping", False)


def _trace(session: Session, verb: str, is_on: bool) -> None:
    session.doing(f'{verb} tracing for vhost "{session.vhost}" ...')
    need_vhost(session)
    session.client.put("vhosts", session.vhost, body={"tracing": is_on})
    if bool(session.client.get("vhosts", session.vhost).get("tracing")) != is_on:
        raise Failure(UNAVAILABLE, "this broker does not trace messages")
    session.doing(f"Trace {'enabled' if is_on else 'disabled'} for vhost {session.vhost}")


def set_permissions(session: Session) -> None:
    """Let a user into a virtual host."""
    user, configure, write, read = session.arguments
    session.doing(f'Setting permissions for user "{user}" in vhost "{session.vhost}" ...')
    _need_user(session, user)
    need_vhost(session, UNAVAILABLE)
    body = {"configure": configure, "write": write, "read": read}
    session.client.put("permissions", session.vhost, user, body=body)


def set_permissions_globally(session: Session) -> None:
    """Let a user into all virtual hosts that there are."""
    user, configure, write, read = session.arguments
    session.doing(f'Setting permissions for user "{user}" in all virtual hosts ...')
    _need_user(session, user)
    body = {"configure": configure, "write": write, "read": read}
    for vhost in session.client.get("vhosts", query="columns=name"):
        session.client.put("permissions", vhost["name"], user, body=body)


def clear_permissions(session: Session) -> None:
    """Keep a user out of a virtual host."""
    user = session.arguments[0]
    session.doing(f'Clearing permissions for user "{user}" in vhost "{session.vhost}" ...')
    _need_user(session, user)
    need_vhost(session, UNAVAILABLE)
    if_there(session, "permissions", session.vhost, user)


def list_permissions(session: Session) -> None:
    """List who may do what in a virtual host."""
    session.doing(f'Listing permissions for vhost "{session.vhost}" ...')
    _list_of_vhost(session, "permissions", ("user", "configure", "write", "read"))


def list_user_permissions(session: Session) -> None:
    """List what a user may do where."""
    session.doing(f'Listing permissions for user "{session.arguments[0]}" ...')
    _list_of_user(session, "permissions", ("vhost", "configure", "write", "read"))


def _list_of_vhost(session: Session, what: str, columns: tuple[str, ...]) -> None:
    need_vhost(session)
    _show(session, columns, session.client.get("vhosts", session.vhost, what))


def _list_of_user(session: Session, what: str, columns: tuple[str, ...]) -> None:
    user = session.arguments[0]
    _need_user(session, user, UNAVAILABLE)
    _show(session, columns, session.client.get("users", user, what))


def _show(session: Session, columns: tuple[str, ...], found: list[dict[str, Any]]) -> None:
    session.output.table(columns, ([each.get(column) for column in columns] for each in found))


def set_topic_permissions(session: Session) -> None:
    """Narrow what a user may do with a topic exchange."""
    user, exchange, write, read = session.arguments
    session.doing(f'Setting topic permissions on "{exchange}" for user "{user}" in vhost "{session.vhost}" ...')
    _need_user(session, user)
    need_vhost(session, UNAVAILABLE)
    body = {"exchange": exchange, "write": write, "read": read}
    session.client.put("topic-permissions", session.vhost, user, body=body)


def clear_topic_permissions(session: Session) -> None:
    """Lift topic permissions, of one exchange or of all."""
    user = session.arguments[0]
    exchange = session.arguments[1] if len(session.arguments) > 1 else None
    on = f' on "{exchange}"' if exchange is not None else ""
    session.doing(f'Clearing topic permissions{on} for user "{user}" in vhost "{session.vhost}" ...')
    _need_user(session, user)
    need_vhost(session, UNAVAILABLE)
    if_there(session, "topic-permissions", session.vhost, user, *(() if exchange is None else (exchange,)))


def list_topic_permissions(session: Session) -> None:
    """List topic permissions in a virtual host."""
    session.doing(f'Listing topic permissions for vhost "{session.vhost}" ...')
    _list_of_vhost(session, "topic-permissions", ("user", "exchange", "write", "read"))


def list_user_topic_permissions(session: Session) -> None:
    """List a user's topic permissions."""
    session.doing(f'Listing topic permissions for user "{session.arguments[0]}" ...')
    _list_of_user(session, "topic-permissions", ("vhost", "exchange", "write", "read"))


def set_vhost_limits(session: Session) -> None:
    """Set limits of a virtual host."""
    text = session.arguments[0]
    session.doing(f'Setting vhost limits to "{text}" for vhost "{session.vhost}" ...')
    limits = json_object(text)
    need_vhost(session)
    unknown = [limit for limit in limits if limit not in LIMITS]
    if unknown:
        raise Failure(UNAVAILABLE, f"Unrecognised terms {unknown} in limits")
    for limit, value in limits.items():
        session.client.put("vhost-limits", session.vhost, limit, body={"value": value})


def clear_vhost_limits(session: Session) -> None:
    """Clear all limits of a virtual host."""
    session.doing(f'Clearing vhost "{session.vhost}" limits ...')
    need_vhost(session)
    for limit in LIMITS:
        if_there(session, "vhost-limits", session.vhost, limit)


def list_vhost_limits(session: Session) -> None:
    """List the limits of a virtual host, or of all."""
    if "global" in session.options:
        session.doing("Listing limits for all vhosts ...")
        found = session.client.get("vhost-limits")
        rows = [(each["vhost"], json.dumps(each["value"], separators=(",", ":"))) for each in found]
        session.output.table(("vhost", "limits"), rows)
        return
    session.doing(f'Listing limits for vhost "{session.vhost}" ...')
    need_vhost(session)
    found = session.client.get("vhost-limits", session.vhost)
    limits = found[0]["value"] if found else {}
    session.output.value(limits, json.dumps(limits, separators=(",", ":")) if limits else "")


def if_there(session: Session, *path: str) -> None:
    """Delete what may not be there."""
    try:
        session.client.delete(*path)
    except Refused as refused:
        if refused.status != 404:
            raise


def chosen(session: Session, known: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that the arguments name, or the default ones. Raises UsageFailure for an unknown one."""
    wanted = tuple(name for argument in session.arguments for name in argument.replace(",", " ").split())
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise session.wrong(f"Info key(s) {','.join(unknown)} are not supported")
    return wanted or default


VERBS: Final = grouped(
    GROUP,
    Verb("add_vhost", _METADATA_USAGE, "Adds a virtual host", add_vhost, 1, 1, _METADATA),
    Verb(
        "update_vhost_metadata",
        _METADATA_USAGE,
        "Changes what is said about a virtual host",
        update_vhost_metadata,
        1,
        1,
        _METADATA,
    ),
    Verb("set_vhost_tags", "<vhost> [<tag> ...]", "Replaces its tags", set_vhost_tags, 1, None),
    Verb("restart_vhost", "[-p <vhost>]", "Has nothing to do: it runs", restart_vhost),
    Verb("delete_vhost", "<vhost>", "Deletes a virtual host with all that is in it", delete_vhost, 1, 1),
    Verb("enable_vhost_protection_from_deletion", "<vhost>", "Lets nobody delete a virtual host", protect_vhost, 1, 1),
    Verb("disable_vhost_protection_from_deletion", "<vhost>", "Lets it be deleted again", unprotect_vhost, 1, 1),
    Verb("list_vhosts", "[<column> ...]", "Lists virtual hosts", list_vhosts, 0, None),
    Verb("trace_on", "", "Starts to trace messages", trace_on),
    Verb("trace_off", "", "Stops it", trace_off),
    Verb(
        "set_permissions",
        "[-p <vhost>] <username> <configure> <write> <read>",
        "Lets a user into a virtual host, with three regular expressions",
        set_permissions,
        4,
        4,
    ),
    Verb(
        "set_permissions_globally",
        "<username> <configure> <write> <read>",
        "Lets a user into all virtual hosts",
        set_permissions_globally,
        4,
        4,
    ),
    Verb("clear_permissions", "[-p <vhost>] <username>", "Keeps a user out of it", clear_permissions, 1, 1),
    Verb("list_permissions", "[-p <vhost>]", "Lists who may do what there", list_permissions),
    Verb("list_user_permissions", "<username>", "Lists what a user may do", list_user_permissions, 1, 1),
    Verb(
        "set_topic_permissions",
        "[-p <vhost>] <username> <exchange> <write> <read>",
        "Narrows what a user may do with a topic exchange",
        set_topic_permissions,
        4,
        4,
    ),
    Verb(
        "clear_topic_permissions", "[-p <vhost>] <username> [<exchange>]", "Lifts that", clear_topic_permissions, 1, 2
    ),
    Verb("list_topic_permissions", "[-p <vhost>]", "Lists topic permissions", list_topic_permissions),
    Verb(
        "list_user_topic_permissions",
        "<username>",
        "Lists a user's topic permissions",
        list_user_topic_permissions,
        1,
        1,
    ),
    Verb("set_vhost_limits", "[-p <vhost>] <json>", "Sets limits", set_vhost_limits, 1, 1),
    Verb("clear_vhost_limits", "[-p <vhost>]", "Clears all limits", clear_vhost_limits),
    Verb("list_vhost_limits", "[-p <vhost>] [--global]", "Lists limits", list_vhost_limits, options={"global": ""}),
)
