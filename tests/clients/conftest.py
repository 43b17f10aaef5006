"""What the client tests share: connections that are closed, and names that are deleted, after each test."""

from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from tests.clients.names import Names


@pytest.fixture
def names(broker_url: str) -> Iterator[Names]:
    names = Names()
    yield names
    names.delete_all(broker_url)


@pytest.fixture
def connect(broker_url: str, names: Names) -> Iterator[Callable[..., Any]]:
    """A function that opens a blocking connection; keyword arguments are set on its pika parameters."""
    opened: list[Any] = []

    def connect(**parameters: Any) -> Any:
        wanted = pika.URLParameters(broker_url)
        for name, value in parameters.items():
            setattr(wanted, name, value)
        opened.append(pika.BlockingConnection(wanted))
        return opened[-1]

    yield connect
    for connection in opened:
        if connection.is_open:
            connection.close()


@pytest.fixture
def connection(connect: Callable[..., Any]) -> Any:
    return connect()


@pytest.fixture
def channel(connection: Any) -> Any:
    return connection.channel()
