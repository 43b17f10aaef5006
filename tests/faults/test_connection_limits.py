"""The node's limits of connections: those too many are refused cleanly, and whoever is in goes on."""

import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pika
import pytest

from protocol.constants import PROTOCOL_HEADER
from tests.brokers import RunningBroker
from tests.waiting import DEADLINE_S, until


def test_descriptors_run_out(tmp_path: Path) -> None:
    """Those too many are closed as they come; who is connected, and the log, go on; later there is room again."""
    limit = 200
    with RunningBroker(
        tmp_path / "data",
        *("--segment-octets", str(1 << 20)),
        before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, limit)),
    ) as broker:
        found = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
        assert found == (limit, limit), "the limit is raised to the hard one"
        use_up_descriptors(broker, limit)


def use_up_descriptors(broker: RunningBroker, limit: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection, ExitStack() as stack:
        channel: Any = connection.channel()
        channel.queue_declare("kept", durable=True)
        channel.confirm_delivery()
        refused = 0
        for _ in range(2 * limit):
            client = stack.enter_context(closing(socket.create_connection(("127.0.0.1", broker.port), DEADLINE_S)))
            refused += not says_hello(client)
        assert 2 * limit - refused > limit // 2
        assert refused >= limit
        for _ in range(50):  # more than a segment of the log, so that files are opened
            channel.basic_publish("", "kept", bytes(1 << 16), pika.BasicProperties(delivery_mode=2))
        assert broker.wait_for_event("connections refused: nearly all descriptors are in use (ulimit -n)")
        stack.close()
        until(lambda: is_welcome(broker), "nobody is let in again")
        assert channel.queue_declare("kept", passive=True).method.message_count == 50


def says_hello(client: socket.socket) -> bool:
    """Whether the broker answers the protocol header, rather than hang up."""
    try:
        client.sendall(PROTOCOL_HEADER)
        return bool(client.recv(1))
    except OSError:
        return False


def is_welcome(broker: RunningBroker) -> bool:
    with closing(socket.create_connection(("127.0.0.1", broker.port), DEADLINE_S)) as client:
        return says_hello(client)


def test_connections_of_the_node_are_limited(start_broker: Callable[..., RunningBroker]) -> None:
    """RabbitMQ: ``connection_max``."""
    broker = start_broker("--connection-max", "3")
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(pika.BlockingConnection(pika.URLParameters(broker.url)))
        with pytest.raises(pika.exceptions.ProbableAccessDeniedError) as refused:
            pika.BlockingConnection(pika.URLParameters(broker.url))
        text = "(530) 'NOT_ALLOWED - connection refused: node connection limit (3) is reached'"
        assert text in str(refused.value)
    until(lambda: is_open_to_all(broker), "those that went are still counted")


def is_open_to_all(broker: RunningBroker) -> bool:
    try:
        pika.BlockingConnection(pika.URLParameters(broker.url)).close()
    except pika.exceptions.AMQPConnectionError:
        return False
    return True
