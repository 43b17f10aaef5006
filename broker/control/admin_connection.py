"""Where rabbitmqadmin's broker is, and who asks: from its arguments, else variables, else a file, else its defaults.

The variables are the second version's. What is wrong is told without a value, which may be a password. RabbitMQ:
rabbitmqadmin v2, "Environment Variables".
"""

import argparse
import configparser
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from broker.control.failures import Failure

FAILED: Final = 1
TIMEOUT_S: Final = 120.0


def truth(text: str) -> bool:
    """Return a truth value. Raises ValueError."""
    if text.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ValueError("it must be true or false")
    return text.lower() in ("true", "1", "yes", "on")


VARIABLES: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "CONFIG_FILE_PATH": ("config", str),
    "NODE_ALIAS": ("node", str),
    "TARGET_HOST": ("host", str),
    "TARGET_PORT": ("port", str),
    "TARGET_VHOST": ("vhost", str),
    "API_PATH_PREFIX": ("path_prefix", str),
    "BASE_URI": ("base_uri", str),
    "USERNAME": ("username", str),
    "PASSWORD": ("password", str),
    "USE_TLS": ("ssl", truth),
    "TIMEOUT": ("request_timeout", float),
    "QUIET_MODE": ("quiet", truth),
    "NON_INTERACTIVE_MODE": ("non_interactive", truth),
    "TABLE_STYLE": ("table_style", str),
}
"""What follows RABBITMQADMIN_: the option that it stands for, and what reads it."""

FROM_FILE: Final = {
    "host": "hostname",
    "port": "port",
    "vhost": "vhost",
    "username": "username",
    "password": "password",
    "path_prefix": "path_prefix",
    "declare_vhost": "declare_vhost",
}


def configured(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Fill in what the options do not say. Raises Failure."""
    take_variables(options, environment)
    section = section_of(options)
    for name, key in FROM_FILE.items():
        if getattr(options, name) is None:
            setattr(options, name, section.get(key))
    options.ssl = options.ssl or section.get("ssl", "").lower() == "true"
    if options.base_uri:
        take_base_uri(options)
    options.host = options.host or "localhost"
    options.username, options.password = options.username or "guest", options.password or "guest"
    options.port = options.port or ("15671" if options.ssl else "15672")
    if not re.fullmatch(r"[^\s/?#@\[\]\\%]+", options.host):
        raise Failure(FAILED, "the host is not a host's name or address")
    if not (options.port.isascii() and options.port.isdigit() and 0 < int(options.port) < 65536):
        raise Failure(FAILED, "the port must be a number from 1 to 65535")
    if options.request_timeout is None:
        options.request_timeout = TIMEOUT_S
    if options.format is None:
        is_bare = options.non_interactive or options.table_style == "borderless"
        options.format = "borderless" if is_bare else "table"


def take_variables(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Take what variables say where arguments say nothing. Raises Failure."""
    is_placed = options.host is not None or options.port is not None
    for name, (option, reader) in VARIABLES.items():
        text = environment.get(f"RABBITMQADMIN_{name}", "")
        given = getattr(options, option)
        if not text or (given is not None and given is not False) or (option == "base_uri" and is_placed):
            continue
        try:
            setattr(options, option, reader(text))
        except ValueError:
            raise Failure(FAILED, f"RABBITMQADMIN_{name} has a value that is not allowed") from None


def section_of(options: argparse.Namespace) -> Mapping[str, str]:
    """Return what the file says about the node. Raises Failure, without a word of the file's."""
    file = Path(options.config) if options.config else Path.home() / ".rabbitmqadmin.conf"
    node = options.node or "default"
    if not options.config and not file.is_file():
        return {}
    read = configparser.ConfigParser(interpolation=None)
    try:
        is_read = bool(read.read(file, encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        raise Failure(FAILED, f"{file}: not a config file") from None
    if not is_read:
        raise Failure(FAILED, f"Could not read config file '{file}'")
    if read.has_section(node):
        # The second version's files are TOML, with texts in quotes.
        return {key: value.strip("\"'") for key, value in read[node].items()}
    if node != "default":
        raise Failure(FAILED, f"[{node}] section not found in '{file}'")
    return {}


def take_base_uri(options: argparse.Namespace) -> None:
    """Take the place of the URI. Raises Failure, without the URI, which may have a password."""
    try:
        parts = urlsplit(options.base_uri)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failure(FAILED, "the base URI must be http://host:15672 or https://host:15671")
    options.ssl = parts.scheme == "https"
    options.host, options.port = parts.hostname, str(port) if port is not None else options.port
    options.path_prefix = options.path_prefix or parts.path.rstrip("/")


def url_of(options: argparse.Namespace) -> str:
    """Return the URL that configured options stand for, with user and password."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    who = f"{quote(options.username, safe='')}:{quote(options.password, safe='')}"
    return f"{'https' if options.ssl else 'http'}://{who}@{host}:{options.port}{options.path_prefix or ''}"
