"""Fixtures of the container tests. Without CONTAINER_IMAGE none of them is collected: `make container-test` sets it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.container.engine import Container, Engine

collect_ignore_glob = [] if os.environ.get("CONTAINER_IMAGE") else ["test_*.py"]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine that `make container-test` has found, and the image that it has built."""
    return Engine(os.environ["CONTAINER_ENGINE"], os.environ["CONTAINER_IMAGE"])


@pytest.fixture
def run(engine: Engine) -> Iterator[Callable[..., Container]]:
    """A function that runs the image and removes the container after the test; arguments are the engine's."""
    with ExitStack() as ends:

        def start(*options: str, command: tuple[str, ...] = (), is_awaited: bool = True) -> Container:
            container = engine.run(*options, command=command)
            ends.callback(container.remove)
            if is_awaited:
                container.wait_ready()
            return container

        yield start


@pytest.fixture
def volume(engine: Engine) -> Iterator[str]:
    """The name of an empty volume, removed after the test."""
    name = engine.command("volume", "create").strip()
    yield name
    engine.command("volume", "rm", "--force", name)


@pytest.fixture(scope="module")
def leveret(engine: Engine) -> Iterator[Container]:
    """A container that a module's tests share, run as the README says."""
    container = engine.run()
    try:
        container.wait_ready()
        yield container
    finally:
        container.remove()
