"""compose.yaml as a user runs it: up, used, down with the data kept, up again, down with the data."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest

from tests.container.engine import SECONDS, Engine

REPOSITORY = Path(__file__).resolve().parents[2]
Compose = Callable[..., str]


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def compose(engine: Engine, ports: tuple[int, int]) -> Iterator[Compose]:
    """A function that runs the compose of the engine, on a project of the test's own."""
    if engine.name.endswith("podman"):
        command = [str(Path(sys.executable).parent / "podman-compose"), "--podman-path", str(shutil.which(engine.name))]
    else:
        command = [engine.name, "compose"]
    environment = os.environ | {
        "LEVERET_IMAGE": engine.image,
        "LEVERET_AMQP_PORT": str(ports[0]),
        "LEVERET_HTTP_PORT": str(ports[1]),
        "LEVERET_USER": "shop",
        "LEVERET_PASS": "secret",
    }

    def ask(*arguments: str) -> str:
        done = subprocess.run(
            [*command, "--project-name", "leveret-test", "--file", str(REPOSITORY / "compose.yaml"), *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield ask
    ask("down", "--volumes")


def connect(port: int) -> pika.BlockingConnection:
    """Return a connection, as soon as there is one to be had."""
    credentials = pika.PlainCredentials("shop", "secret")
    parameters = pika.ConnectionParameters("127.0.0.1", port, "/", credentials)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return pika.BlockingConnection(parameters)
        except (pika.exceptions.IncompatibleProtocolError, pika.exceptions.ProbableAuthenticationError):
            raise
        except pika.exceptions.AMQPConnectionError:
            if time.monotonic() > deadline:
                raise


def test_up_and_down_keep_the_data(compose: Compose, ports: tuple[int, int]) -> None:
    compose("up", "--detach", "--no-build")
    with connect(ports[0]) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", b"hello", pika.BasicProperties(delivery_mode=2))
    compose("down")
    compose("up", "--detach", "--no-build")
    with connect(ports[0]) as connection:
        assert connection.channel().basic_get("kept", auto_ack=True)[2] == b"hello"
