"""Fixtures for all tests: the broker that tests share, and one of its own for a test that kills it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.brokers import RunningBroker


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running broker that all tests share, so use names of your own and clean up.

    LEVERET_TEST_URL in the environment names another AMQP 0-9-1 broker to be tested instead.
    """
    other = os.environ.get("LEVERET_TEST_URL")
    if other:
        yield other
        return
    with RunningBroker(tmp_path_factory.mktemp("shared") / "data") as broker:
        yield broker.url


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., RunningBroker]]:
    """A function that starts a broker of the test's own, ended after the test; flags are its arguments."""
    with ExitStack() as ends:

        def start(*flags: str, data_dir: Path | None = None) -> RunningBroker:
            return ends.enter_context(RunningBroker(data_dir or tmp_path / "data", *flags))

        yield start


@pytest.fixture
def own_broker(start_broker: Callable[..., RunningBroker]) -> RunningBroker:
    """A broker of the test's own, which it may kill, stop and restart."""
    return start_broker()
