"""``rabbitmq-plugins``: what RabbitMQ has in plugins is either built in here or not there; scripts are told which."""

import re
from collections.abc import Sequence
from typing import Final

from broker.control.commands import main as run_verbs
from broker.control.failures import SOFTWARE, UNAVAILABLE, Failure
from broker.control.verb import Session, Verb

BUILT_IN: Final = (
    "rabbitmq_auth_backend_oauth2",
    "rabbitmq_auth_mechanism_ssl",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
    "rabbitmq_web_dispatch",
)
"""Plugins of RabbitMQ whose work is done here without one."""

ACCEPTED: Final = (
    "rabbitmq_amqp1_0",
    "rabbitmq_auth_backend_cache",
    "rabbitmq_auth_backend_http",
    "rabbitmq_auth_backend_ldap",
    "rabbitmq_event_exchange",
    "rabbitmq_federation",
    "rabbitmq_federation_management",
    "rabbitmq_jms_topic_exchange",
    "rabbitmq_mqtt",
    "rabbitmq_peer_discovery_aws",
    "rabbitmq_peer_discovery_common",
    "rabbitmq_peer_discovery_consul",
    "rabbitmq_peer_discovery_etcd",
    "rabbitmq_peer_discovery_k8s",
    "rabbitmq_shovel",
    "rabbitmq_shovel_management",
    "rabbitmq_stomp",
    "rabbitmq_stream",
    "rabbitmq_stream_management",
    "rabbitmq_top",
    "rabbitmq_tracing",
    "rabbitmq_trust_store",
    "rabbitmq_web_mqtt",
    "rabbitmq_web_stomp",
)
"""Plugins that RabbitMQ comes with and that are not there: to enable one is accepted, with a line that says so."""

NODE: Final = "rabbit"


def enable(session: Session) -> None:
    """Accept plugins. Raises Failure (70) for one that RabbitMQ does not know either."""
    if not session.arguments and session.verb.name == "enable" and "all" not in session.options:
        raise session.wrong("not enough arguments")
    session.doing(f"Enabling plugins on node {NODE}:")
    for name in session.arguments:
        session.doing(name)
    _need_known(session.arguments)
    for name in session.arguments:
        session.doing(
            f"{name} is {'built in' if name in BUILT_IN else 'not part of this broker: nothing was enabled'}."
        )


def disable(session: Session) -> None:
    """Accept that plugins are not wanted; what is built in stays."""
    session.doing(f"Disabling plugins on node {NODE}:")
    for name in session.arguments:
        session.doing(name)
    session.doing("Nothing was disabled: there are no plugins.")


def _need_known(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in BUILT_IN + ACCEPTED]
    if unknown:
        raise Failure(SOFTWARE, f"plugins_not_found: {', '.join(unknown)}")


def list_plugins(session: Session) -> None:
    """List plugins."""
    pattern = session.arguments[0] if session.arguments else ".*"
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise session.wrong(f"{pattern!r} is no regular expression: {error}") from None
    session.doing(f'Listing plugins with pattern "{pattern}" ...')
    is_short = "enabled" in session.options or "explicitly-enabled" in session.options
    names = [name for name in sorted(BUILT_IN if is_short else BUILT_IN + ACCEPTED) if wanted.search(name)]
    if session.output.formatter == "json":
        rows = [
            {"name": name, "enabled": "enabled" if name in BUILT_IN else "not_enabled", "running": name in BUILT_IN}
            for name in names
        ]
        session.output.value({"format": "normal", "plugins": rows}, "")
    elif "minimal" in session.options:
        for name in names:
            session.output.line(name)
    else:
        session.doing(" Configured: E = explicitly enabled; e = implicitly enabled")
        session.doing(f" | Status: * = running on {NODE}")
        session.doing(" |/")
        width = max(map(len, names), default=0)
        for name in names:
            marks, state = ("E*", "built in") if name in BUILT_IN else ("  ", "not there")
            session.output.line(f"[{marks}] {name:<{width}} {state}")


def is_enabled(session: Session) -> None:
    """Fail unless all plugins named are built in."""
    missing = [name for name in session.arguments if name not in BUILT_IN]
    if missing:
        raise Failure(UNAVAILABLE, f"Plugin {', '.join(missing)} is not enabled on node {NODE}")
    session.output.line(f"Plugin {', '.join(session.arguments)} is enabled on node {NODE}")


def show_version(session: Session) -> None:
    """Tell the version of this command: no broker is asked."""
    from importlib.metadata import version

    session.output.line(version("leveret"))


def directories(session: Session) -> None:
    """Say that there are no directories of plugins."""
    session.output.line("There are no plugin directories: what is there is built in")


_ONLINE: Final = {"online": "", "offline": ""}
_LISTED: Final = {"enabled": "", "explicitly-enabled": "", "implicitly-enabled": "", "minimal": "", "verbose": ""}

VERBS: Final = {
    verb.name: verb
    for verb in (
        Verb("enable", "<plugin> ... | --all", "Accepts plugins", enable, 0, None, {**_ONLINE, "all": ""}, "Plugins"),
        Verb("disable", "<plugin> ...", "Accepts it", disable, 0, None, {**_ONLINE, "all": ""}, "Plugins"),
        Verb("set", "<plugin> ...", "Accepts plugins", enable, 0, None, _ONLINE, "Plugins"),
        Verb("list", "[<pattern>] [-e] [-m]", "Lists plugins", list_plugins, 0, 1, _LISTED, "Plugins"),
        Verb("is_enabled", "<plugin> ...", "Fails if one is not built in", is_enabled, 1, None, _ONLINE, "Plugins"),
        Verb("version", "", "Tells the version of the command", show_version, group="Plugins"),
        Verb("directories", "", "Says that there are none", directories, options=_ONLINE, group="Plugins"),
    )
}

_SHORT: Final = {"-e": "--enabled", "-E": "--explicitly-enabled", "-m": "--minimal", "-v": "--verbose"}


def main(arguments: Sequence[str], program: str = "rabbitmq-plugins") -> int:
    """Run the command; return the exit code. It asks no broker, so that it works while an image is built."""
    given = [_SHORT.get(each, each) for each in arguments]
    return run_verbs(given, program, known=VERBS)
