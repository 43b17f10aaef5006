"""Verbs of rabbitmq-diagnostics about the broker's process: its variables, log, TLS and logins."""

from pathlib import Path
from typing import Any, Final

from broker.control.failures import UNAVAILABLE, Failure
from broker.control.verb import Session, Verb, grouped

GROUP: Final = "Process"
SECRET: Final = ("PASS", "SECRET", "COOKIE", "TOKEN", "URL", "URI", "ARGS", "CREDENTIAL")
"""What is in the name of a variable whose value is not shown; arguments for Erlang may set a password, too."""


def os_env(session: Session) -> None:
    """Tell the broker's variables, without secrets."""
    session.doing(f"Listing RabbitMQ-specific environment variables defined on node {session.node}...")
    variables = dict(each.partition("=")[::2] for each in _of_process(session, "environ"))
    shown = {
        name: "(not shown)" if any(word in name for word in SECRET) else value
        for name, value in sorted(variables.items())
        if name.startswith(("RABBITMQ_", "LEVERET_"))
    }
    session.output.value(shown, "\n".join(f"{name}={value}" for name, value in shown.items()))


def command_line_arguments(session: Session) -> None:
    """Tell how the broker was called. Secrets are no flags of it."""
    session.doing(f"Command line arguments of node {session.node} ...")
    words = _of_process(session, "cmdline")
    session.output.value(words, "\n".join(words))


def _of_process(session: Session, file: str) -> list[str]:
    """Return what Linux tells of the broker's process. Raises Failure (69)."""
    path = Path(f"/proc/{session.client.control('status')['pid']}/{file}")
    try:
        return [part.decode("utf-8", "replace") for part in path.read_bytes().split(b"\0") if part]
    except OSError as error:
        raise Failure(UNAVAILABLE, f"cannot read {path}: {error.strerror}") from None


def log_location(session: Session) -> None:
    """Tell where the log goes."""
    session.doing(f"Log file location(s) on node {session.node} ...")
    overview = session.client.get("overview")
    files = session.client.get("nodes", overview["node"]).get("log_files") or ["<stdout>"]
    session.output.line("\n".join(files))


def refuse_log(session: Session) -> None:
    """Refuse to show what was logged: whoever started the broker has it."""
    raise Failure(
        UNAVAILABLE,
        f"{session.verb.name}: the log goes to the standard output and is not kept (docker logs, journalctl)",
    )


def refuse_events(session: Session) -> None:
    """Refuse a stream of events."""
    raise Failure(UNAVAILABLE, f"{session.verb.name}: this broker has no stream of events")


def refuse_interfaces(session: Session) -> None:
    """Refuse to list what the system lists."""
    raise Failure(UNAVAILABLE, f"{session.verb.name}: ask the system (ip address)")


def tls_versions(session: Session) -> None:
    """Tell which versions of TLS clients may use."""
    session.doing("Listing all TLS versions supported by the runtime...")
    least = str(session.client.control("environment").get("tls_least_version", "1.2"))
    session.output.line("\n".join(version for version in ("tlsv1.3", "tlsv1.2") if version[4:] >= least))


def cipher_suites(session: Session) -> None:
    """Tell the cipher suites of this Python, under OpenSSL's names."""
    import ssl

    session.doing("Listing available cipher suites in OpenSSL format")
    suites = [str(each["name"]) for each in ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).get_ciphers()]
    session.output.value(suites, "\n".join(suites))


def certificates(session: Session) -> None:
    """Tell which files the listeners' certificates are in."""
    session.doing(f"Certificates of node {session.node} ...")
    settings = session.client.control("environment")
    keys = ("tls_certificate", "tls_ca", "management_tls_certificate", "management_tls_ca")
    shown = {key: settings[key] for key in keys if settings.get(key)}
    session.output.value(shown, "\n".join(f"{key} = {value}" for key, value in shown.items()) or "(none)")


def discover_peers(session: Session) -> None:
    """Tell that there are no peers."""
    session.doing("Discovering peers nodes ...")
    session.facts()
    session.output.line("No peers discovered")


def resolve_hostname(session: Session) -> None:
    """Tell a name's addresses, as this machine knows them."""
    import socket

    name = session.arguments[0]
    wanted = session.options.get("address-family", "ipv4").lower()
    families = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
    if wanted not in families:
        raise session.wrong("--address-family is ipv4 or ipv6")
    session.doing(f"Asking node {session.node} to resolve hostname {name} to {wanted.replace('ip', 'IP')} addresses...")
    try:
        found = socket.getaddrinfo(name, None, families[wanted], socket.SOCK_STREAM)
    except OSError as error:
        raise Failure(UNAVAILABLE, f"{name} cannot be resolved: {error.strerror or error}") from None
    session.output.line("\n".join(dict.fromkeys(str(each[4][0]) for each in found)))


# Logins


def list_attempts(session: Session) -> None:
    """Tell how many logins there were, and how many failed."""
    node = session.facts()["node"]
    session.doing(f'Listing authentication\n attempts for node "{session.node}" ...')
    by_source = ("source",) if "by-source" in session.options else ()
    rows: list[dict[str, Any]] = session.client.get("auth", "attempts", node, *by_source)
    of_source = ("remote_address", "username") if by_source else ()
    columns = ("protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded")
    session.output.table((*of_source, *columns), ([row.get(name) for name in (*of_source, *columns)] for row in rows))


def forget_attempts(session: Session) -> None:
    """Begin to count anew."""
    session.doing(f"Reset auth attempt metrics on node {session.node} ...")
    session.client.delete("auth", "attempts", session.facts()["node"])


def track_sources(session: Session) -> None:
    """Accept it: logins are always counted by address, too."""
    session.facts()
    session.doing(f"{session.verb.name}: logins are counted by address, always")


VERBS: Final = grouped(
    GROUP,
    Verb("os_env", "", "Tells the broker's variables, without secrets", os_env),
    Verb("command_line_arguments", "", "Tells how the broker was called", command_line_arguments),
    Verb("log_location", "", "Tells where the log goes", log_location),
    Verb("log_tail", "", "Is refused: the log is not kept", refuse_log, options={"number": "count"}),
    Verb("log_tail_stream", "", "Is refused: the log is not kept", refuse_log, options={"duration": "seconds"}),
    Verb(
        "consume_event_stream",
        "",
        "Is refused: there is none",
        refuse_events,
        options={"duration": "seconds", "pattern": "pattern"},
    ),
    Verb("list_network_interfaces", "", "Is refused: the system tells", refuse_interfaces),
    Verb("tls_versions", "", "Tells which versions of TLS clients may use", tls_versions),
    Verb("cipher_suites", "", "Tells the cipher suites", cipher_suites),
    Verb("certificates", "", "Tells which files the certificates are in", certificates),
    Verb("discover_peers", "", "Tells that there are no peers", discover_peers),
    Verb(
        "resolve_hostname",
        "<name> [--address-family ipv4|ipv6]",
        "Tells a name's addresses",
        resolve_hostname,
        1,
        1,
        {"address-family": "family", "offline": ""},
    ),
    Verb(
        "list_node_auth_attempt_stats",
        "[--by-source]",
        "Tells how many logins there were",
        list_attempts,
        options={"by-source": ""},
    ),
    Verb("reset_node_auth_attempt_metrics", "", "Counts logins anew", forget_attempts),
    Verb("enable_auth_attempt_source_tracking", "", "Has nothing to do: addresses are counted", track_sources),
    Verb("disable_auth_attempt_source_tracking", "", "Has nothing to do: addresses are counted", track_sources),
)
