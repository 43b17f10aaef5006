"""Commands that start the brokers compared, each apart from any other of its kind on the machine."""

import os
import shlex
import shutil
import sys
from pathlib import Path

LEVERET = "leveret"
RABBITMQ = "rabbitmq"
RABBITMQ_PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
"""The first is Debian's own; the one it puts on the PATH changes the user and with it where data may lie."""


class PeerMissing(Exception):
    """The program is not installed."""


def known_peers() -> tuple[str, ...]:
    """The names of brokers that can be started."""
    return LEVERET, RABBITMQ


def start_command_of(peer: str) -> str:
    """For bench/startup.py, with its fields. Raises PeerMissing."""
    if peer == LEVERET:
        return f"{shlex.quote(sys.executable)} -m broker --host 127.0.0.1 --port {{port}} --data-dir {{data_dir}}"
    return _rabbitmq_command()


def _rabbitmq_command() -> str:
    """Its own node name, ports, directories, and its own epmd, which is ended with it; else its defaults."""
    program = os.environ.get("RABBITMQ_SERVER") or next(filter(shutil.which, RABBITMQ_PROGRAMS), None)
    if program is None:
        raise PeerMissing("no rabbitmq-server; install it, or name it in the environment variable RABBITMQ_SERVER")
    settings = {
        "HOME": "{data_dir}",
        "ERL_EPMD_PORT": "{third_port}",
        "RABBITMQ_NODENAME": "bench-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": "{port}",
        "RABBITMQ_DIST_PORT": "{second_port}",
        "RABBITMQ_MNESIA_BASE": "{data_dir}/mnesia",
        "RABBITMQ_LOG_BASE": "{data_dir}/log",
        "RABBITMQ_CONFIG_FILE": "{data_dir}/none",
        "RABBITMQ_CONF_ENV_FILE": "{data_dir}/none",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "{data_dir}/none",
    }
    assignments = " ".join(f"{name}={value}" for name, value in settings.items())
    return f"env {assignments} {shlex.quote(str(Path(program)))}"
