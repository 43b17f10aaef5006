"""Connections to the test's own broker that do not outlive the test, whatever became of the broker."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError

from tests.brokers import RunningBroker


@pytest.fixture
def connect(own_broker: RunningBroker) -> Iterator[Callable[[], Any]]:
    """A function that opens a blocking connection to the broker as it runs now."""
    opened: list[Any] = []

    def connect() -> Any:
        opened.append(pika.BlockingConnection(pika.URLParameters(own_broker.url)))
        return opened[-1]

    yield connect
    for connection in opened:
        if connection.is_open:
            with suppress(AMQPError):
                connection.close()
