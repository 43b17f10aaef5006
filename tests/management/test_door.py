"""The HTTP port itself: slow and hostile clients, requests in a row on one connection, a stop while clients wait."""

import http.client
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pika

from broker.management.door import CONNECTIONS_MAX
from tests.brokers import RunningBroker
from tests.management.conftest import Node
from tests.waiting import until

WAIT_S = 20.0
TOO_MANY = 50
CONFIRMED_S = 60.0
"""How long three confirms may take beside bad clients: a machine may be slow, but one that waits for them is not."""


def test_first_client_may_send_before_anybody_listens(start_broker: Callable[..., RunningBroker]) -> None:
    node = Node(start_broker("--management-port", "any", "--metrics-port", "none"))
    clients = [socket.create_connection(("127.0.0.1", node.http_port), WAIT_S) for _ in range(5)]
    request = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    for client in clients:
        client.sendall(request[:20])
    for client in clients:
        client.sendall(request[20:])
    for client in clients:
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        client.close()


def test_requests_follow_each_other_on_one_connection(node: Node) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=WAIT_S)
    for _ in range(3):
        connection.request("GET", "/health/ready")
        assert connection.getresponse().read().startswith(b'{"status":"ok"')
    connection.close()


def test_octets_that_are_no_http_are_refused(node: Node) -> None:
    for octets in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", b"AMQP\x00\x00\x09\x01\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", node.http_port), WAIT_S) as client:
            client.sendall(octets + b"\r\n\r\n")
            assert client.recv(12) in (b"HTTP/1.1 400", b"")


def test_head_without_end_is_refused(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.http_port), WAIT_S) as client:
        try:
            client.sendall(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 50_000)
            answer = client.recv(12)
        except ConnectionError:
            answer = b""
        assert answer in (b"HTTP/1.1 400", b"")


def test_broker_stops_while_http_clients_wait(start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", "any", "--metrics-port", "none")
    node = Node(broker)
    assert node.api.get("whoami")["name"] == "guest"
    idle = socket.create_connection(("127.0.0.1", node.http_port), WAIT_S)
    waiting = socket.create_connection(("127.0.0.1", node.http_port), WAIT_S)
    waiting.sendall(
        b"GET /api/queues/%2F/q/wait?messages=0&timeout=60 HTTP/1.1\r\nhost: x\r\n"
        b"authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n"
    )
    assert broker.stop() == 0
    idle.close()
    waiting.close()


def work(url: str, confirmed: list[bytes]) -> None:
    """Publish messages one by one, have each confirmed, and get it."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("work")
        channel.confirm_delivery()
        for body in (b"1", b"2", b"3"):
            channel.basic_publish("", "work", body)
            assert channel.basic_get("work", auto_ack=True)[2] == body
            confirmed.append(body)


def is_admitted(node: Node) -> bool:
    """Whether one more HTTP client gets an answer."""
    try:
        return node.api("GET", "/health/live").status == 200
    except (ConnectionError, http.client.HTTPException):
        return False


def test_slow_and_hostile_clients_keep_nobody_waiting(start_broker: Callable[..., RunningBroker]) -> None:
    """Half a head, half a body, an answer that nobody reads, and more clients than are admitted, all at once."""
    broker = start_broker("--management-port", "any", "--metrics-port", "none")
    node = Node(broker)
    login = b"authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n"
    for number in range(60):
        assert node.api.put(f"queues/%2F/long-name-of-a-queue-{number:0200d}") == 201
    beginnings = (
        b"GET /api/over",
        b"PUT /api/queues/%2F/q HTTP/1.1\r\nhost: x\r\n" + login + b'content-length: 100\r\n\r\n{"dur',
        (b"GET /api/queues HTTP/1.1\r\nhost: x\r\n" + login + b"\r\n") * 20,
    )
    hostile: list[socket.socket] = []
    try:
        for number in range(CONNECTIONS_MAX + TOO_MANY):
            client = socket.create_connection(("127.0.0.1", node.http_port), WAIT_S)
            hostile.append(client)
            with suppress(ConnectionError):  # Those who are too many are hung up on.
                client.sendall(beginnings[0 if number % 15 else number // 15 % 3])
        for client in hostile[CONNECTIONS_MAX:]:
            with suppress(ConnectionError):
                assert client.recv(1) == b""
        confirmed: list[bytes] = []
        working = threading.Thread(target=work, args=(broker.url, confirmed), daemon=True)
        working.start()
        working.join(CONFIRMED_S)
        assert confirmed == [b"1", b"2", b"3"]
        for client in hostile[-TOO_MANY * 2 :]:
            client.close()
        until(lambda: is_admitted(node), "nobody is admitted where others have gone")
        assert node.api.get("queues/%2F/work")["messages"] == 0
    finally:
        for client in hostile:
            client.close()
    assert node.api.get("health/checks/alarms") == {"status": "ok"}
    assert broker.stop() == 0
