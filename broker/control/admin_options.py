"""rabbitmqadmin's second version: ``queues declare --name q`` for the first's ``declare queue name=q``.

Its command lines are made into those of the first where that has one, else into words that admin_second.py knows. Which
version is meant is plain: the second's groups (``queues``) are no subcommands of the first, and ``--name`` is no
option of it. RabbitMQ: rabbitmqadmin v2.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

SUBCOMMANDS: Final = ("declare", "delete", "purge", "close", "publish", "get", "list", "show", "export", "import")
"""What both versions have."""

NOUNS: Final = {"publish": "message", "get": "messages"}
"""What stands behind a subcommand that has one object only."""

GROUPS: Final = {
    "bindings": "binding",
    "channels": "channel",
    "connections": "connection",
    "consumers": "consumer",
    "exchanges": "exchange",
    "feature_flags": "feature_flag",
    "global_parameters": "global_parameter",
    "nodes": "node",
    "operator_policies": "operator_policy",
    "parameters": "parameter",
    "permissions": "permission",
    "policies": "policy",
    "queues": "queue",
    "streams": "stream",
    "user_limits": "user_limit",
    "users": "user",
    "vhost_limits": "vhost_limit",
    "vhosts": "vhost",
}
"""Groups of the second version, to the kind of object that the first calls it."""

ACTIONS: Final = {
    "declare": "declare",
    "set": "declare",
    "delete": "delete",
    "clear": "delete",
    "purge": "purge",
    "close": "close",
    "list": "list",
    "list_all": "list",
    "list_in": "list",
}
OTHER_GROUPS: Final = (
    "auth_attempts",
    "definitions",
    "deprecated_features",
    "federation",
    "health_check",
    "passwords",
    "plugins",
    "rebalance",
    "shell",
    "shovels",
)
"""Groups of the second version that are about no kind of object."""

ALIASES: Final = {
    ("exchanges", "bind"): ("bindings", "declare"),
    ("exchanges", "unbind"): ("bindings", "delete"),
    ("users", "permissions"): ("permissions", "list"),
    ("users", "limits"): ("user_limits", "list"),
    ("connections", "list_of_user"): ("users", "connections"),
    ("connections", "close_of_user"): ("users", "close_connections"),
    ("close", "user_connections"): ("users", "close_connections"),
    ("list", "user_connections"): ("users", "connections"),
    ("export", "definitions"): ("definitions", "export"),
    ("import", "definitions"): ("definitions", "import"),
}
ONLY_SECOND: Final = {
    ("close", "user_connections"),
    ("list", "user_connections"),
    ("show", "churn"),
    ("show", "endpoint"),
    ("show", "memory_breakdown_in_bytes"),
}
"""What starts as the first version's subcommands do, and is none of its."""

KINDS: Final = {"permissions": "permission"}
KEYS: Final = {"ack_mode": "ackmode", "apply_to": "apply-to"}
"""What is not the option's name with another sign between its words."""

SWITCHES: Final = ("idempotently", "stdout", "stdin")
"""Options of a subcommand that take no value."""

OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "declare user": ("password",),
    "declare queue": ("node",),
    "users connections": ("username",),
    "users close_connections": ("username",),
    "health_check port_listener": ("port",),
    "nodes memory_breakdown_in_bytes": ("node",),
    "nodes memory_breakdown_in_percent": ("node",),
    "show memory_breakdown_in_bytes": ("node",),
    "show memory_breakdown_in_percent": ("node",),
    "plugins list_on_node": ("node",),
    "auth_attempts stats": ("node",),
}
"""What is not about the connection behind these, though an option of that name is."""

GLOBAL: Final = (
    "--non-interactive",
    "--table-style",
    "--insecure",
    "--use-tls",
    "--disable-tls-peer-verification",
    "--tls-ca-cert-file",
    "--tls-cert-file",
    "--tls-key-file",
)
"""Options that only the second version has, wherever they stand."""


class Known(NamedTuple):
    """The options about connection and output, with their hyphens: those without a value, and those with one."""

    switches: Collection[str]
    valued: Collection[str]


class CommandLine(NamedTuple):
    """A command line in the first version's form. ``is_second``: it was in the second's, which also ends otherwise."""

    arguments: list[str]
    is_second: bool = False
    is_idempotent: bool = False


def in_first_form(arguments: Sequence[str], switches: Collection[str], valued: Collection[str]) -> CommandLine:
    """Return a command line in the first version's form; one that is in it already stays as it is.

    ``switches`` and ``valued`` are the options before the subcommand, with their hyphens; these take a value.
    """
    place = subcommand_at(arguments, valued)
    is_second = any(word.partition("=")[0] in GLOBAL for word in arguments[:place])
    if place is None:
        return CommandLine(list(arguments), is_second)
    subcommand, *tail = arguments[place:]
    if subcommand in GROUPS or subcommand in OTHER_GROUPS:
        is_second = True
    elif subcommand not in SUBCOMMANDS:
        return CommandLine(list(arguments), is_second)
    own = {word.partition("=")[0] for word in tail if word.startswith("--")}
    is_only_seconds = (subcommand, tail[0] if tail else "") in ONLY_SECOND
    if own - {*switches, *valued} or own & {*GLOBAL} or is_only_seconds:
        is_second = True
    if not is_second:
        return CommandLine(list(arguments))
    is_idempotent = "--idempotently" in tail
    words = [word for word in tail if word != "--idempotently"]
    known = Known(switches, valued)
    return CommandLine([*arguments[:place], *in_words(subcommand, words, known)], True, is_idempotent)


def in_words(subcommand: str, tail: list[str], known: Known) -> list[str]:
    """Return a subcommand of either form, and what follows it, in the first's or as admin_second.py takes it."""
    action = tail[0] if tail and not tail[0].startswith("-") else ""
    alias = ALIASES.get((subcommand, action))
    if alias is not None and (subcommand not in ("export", "import") or len(tail) > 1):
        return in_words(alias[0], [alias[1], *tail[1:]], known)
    if subcommand in GROUPS:
        kind = GROUPS[subcommand]
        verb = ACTIONS.get(action)
        if verb == "list":
            in_vhost = ["in_vhost=true"] if action == "list_in" else []
            return ["list", subcommand, *in_vhost, *pairs(tail[1:], "list", known)]
        if verb is None:
            return [subcommand, *pairs(tail, f"{subcommand} {action}", known)]
        return [verb, kind, *pairs(tail[1:], f"{verb} {kind}", known)]
    if subcommand in OTHER_GROUPS:
        bare = "cleartext=" if subcommand == "passwords" else ""
        return [subcommand, *tail[:1], *pairs(tail[1:], f"{subcommand} {action}", known, bare)]
    if action and action == NOUNS.get(subcommand):
        tail = tail[1:]
    elif action:
        tail = [KINDS.get(action, action) if subcommand != "list" else action, *tail[1:]]
    return [subcommand, *pairs(tail, f"{subcommand} {tail[0] if tail else ''}", known)]


def subcommand_at(arguments: Sequence[str], valued: Collection[str]) -> int | None:
    """Return where the first word is that is neither an option nor an option's value."""
    is_value = False
    for place, word in enumerate(arguments):
        if not is_value and not word.startswith("-"):
            return place
        is_value = not is_value and word in valued
    return None


def pairs(words: Sequence[str], what: str, known: Known, bare: str = "") -> list[str]:
    """Return options and their values as ``key=value``, behind ``what`` is done.

    Options about the connection and the output stay options, unless they are what is meant. ``bare`` is put before
    words that are no options.
    """
    made: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        name = option[2:]
        if not word.startswith("-"):
            made.append(f"{bare}{word}")
        elif not word.startswith("--"):
            made += [word, next(rest, "")] if word in known.valued else [word]
        elif option in known.switches:
            made.append(word)
        elif name in SWITCHES:
            made.append(f"{name}=true")
        elif not equals and (following := next(rest, None)) is None:
            made.append(word if option in known.valued else name)
        else:
            value = value if equals else str(following)
            is_own = option not in known.valued or name in OWN.get(what, ())
            made.append(f"{key_of(name, what)}={value}" if is_own else f"{option}={value}")
    return made


def key_of(name: str, what: str) -> str:
    """Return the key that the first version has for an option."""
    key = KEYS.get(name.replace("-", "_"), name.replace("-", "_"))
    return "queue_type" if key == "type" and what == "declare queue" else key
