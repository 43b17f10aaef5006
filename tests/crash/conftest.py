"""Connections to the test's own broker that do not outlive the test, and the two ways in which a broker ends."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError

from tests.brokers import RunningBroker
from tests.clients.waiting import notice_end
from tests.crash.broker_log import logged_errors


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """The blocking connections of the test, closed at its end."""
    opened: list[Any] = []
    yield opened
    for connection in opened:
        if connection.is_open:
            with suppress(AMQPError):
                connection.close()


@pytest.fixture(autouse=True)
def _no_error_logged(own_broker: RunningBroker) -> Iterator[None]:
    """Whatever a test of this folder does to the broker, it is no reason for an error in the log."""
    yield
    assert logged_errors(own_broker) == []


@pytest.fixture
def connect(own_broker: RunningBroker, opened: list[Any]) -> Callable[[], Any]:
    """A function that opens a blocking connection to the broker as it runs now."""

    def connect() -> Any:
        opened.append(pika.BlockingConnection(pika.URLParameters(own_broker.url)))
        return opened[-1]

    return connect


@pytest.fixture(params=["clean stop", "kill"])
def outage(request: pytest.FixtureRequest, own_broker: RunningBroker, opened: list[Any]) -> Callable[[], None]:
    """A function that ends the broker, in order or by SIGKILL, and starts it again; the clients notice."""

    def end_and_start() -> None:
        end = own_broker.kill if request.param == "kill" else own_broker.stop
        with ThreadPoolExecutor() as threads:
            ended = threads.submit(end)
            for connection in opened:
                notice_end(connection)
            assert ended.result() in (None, 0)
        assert logged_errors(own_broker) == []
        own_broker.start()

    return end_and_start
