"""RabbitMQ's own configuration: rabbitmq.conf and the variables of its container image, read as settings of ours.

They count less than anything of Leveret's own. Each key that has no effect here is told once; none stops the start,
but a value that is wrong does. RabbitMQ: Configuration.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "RABBITMQ_"


class ConfError(Exception):
    """A file that cannot be read as one, or a value that is wrong; a line for each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(slots=True)
class Given:
    """Settings by our keys, with where each comes from; lines about what has no effect; the files that were read."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def take(self, key: str, value: Any, place: str) -> None:
        """Set a setting; a later one replaces it, as in rabbitmq.conf."""
        self.values[key] = value
        self.places[key] = place


# Key of rabbitmq.conf: our key, and what reads the value.


def whole(text: str) -> int:
    """Return a whole number. Raises ValueError."""
    if not text.lstrip("-").isdecimal():
        raise ValueError("it must be a whole number")
    return int(text)


_UNITS: Final = {"": 1, "b": 1} | {
    unit: factor
    for power, letter in enumerate("kmgtp", 1)
    for unit, factor in ((letter, 1024**power), (f"{letter}ib", 1024**power), (f"{letter}b", 1000**power))
}


def octets(text: str) -> int:
    """Return the octets of ``2GB`` (powers of 1000), ``2GiB`` or ``2G`` (of 1024), ``2000``. Raises ValueError."""
    found = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", text)
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError("it must be a size such as 2000000000, 2GB or 2GiB")
    return int(found[1]) * int(_UNITS[found[2].lower()])


def fraction(text: str) -> float:
    """Return a fraction. Raises ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ValueError("it must be a number above 0, up to 1")
    return value


def level(text: str) -> str:
    """Return our log level. Raises ValueError."""
    known = {"debug": "debug", "info": "info", "notice": "info", "warning": "warning"}
    known |= dict.fromkeys(("error", "critical", "alert", "emergency", "none", "false"), "error")
    if text not in known:
        raise ValueError(f"it must be one of {', '.join(known)}")
    return known[text]


def truth(text: str) -> bool:
    """Return a truth value. Raises ValueError."""
    if text not in ("true", "false"):
        raise ValueError("it must be true or false")
    return text == "true"


def tls_login(text: str) -> str:
    """Return what in a certificate names its user. Raises ValueError."""
    if text not in ("common_name", "distinguished_name"):
        raise ValueError("it must be common_name or distinguished_name")
    return text


def timeout(text: str) -> int:
    """Return milliseconds; ``false`` and ``undefined`` are none. Raises ValueError."""
    return 0 if text in ("false", "undefined", "infinity") else whole(text)


def yes_or_no(text: str) -> str:
    """Return a truth value as our settings have it. Raises ValueError."""
    return "yes" if truth(text) else "no"


def as_is(text: str) -> str:
    """Return the text."""
    return text


PLAIN: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "default_user": ("default_user", as_is),
    "default_pass": ("default_pass", as_is),
    "default_vhost": ("default_vhost", as_is),
    "heartbeat": ("heartbeat_s", whole),
    "connection_max": ("connection_max", timeout),
    "channel_max": ("channel_max", whole),
    "frame_max": ("frame_max", whole),
    "max_message_size": ("max_message_octets", octets),
    "consumer_timeout": ("consumer_timeout_ms", timeout),
    "handshake_timeout": ("handshake_timeout_s", lambda text: whole(text) / 1000),
    "vm_memory_high_watermark.relative": ("memory_high_watermark", fraction),
    "vm_memory_high_watermark.absolute": ("memory_high_watermark", octets),
    "vm_memory_high_watermark": ("memory_high_watermark", fraction),
    "disk_free_limit.absolute": ("disk_free_limit", octets),
    "disk_free_limit": ("disk_free_limit", octets),
    "ssl_options.certfile": ("tls_certificate", as_is),
    "ssl_options.keyfile": ("tls_key", as_is),
    "ssl_options.cacertfile": ("tls_ca", as_is),
    "ssl_options.password": ("tls_key_pass", as_is),
    "ssl_cert_login_from": ("tls_login", tls_login),
    "management.tcp.port": ("management_port", whole),
    "management.listener.port": ("management_port", whole),
    "prometheus.tcp.port": ("metrics_port", whole),
    "log.console.level": ("log_level", level),
    "log.file.level": ("log_level", level),
    "log.default.level": ("log_level", level),
    "load_definitions": ("load_definitions", as_is),
    "management.load_definitions": ("load_definitions", as_is),
    "definitions.local.path": ("load_definitions", as_is),
    "management.ssl.certfile": ("management_tls_certificate", as_is),
    "management.ssl.keyfile": ("management_tls_key", as_is),
    "management.ssl.cacertfile": ("management_tls_ca", as_is),
    "management.ssl.password": ("management_tls_key_pass", as_is),
    "management.ssl.port": ("management_tls_port", whole),
    "prometheus.ssl.port": ("metrics_tls_port", whole),
    "auth_oauth2.resource_server_id": ("oauth2_resource_server_id", as_is),
    "auth_oauth2.issuer": ("oauth2_issuer", as_is),
    "auth_oauth2.jwks_url": ("oauth2_jwks_url", as_is),
    "auth_oauth2.jwks_uri": ("oauth2_jwks_url", as_is),
    "auth_oauth2.https.cacertfile": ("oauth2_ca", as_is),
    "auth_oauth2.default_key": ("oauth2_default_key", as_is),
    "auth_oauth2.verify_aud": ("oauth2_verify_aud", yes_or_no),
    "auth_oauth2.scope_prefix": ("oauth2_scope_prefix", as_is),
    "auth_oauth2.additional_scopes_key": ("oauth2_additional_scopes_key", as_is),
}

SECRET: Final = ("default_pass", "ssl_options.password", "management.ssl.password")

BACKENDS: Final = {
    "internal": "internal",
    "rabbit_auth_backend_internal": "internal",
    "oauth2": "oauth2",
    "rabbit_auth_backend_oauth2": "oauth2",
    "rabbitmq_auth_backend_oauth2": "oauth2",
}

# Beginning of keys that go on with a number or a name: our key, a list.
LISTS: Final = {
    "auth_backends.": "auth_backends",
    "auth_oauth2.algorithms.": "oauth2_algorithms",
    "auth_oauth2.preferred_username_claims.": "oauth2_preferred_username_claims",
    "auth_oauth2.signing_keys.": "oauth2_signing_keys",
    "auth_oauth2.scope_aliases.": "oauth2_scope_aliases",
}

TLS_PORTS: Final = {"management": ("management_port", "management_tls_port", 15671)} | {
    "prometheus": ("metrics_port", "metrics_tls_port", 15691)
}
"""Whose keys begin with what: the plain port, that over TLS, and which one that is where the file names none."""

QUIET: Final = (
    r"log\.(console|connection|channel|queue|exchange|default|upgrade)(\..*)?",
    r"log\.file(\..*|=false)",
    r"num_acceptors\..*",
    r"tcp_listen_options\..*",
    r"(management|prometheus)\.(tcp|listener|ssl)\.ip=(0\.0\.0\.0|::)",
    r"collect_statistics(_interval)?",
    r"definitions\.import_backend",
    r"deprecated_features\.permit\..*=true",
    r"queue_master_locator",
    r"cluster_(formation|partition_handling|name|keepalive_interval)(\..*)?",
    r"vm_memory_(high_watermark_paging_ratio|calculation_strategy)",
    r"(management|prometheus)\.ssl\.(honor_.*|client_renegotiation|secure_renegotiate|depth)",
    r"auth_oauth2\.https\.(depth|fail_if_no_peer_cert|hostname_verification)",
)
"""Keys whose effect is there without them, or that only a cluster has: accepted without a word. With some, so is one
value alone, behind ``=``.
"""

KINDS: Final = ("configure", "write", "read")

# Image's variables: our key.
VARIABLES: Final = {
    "DEFAULT_USER": "default_user",
    "DEFAULT_PASS": "default_pass",
    "DEFAULT_VHOST": "default_vhost",
    "NODENAME": "node_name",
    "NODE_PORT": "port",
    "NODE_IP_ADDRESS": "host",
}

QUIET_VARIABLES: Final = re.compile(
    # What Kubernetes makes for a service with the name rabbitmq, what images set, and what is read here.
    r"SERVICE_(HOST|PORT)(_.*)?|PORT(_.*)?|CONFIG_FILES?|HOME|VERSION|DATA_DIR|PGP_KEY_ID|LOGS|BASE|SYS_PREFIX"
)


def read(path: Path | None, environment: Mapping[str, str]) -> Given:
    """Return what the file and the variables give; the variables go before the file. Raises ConfError."""
    given = Given()
    variables = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
    files = files_of(path, variables)
    problems: list[str] = []
    for file in files:
        if path is None and not file.exists():
            # The image names both places where there may be something. RabbitMQ passes over what is not there, too.
            given.warnings.append(f"there is no {str(file)!r}, which a variable names")
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfError(f"cannot read {str(file)!r} ({why}); it must be a rabbitmq.conf") from None
        given.files.append(file)
        wrong, lines = lines_of(text)
        problems += [
            f"{str(file)!r}, line {number}: there is no = in it; a line is a key = a value" for number in wrong
        ]
        problems += take_lines(given, file, lines)
    take_variables(given, variables)
    if problems:
        raise ConfError(*problems)
    return given


def files_of(path: Path | None, variables: Mapping[str, str]) -> list[Path]:
    """Return the files to read: that of the flag, else those that RabbitMQ's variables name."""
    if path is not None:
        return [path]
    files = []
    named = variables.get(PREFIX + "CONFIG_FILE")
    if named:
        file, longer = Path(named), Path(named + ".conf")
        files.append(longer if longer.exists() and not file.exists() else file)
    more = variables.get(PREFIX + "CONFIG_FILES")
    if more:
        directory = Path(more)
        files += sorted(directory.glob("*.conf")) if directory.is_dir() else [directory]
    return files


def lines_of(text: str) -> tuple[list[int], list[tuple[int, str, str]]]:
    """Return the numbers of lines without ``=``, and number, key and value of each line that sets something.

    Nobody is told what stands in a line without ``=``: it may be a password.
    """
    wrong: list[int] = []
    found: list[tuple[int, str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        key, equals, value = bare.partition("=")
        if not equals:
            wrong.append(number)
            continue
        value = value.strip()
        if value[:1] == "'" and value.count("'") >= 2:
            value = value[1 : value.index("'", 1)]
        else:
            value = re.split(r"\s+#", value, maxsplit=1)[0].rstrip()
        found.append((number, key.strip(), value))
    return wrong, found


def take_lines(given: Given, file: Path, lines: list[tuple[int, str, str]]) -> list[str]:
    """Take what a file's lines set; return a line for each value that is wrong."""
    problems = []
    tls: dict[str, str] = {}
    loopback: list[str] | None = None
    ports: dict[str, str] = {}
    tags: list[str] = []
    patterns = dict.fromkeys(KINDS, ".*")
    lists: dict[str, dict[str, str]] = {}
    for number, key, value in lines:
        place = f"{key} in {str(file)!r}, line {number}"
        try:
            if key.startswith("loopback_users"):
                loopback = loopback_users(loopback, key, value)
                given.take("loopback_users", tuple(loopback), place)
            elif key.startswith(("listeners.tcp.", "listeners.ssl.")) or key in ("listeners.tcp", "listeners.ssl"):
                take_listener(given, ports, key, value, place)
            elif (start := next((each for each in LISTS if key.startswith(each)), None)) is not None:
                take_list(given, lists.setdefault(start, {}), start, key, value, place)
            elif re.fullmatch(r"(management|prometheus)\.ssl\.(verify|fail_if_no_peer_cert)", key):
                tls[key] = value
                take_http_tls(given, tls, place)
            elif key.startswith("prometheus.ssl.") and key.removeprefix("prometheus.") in HTTP_FILES:
                take_metrics_file(given, key, value, place)
            elif key == "auth_oauth2.https.peer_verification" and value == "verify_peer":
                pass  # It is always verified here.
            elif key in ("ssl_options.verify", "ssl_options.fail_if_no_peer_cert") or "ssl_options.versions." in key:
                tls[key] = value
                take_tls(given, tls, place)
            elif key in PLAIN:
                name, reader = PLAIN[key]
                given.take(name, reader(value), place)
            elif key == "disk_free_limit.relative":
                given.take("disk_free_limit", int(float(value) * memory_octets()), place)
            elif key.startswith("default_permissions."):
                patterns[key.removeprefix("default_permissions.")] = value or "^$"
                given.take("default_permissions", " ".join(patterns[kind] for kind in KINDS), place)
            elif key.startswith("default_user_tags."):
                tags = [*tags, key.removeprefix("default_user_tags.")] if truth(value) else tags
                given.take("default_user_tags", ",".join(tags), place)
            elif not any(re.fullmatch(quiet, each) for quiet in QUIET for each in (key, f"{key}={value}")):
                given.warnings.append(f"{place}: it has no effect here")
        except ValueError as error:
            shown = "the value" if key in SECRET else repr(value)
            problems.append(f"{place}: {shown} is not allowed; {error}")
    take_tls_ports(given, file, {key for _, key, _ in lines})
    return problems


HTTP_FILES: Final = ("ssl.certfile", "ssl.keyfile", "ssl.cacertfile")


def take_list(given: Given, list_: dict[str, str], start: str, key: str, value: str, place: str) -> None:
    """Take one of several values, or one thing by its name. Raises ValueError."""
    name = key.removeprefix(start)
    if start == "auth_backends.":
        if value not in BACKENDS:
            raise ValueError("it must be internal or oauth2: there are no other backends here")
        value = BACKENDS[value]
    list_[name] = value
    if start == "auth_oauth2.signing_keys.":
        values = [f"{kid}={path}" for kid, path in list_.items()]
    elif start == "auth_oauth2.scope_aliases.":
        values = [f"{alias}={scope}" for alias, scope in aliases(list_).items()]
    else:
        values = list(list_.values())
    given.take(LISTS[start], tuple(values), place)


def aliases(given: Mapping[str, str]) -> dict[str, str]:
    """Return scopes by alias: keys are aliases, or numbers with ``.alias`` and ``.scope``."""
    found: dict[str, str] = {}
    for key, value in given.items():
        number, _, part = key.partition(".")
        if not (number.isdecimal() and part in ("alias", "scope")):
            found[key] = value
        elif f"{number}.alias" in given and f"{number}.scope" in given:
            found[given[f"{number}.alias"]] = given[f"{number}.scope"]
    return found


def take_http_tls(given: Given, options: Mapping[str, str], place: str) -> None:
    """Take what becomes of the certificates of those who come by HTTP."""
    verifies = {options.get(f"{each}.ssl.verify") for each in TLS_PORTS}
    needed = {options.get(f"{each}.ssl.fail_if_no_peer_cert") for each in TLS_PORTS}
    wanted = "ignore" if "verify_peer" not in verifies else "require" if "true" in needed else "ask"
    given.take("management_tls_clients", wanted, place)


def take_metrics_file(given: Given, key: str, value: str, place: str) -> None:
    """Take a file for the metrics, which have the same as the HTTP API here."""
    ours, _ = PLAIN[key.replace("prometheus.", "management.")]
    if given.values.get(ours, value) != value:
        given.warnings.append(f"{place}: it has no effect here, management.{key.removeprefix('prometheus.')} counts")
    else:
        given.take(ours, value, place)


def take_tls_ports(given: Given, file: Path, keys: set[str]) -> None:
    """Have the ports that TLS is spoken on; as in RabbitMQ, only these where the file says nothing of plain ones."""
    for name, (plain, over_tls, number) in TLS_PORTS.items():
        if any(key.startswith(f"{name}.ssl.") for key in keys):
            if over_tls not in given.values:
                given.take(over_tls, number, f"{name}.ssl in {str(file)!r}")
            if not any(key.startswith((f"{name}.tcp.", f"{name}.listener.")) for key in keys):
                given.take(plain, 0, f"{name}.ssl in {str(file)!r}")


def loopback_users(users: list[str] | None, key: str, value: str) -> list[str]:
    """Return who may come from the broker's machine only; ``loopback_users.guest = false`` lifts it.

    Raises ValueError.
    """
    users = ["guest"] if users is None else users
    if key == "loopback_users":
        return [] if value == "none" else [value]
    name = key.removeprefix("loopback_users.")
    users = [user for user in users if user != name]
    return [*users, name] if truth(value) else users


def take_listener(given: Given, ports: dict[str, str], key: str, value: str, place: str) -> None:
    """Take an address or a port to listen on; the first one of TCP and of TLS counts. Raises ValueError."""
    kind = "tls_port" if key.startswith("listeners.ssl") else "port"
    if value == "none":
        if kind == "port":
            given.take("plain_tcp", "off", place)
        return
    host, _, port = value.rpartition(":")
    number = whole(port)
    if kind in ports and ports[kind] != value:
        given.warnings.append(f"{place}: only the first listener counts, {ports[kind]}")
        return
    ports[kind] = value
    given.take(kind, number, place)
    if host and kind == "port":
        given.take("host", "*" if host in ("::", "[::]", "0.0.0.0") else host.strip("[]"), place)


def take_tls(given: Given, options: Mapping[str, str], place: str) -> None:
    """Take what becomes of clients' certificates, and the oldest version of TLS."""
    if options.get("ssl_options.verify") == "verify_peer":
        is_needed = options.get("ssl_options.fail_if_no_peer_cert") == "true"
        given.take("tls_clients", "require" if is_needed else "ask", place)
    elif "ssl_options.verify" in options:
        given.take("tls_clients", "ignore", place)
    versions = [value for key, value in options.items() if "versions." in key]
    if versions:
        given.take("tls_least_version", "1.2" if any(each != "tlsv1.3" for each in versions) else "1.3", place)


def take_variables(given: Given, variables: Mapping[str, str]) -> None:
    """Take what the image's variables say; name those that have no effect."""
    for name, value in sorted(variables.items()):
        key = VARIABLES.get(name.removeprefix(PREFIX))
        from_file = VARIABLES.get(name.removeprefix(PREFIX).removesuffix("_FILE")) if name.endswith("_FILE") else None
        if key is not None:
            given.take(key, value, name)
        elif from_file is not None:
            given.take(from_file, secret_in(name, Path(value)), name)
        elif not QUIET_VARIABLES.fullmatch(name.removeprefix(PREFIX)):
            given.warnings.append(f"{name}: this variable has no effect here")


def secret_in(name: str, file: Path) -> str:
    """Return what stands in the file that a variable such as RABBITMQ_DEFAULT_PASS_FILE names. Raises ConfError."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfError(f"{name}: cannot read {str(file)!r}") from None


def memory_octets() -> int:
    """Return what a multiple of the memory refers to."""
    from broker.server.resources import available_octets

    return available_octets()
