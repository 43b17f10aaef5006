"""What only rabbitmqadmin's second version has: health checks, feature flags, definitions on the standard streams, ...

A subcommand is a pair of words, its options are ``key=value`` by now (admin_options.py). RabbitMQ: rabbitmqadmin v2.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from broker.control.failures import DATA, UNAVAILABLE, Failure, Refused, Unreachable
from broker.control.password_hash import salted_hash
from broker.control.tables import show

if TYPE_CHECKING:
    from broker.control.admin import Admin

USAGE: Final = 2
"""What its parser of command lines ends with."""
NO_ANSWER: Final = 74

Options = dict[str, str]


def exit_code(error: Exception) -> int:
    """Return what the second version ends with: 65 for a refusal, 69 for a broken broker, 74 without an answer."""
    if isinstance(error, Refused):
        return UNAVAILABLE if error.status >= 500 else DATA
    if isinstance(error, Unreachable):
        return NO_ANSWER
    if isinstance(error, Failure):
        return USAGE if error.exit_code == 1 else error.exit_code
    return DATA


def run(admin: "Admin", group: str, words: list[str]) -> bool:
    """Do what the words ask for; return whether they mean something here. Raises Failure."""
    action = words[0] if words else ""
    options = dict(word.partition("=")[::2] for word in words[1:])
    if (group, action) in DOES and len(options) < len(words) - 1:
        raise Failure(1, "an argument is given twice")
    if group == "health_check" and action:
        only(options, CHECK_OPTIONS.get(action, ()))
        health_check(admin, action, options)
        return True
    does = DOES.get((group, action))
    if does is None:
        return False
    only(options, OPTIONS.get((group, action), ()))
    does(admin, options)
    return True


def only(options: Options, allowed: Collection[str]) -> None:
    """Raise Failure where an option is none of those that are allowed."""
    for key in options:
        if key not in allowed:
            raise Failure(1, f'Argument "{key}" not recognised')


def needed(options: Mapping[str, str], *keys: str) -> str:
    """Return the one of the options that is there. Raises Failure."""
    for key in keys:
        if key in options:
            return options[key]
    raise Failure(1, f"{'the password' if keys[0] == 'cleartext' else '--' + keys[0].replace('_', '-')} is required")


CHECKS: Final = {
    "local_alarms": "local-alarms",
    "cluster_wide_alarms": "alarms",
    "node_is_quorum_critical": "node-is-quorum-critical",
    "port_listener": "port-listener",
    "protocol_listener": "protocol-listener",
    "virtual_hosts": "virtual-hosts",
}


CHECK_OPTIONS: Final = {"port_listener": ("port",), "protocol_listener": ("protocol",)}


def health_check(admin: "Admin", name: str, options: Options) -> None:
    """Run a health check. Raises Failure (69) where it fails."""
    if name == "deprecated_features_in_use":
        used = [each["name"] for each in admin.client.get("deprecated-features", "used")]
        if used:
            raise Failure(UNAVAILABLE, f"deprecated features are in use: {', '.join(used)}")
    elif name in CHECKS:
        rest = [needed(options, name.partition("_")[0])] if name.endswith("_listener") else []
        try:
            admin.client.get("health", "checks", CHECKS[name], *rest)
        except Refused as refused:
            raise Failure(UNAVAILABLE, f"health check failed: {refused.reason}") from None
    else:
        raise Failure(1, f"there is no health check {name}; there are {', '.join(CHECKS)}")
    admin.say("health check passed")


# Definitions


def export(admin: "Admin", options: Options, *vhost: str) -> None:
    """Write definitions to a file, or to the standard output."""
    if "transformations" in options:
        raise Failure(1, "--transformations are not supported")
    text = json.dumps(admin.client.get("definitions", *vhost), ensure_ascii=False)
    if "stdout" in options:
        print(text)  # noqa: T201 - the command's own output
    else:
        Path(needed(options, "file")).write_text(text, encoding="utf-8")


def import_(admin: "Admin", options: Options, *vhost: str) -> None:
    """Take over definitions from a file, or from the standard input."""
    octets = sys.stdin.buffer.read() if "stdin" in options else Path(needed(options, "file")).read_bytes()
    admin.client.request("POST", ("definitions", *vhost), octets)


# One thing, or some of them


def show_queue(admin: "Admin", options: Options) -> None:
    """Show one queue."""
    queue = admin.client.get("queues", admin.vhost, needed(options, "name"))
    wanted = [name for name in options.get("columns", "name,type,messages,consumers").split(",") if name]
    show([{**queue, "queue_type": queue.get("type", "")}], wanted, admin.options)


def connections_of(admin: "Admin", options: Options) -> None:
    """List a user's connections."""
    name = needed(options, "username", "name")
    show(admin.client.get("connections", "username", name), ["name", "user", "channels"], admin.options)


def close_connections_of(admin: "Admin", options: Options) -> None:
    """Close a user's connections."""
    admin.client.delete("connections", "username", needed(options, "username", "name"))


def enable_flag(admin: "Admin", options: Options) -> None:
    """Enable a feature flag."""
    admin.client.put("feature-flags", needed(options, "name"), "enable", body={})


def enable_flags(admin: "Admin", _options: Options) -> None:
    """Enable all feature flags that are not."""
    for flag in admin.client.get("feature-flags"):
        if flag["state"] != "enabled":
            enable_flag(admin, {"name": flag["name"]})


def overview_of(*keys: str) -> Callable[["Admin", Options], None]:
    """Return what shows a part of the overview, a value a line."""

    def show_part(admin: "Admin", _options: Options) -> None:
        part: Any = admin.client.get("overview")
        for key in keys:
            part = part.get(key, {})
        admin.say_rows([{"key": name, "value": value} for name, value in part.items() if not isinstance(value, dict)])

    return show_part


def memory(admin: "Admin", options: Options) -> None:
    """Show what a node's memory is used for, as far as it is known."""
    node = options.get("node") or admin.client.get("overview")["node"]
    found = admin.client.get("nodes", node, "memory").get("memory", {})
    flat = {**found, "total": found["total"]["rss"]} if isinstance(found.get("total"), dict) else found
    admin.say_rows([{"key": name, "value": value} for name, value in flat.items()] if isinstance(flat, dict) else [])


def delete_binding(admin: "Admin", options: Options) -> None:
    """Delete the binding with a routing key, and arguments if given. Raises Failure (65) where there is none."""
    source, destination = needed(options, "source"), needed(options, "destination")
    letter = needed(options, "destination_type")[:1]
    path = ("bindings", admin.vhost, "e", source, letter, destination)
    arguments = admin.parsed(options["arguments"]) if "arguments" in options else None
    found = [
        each
        for each in admin.client.get(*path)
        if each["routing_key"] == options.get("routing_key", "") and arguments in (None, each["arguments"])
    ]
    if not found:
        raise Refused(404, "no such binding")
    if len(found) > 1:
        raise Failure(DATA, "several bindings match: --arguments tells them apart")
    admin.client.delete(*path, found[0]["properties_key"])


def protection(method: str) -> Callable[["Admin", Options], None]:
    """Return what protects a virtual host from deletion, or lets it be deleted again."""

    def change(admin: "Admin", options: Options) -> None:
        admin.client.request(method, ("vhosts", needed(options, "name"), "deletion", "protection"))

    return change


def policies_of(kind: str) -> Callable[["Admin", Options], None]:
    """Return what lists the policies that match a name, of what has the type."""

    def show_matching(admin: "Admin", options: Options) -> None:
        name, wanted = needed(options, "name"), needed(options, "type")
        fits = {"all", wanted} | ({"queues"} if wanted in ("classic_queues", "quorum_queues", "streams") else set())
        found = [each for each in admin.client.get(kind, admin.vhost) if each["apply-to"] in fits]
        admin.say_rows([each for each in found if re.search(each["pattern"], name)])

    return show_matching


def completions(admin: "Admin", options: Options) -> None:
    """Write what a shell, else the user's own, completes all of Leveret's commands by. Raises Failure."""
    if admin.completion_for is None:
        raise Failure(1, "where Leveret is installed, leveret completion bash|zsh|fish writes it")
    shell = options.get("shell") or Path(os.environ.get("SHELL") or "bash").name
    script = admin.completion_for(shell)
    if not script:
        raise Failure(1, f"there is no completion for {shell}, but for bash, zsh and fish")
    print(script)  # noqa: T201 - the command's own output


def plugins(admin: "Admin", _options: Options) -> None:
    """List plugins."""
    names = [name for node in admin.client.get("nodes") for name in node.get("enabled_plugins", ())]
    admin.say_rows([{"name": name} for name in names])


def attempts(admin: "Admin", options: Options) -> None:
    """Show how many logins there were."""
    node = options.get("node") or admin.client.get("overview")["node"]
    admin.say_rows(admin.client.get("auth", "attempts", quote(node, safe="@")))


def listed(*path: str) -> Callable[["Admin", Options], None]:
    """Return what lists what is at a path."""
    return lambda admin, _options: admin.say_rows(admin.client.get(*path))


def salt_and_hash(admin: "Admin", options: Options) -> None:
    """Show a password as definitions hold it. No broker is asked."""
    password = needed(options, "cleartext")
    admin.say_rows([{"password_hash": salted_hash(password, options.get("hashing_algorithm", "SHA256"))}])


DOES: Final[Mapping[tuple[str, str], Callable[["Admin", Options], None]]] = {
    ("definitions", "export"): export,
    ("definitions", "export_from_vhost"): lambda admin, options: export(admin, options, admin.vhost),
    ("definitions", "import"): import_,
    ("definitions", "import_into_vhost"): lambda admin, options: import_(admin, options, admin.vhost),
    ("queues", "show"): show_queue,
    ("streams", "show"): show_queue,
    ("users", "connections"): connections_of,
    ("users", "close_connections"): close_connections_of,
    ("feature_flags", "enable"): enable_flag,
    ("feature_flags", "enable_all"): enable_flags,
    ("deprecated_features", "list"): listed("deprecated-features"),
    ("deprecated_features", "list_used"): listed("deprecated-features", "used"),
    ("shovels", "list"): listed("shovels"),
    ("shovels", "list_all"): listed("shovels"),
    ("federation", "list_all_upstreams"): listed("parameters", "federation-upstream"),
    ("federation", "list_all_links"): listed("federation-links"),
    ("rebalance", "queues"): lambda admin, _options: admin.client.post("rebalance", "queues", body={}),
    ("plugins", "list_all"): plugins,
    ("plugins", "list_on_node"): plugins,
    ("auth_attempts", "stats"): attempts,
    ("nodes", "memory_breakdown_in_bytes"): memory,
    ("show", "memory_breakdown_in_bytes"): memory,
    ("show", "churn"): overview_of("churn_rates"),
    ("show", "endpoint"): lambda admin, _options: print(f"{admin.client.place}/api"),  # noqa: T201
    ("delete", "binding"): delete_binding,
    ("passwords", "salt_and_hash"): salt_and_hash,
    ("vhosts", "enable_deletion_protection"): protection("POST"),
    ("vhosts", "disable_deletion_protection"): protection("DELETE"),
    ("policies", "list_matching_object"): policies_of("policies"),
    ("operator_policies", "list_matching_object"): policies_of("operator-policies"),
    ("shell", "completions"): completions,
}
"""What there is, by its two words."""

_FILE: Final = ("file", "transformations")
_SHOWN: Final = ("name", "columns")
_OF_USER: Final = ("username", "name")

OPTIONS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("definitions", "export"): (*_FILE, "stdout"),
    ("definitions", "export_from_vhost"): (*_FILE, "stdout"),
    ("definitions", "import"): (*_FILE, "stdin"),
    ("definitions", "import_into_vhost"): (*_FILE, "stdin"),
    ("queues", "show"): _SHOWN,
    ("streams", "show"): _SHOWN,
    ("users", "connections"): _OF_USER,
    ("users", "close_connections"): _OF_USER,
    ("feature_flags", "enable"): ("name",),
    ("plugins", "list_on_node"): ("node",),
    ("auth_attempts", "stats"): ("node",),
    ("nodes", "memory_breakdown_in_bytes"): ("node",),
    ("show", "memory_breakdown_in_bytes"): ("node",),
    ("delete", "binding"): ("source", "destination", "destination_type", "routing_key", "arguments"),
    ("passwords", "salt_and_hash"): ("cleartext", "hashing_algorithm"),
    ("vhosts", "enable_deletion_protection"): ("name",),
    ("vhosts", "disable_deletion_protection"): ("name",),
    ("policies", "list_matching_object"): ("name", "type"),
    ("operator_policies", "list_matching_object"): ("name", "type"),
    ("shell", "completions"): ("shell",),
}
"""The options of those that have any."""
