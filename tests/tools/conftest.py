"""A broker with an HTTP API for tools of others, which run as processes of their own.

``make tools-test`` installs them (the extra ``tools``); where they are missing, the tests are left out, and say so.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.brokers import RunningBroker, clean_environment
from tests.management.client import Api
from tests.waiting import until

DEADLINE_S: Final = 90.0


def require(*modules: str) -> None:
    """Skip where one of the tools is not installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed, so NOT tested (make tools-test does): {', '.join(missing)}")


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Return when ``is_so()``; an OSError means not yet."""

    def is_so_now() -> bool:
        try:
            return is_so()
        except OSError:
            return False

    until(is_so_now, f"{what}: not within {DEADLINE_S:g} s", DEADLINE_S)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


class Node:
    """The broker, its HTTP port, and the environment for tools that are to use it."""

    def __init__(self, broker: RunningBroker) -> None:
        self.broker = broker
        self.http_port = int(broker.wait_for_event("HTTP")["port"])
        self.api = Api(self.http_port)
        self.environment = clean_environment() | {
            "BROKER_URL": broker.url,
            "FLOWER_UNAUTHENTICATED_API": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HOME": os.environ.get("HOME", "/"),
        }

    def start(self, *module: str, output: Path) -> "subprocess.Popen[bytes]":
        """Start ``python -m module``; what it prints goes to a file."""
        with output.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", *module],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A broker of the tools' own."""
    data_dir = tmp_path_factory.mktemp("tools") / "data"
    with RunningBroker(data_dir, "--management-port", "any", "--metrics-port", "none") as broker:
        yield Node(broker)
