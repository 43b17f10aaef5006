"""testcontainers' RabbitMqContainer with Leveret's image in the place of RabbitMQ's."""

import importlib
import os
import re
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.container.engine import SECONDS, Engine


@pytest.fixture
def rabbitmq_container(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """testcontainers' class, able to reach the engine by docker's API. podman offers it while the test runs."""
    if not engine.name.endswith("podman"):
        yield load()
        return
    address = tmp_path / "podman.sock"
    service = subprocess.Popen(
        [engine.name, "system", "service", "--time=0", f"unix://{address}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + SECONDS
        while not address.exists():
            assert time.monotonic() < deadline
        monkeypatch.setenv("DOCKER_HOST", f"unix://{address}")
        monkeypatch.setenv("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
        monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
        yield load()
    finally:
        service.terminate()
        service.wait()


def load() -> Any:
    """Import it only when the environment that it reads is complete. It uses what it says itself is out of date."""
    assert "DOCKER_HOST" in os.environ or os.path.exists("/var/run/docker.sock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("testcontainers.rabbitmq").RabbitMqContainer


@pytest.mark.filterwarnings("default")
def test_testcontainers_starts_uses_and_stops_it(engine: Engine, rabbitmq_container: Any) -> None:
    with rabbitmq_container(engine.image) as container:
        with pika.BlockingConnection(container.get_connection_params()) as connection:
            channel = connection.channel()
            channel.queue_declare("tested")
            channel.basic_publish("", "tested", b"hello")
            assert channel.basic_get("tested", auto_ack=True)[2] == b"hello"
        identity = container.get_wrapped_container().id
    assert engine.ask("inspect", identity).returncode != 0


@pytest.mark.filterwarnings("default")
def test_its_users_and_ready_line_are_as_other_languages_wait_for(engine: Engine, rabbitmq_container: Any) -> None:
    strategies = importlib.import_module("testcontainers.core.wait_strategies")
    container = rabbitmq_container(engine.image, username="shop", password="secret", vhost="orders")
    container.waiting_for(strategies.LogMessageWaitStrategy(re.compile(r".*Server startup complete.*")))
    with container, pika.BlockingConnection(container.get_connection_params()) as connection:
        connection.channel().queue_declare("tested")
