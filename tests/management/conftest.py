"""A broker with its HTTP API, shared by the tests of a file's worth; names are the test's own virtual host."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pytest

from tests.brokers import RunningBroker
from tests.management.client import Api
from tests.management.judges import real_rabbitmq

MANAGED = ("--management-port", "any", "--metrics-port", "none")
_numbers = count()


class Node:
    """A running broker and its HTTP port."""

    def __init__(self, broker: RunningBroker) -> None:
        self.broker = broker
        self.http_port = int(broker.wait_for_event("HTTP")["port"])
        self.api = Api(self.http_port)


@contextmanager
def deep_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A broker that keeps little of its queues in memory."""
    data_dir: Path = tmp_path_factory.mktemp("deep") / "data"
    with RunningBroker(data_dir, "--resident-octets", "1048576", *MANAGED) as broker:
        yield Node(broker)


@contextmanager
def channel_of(node: Node) -> Iterator[Any]:
    """A channel of pika's."""
    with pika.BlockingConnection(pika.URLParameters(node.broker.url)) as connection:
        yield connection.channel()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    data_dir: Path = tmp_path_factory.mktemp("managed") / "data"
    with RunningBroker(data_dir, *MANAGED) as broker:
        yield Node(broker)


@pytest.fixture(scope="session")
def judge() -> Iterator[tuple[Api, str]]:
    """The RabbitMQ of this machine: its HTTP API, and its AMQP URL; for all tests that want one that is not empty."""
    with real_rabbitmq() as found:
        yield found


@pytest.fixture
def api(node: Node) -> Api:
    return node.api


@pytest.fixture
def vhost(api: Api) -> Iterator[str]:
    """A virtual host of the test's own; its name has a slash in it."""
    name = f"test/{next(_numbers)}"
    assert api.put(f"vhosts/{quote(name, safe='')}") == 201
    yield name
    api.delete(f"vhosts/{quote(name, safe='')}")


@pytest.fixture
def place(vhost: str) -> str:
    """The same, as a segment of a path."""
    return quote(vhost, safe="")


@pytest.fixture
def connect(node: Node, vhost: str) -> Iterator[Callable[..., Any]]:
    """A function that opens an AMQP connection to the virtual host."""
    opened: list[Any] = []

    def connect(**parameters: Any) -> Any:
        wanted = pika.ConnectionParameters("127.0.0.1", node.broker.port, vhost, **parameters)
        opened.append(pika.BlockingConnection(wanted))
        return opened[-1]

    yield connect
    for connection in opened:
        if connection.is_open:
            connection.close()


@pytest.fixture
def make_user(api: Api) -> Iterator[Callable[..., Api]]:
    """A function that makes a user with tags, and permissions in a virtual host; it returns the API as that user."""
    made: list[str] = []

    def make(
        tags: str = "", vhost: str | None = None, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> Api:
        name = f"user{next(_numbers)}"
        made.append(name)
        assert api.put(f"users/{name}", {"password": "secret", "tags": tags}) == 201
        if vhost is not None:
            patterns = {"configure": configure, "write": write, "read": read}
            assert api.put(f"permissions/{quote(vhost, safe='')}/{name}", patterns) == 201
        return api.as_user(name, "secret")

    yield make
    for name in made:
        api.delete(f"users/{name}")
