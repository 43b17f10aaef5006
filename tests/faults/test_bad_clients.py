"""Clients that are many, slow, greedy or gone: a healthy one beside them is served, and afterwards nothing is left.

Promise P10: descriptors are given back to the last one, resident memory returns to within 64 MiB.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pika
import pytest
from pamqp import commands

from protocol.constants import PROTOCOL_HEADER
from protocol.methods import build, encode_method
from tests.brokers import RunningBroker
from tests.protocol.octets import message
from tests.torture import count

DEADLINE_S = 60.0
ROOM_OCTETS = 64 << 20
CONNECTIONS = count(1000, 10_000)
CHURN = count(2000, 200_000)
STALL_S = count(2, 600)
HELLO = PROTOCOL_HEADER + b"".join(
    encode_method(0, method)
    for method in (
        commands.Connection.StartOk(client_properties={}, mechanism="PLAIN", response="\0guest\0guest", locale="en_US"),
        build(commands.Connection.TuneOk, channel_max=2047, frame_max=131_072, heartbeat=0),
        commands.Connection.Open(virtual_host="/"),
    )
)
OPEN_OK = b"\x00\x0a\x00\x29"

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell in /proc")


class Healthy(threading.Thread):
    """Publishes and gets, one message after the other, and notes how long the slowest round took."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.longest_s = 0.0
        self.rounds = 0
        self.failure: Exception | None = None
        self._ends = threading.Event()

    def run(self) -> None:
        try:
            with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
                channel = connection.channel()
                channel.queue_declare("healthy", exclusive=True)
                while not self._ends.is_set():
                    began_s = time.monotonic()
                    channel.basic_publish("", "healthy", b"%d" % self.rounds)
                    body = channel.basic_get("healthy", auto_ack=True)[2]
                    assert body == b"%d" % self.rounds
                    self.longest_s = max(self.longest_s, time.monotonic() - began_s)
                    self.rounds += 1
        except Exception as failure:  # noqa: BLE001  told by finish
            self.failure = failure

    def finish(self) -> None:
        self._ends.set()
        self.join(DEADLINE_S)
        assert self.failure is None
        assert self.rounds > 10
        # A second, for this machine has others to serve; what the broker itself may take is in test_frame_fuzz.py.
        assert self.longest_s < 1.0


def descriptors(broker: RunningBroker) -> int:
    return len(list(Path(f"/proc/{broker.pid}/fd").iterdir()))


def resident_octets(broker: RunningBroker) -> int:
    return int(Path(f"/proc/{broker.pid}/statm").read_text().split()[1]) * 4096


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def log_in(broker: RunningBroker) -> socket.socket:
    """A socket on which a connection is open."""
    client = socket.create_connection(("127.0.0.1", broker.port), DEADLINE_S)
    client.sendall(HELLO)
    received = b""
    while OPEN_OK not in received:
        more = client.recv(4096)
        assert more, "closed"
        received += more
    return client


@pytest.fixture
def broker(own_broker: RunningBroker) -> Iterator[RunningBroker]:
    """A broker beside which a healthy client works, and which is as it was before when the test is over."""
    with closing(log_in(own_broker)):
        pass  # what is made once, is made
    healthy = Healthy(own_broker.url)
    healthy.start()
    until(lambda: healthy.rounds > 0, "the healthy client does not start")
    before, resident_before = descriptors(own_broker), resident_octets(own_broker)
    yield own_broker
    until(lambda: descriptors(own_broker) <= before, "descriptors are leaked")
    until(lambda: resident_octets(own_broker) < resident_before + ROOM_OCTETS, "memory is not given back")
    healthy.finish()


def test_many_idle_connections(broker: RunningBroker) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(closing(log_in(broker)))
        assert descriptors(broker) >= CONNECTIONS


def test_connections_that_come_and_go(broker: RunningBroker) -> None:
    for i in range(CHURN):
        if i % 3:
            log_in(broker).close()
        else:  # half-open, and gone in the middle of it
            with closing(socket.create_connection(("127.0.0.1", broker.port), DEADLINE_S)) as client:
                client.sendall(HELLO[: i % len(HELLO)])


def test_all_channels_of_a_connection(broker: RunningBroker) -> None:
    for _ in range(count(3, 50)):
        with closing(log_in(broker)) as client:
            client.sendall(b"".join(encode_method(i, build(commands.Channel.Open)) for i in range(1, 2048)))
            received = b""
            while received.count(b"\x00\x14\x00\x0b") < 2047:
                received += client.recv(65536)
            client.sendall(encode_method(65000, build(commands.Channel.Open)))
            while b"\x00\x0a\x00\x32" not in received[-2000:]:
                more = client.recv(65536)
                assert more
                received += more


def test_garbage(broker: RunningBroker) -> None:
    for i in range(count(200, 20_000)):
        with closing(socket.create_connection(("127.0.0.1", broker.port), DEADLINE_S)) as client:
            client.sendall((b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x01\x01\x00\x09", HELLO[:8] + b"\xff" * 500)[i % 3])
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass


def test_a_consumer_that_does_not_read(broker: RunningBroker) -> None:
    """It is sent no more than its buffers hold; the rest waits in the queue, and comes when it reads on."""
    octets, messages = 1000, 100_000
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel: Any = connection.channel()
        channel.queue_declare("slow", auto_delete=False)
        with closing(log_in(broker)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            slow.sendall(
                encode_method(1, build(commands.Channel.Open))
                + encode_method(1, build(commands.Basic.Consume, queue="slow", no_ack=True))
            )
            for _ in range(messages):
                channel.basic_publish("", "slow", b"x" * octets)
            waiting = channel.queue_declare("slow", passive=True).method.message_count
            assert waiting > messages * 0.7, "what was sent to it is held somewhere"
            time.sleep(STALL_S)  # this long it reads nothing, and nothing may change
            assert channel.queue_declare("slow", passive=True).method.message_count == waiting
            received = 0
            while received < messages * (octets + 8):
                received += len(slow.recv(1 << 20))
        channel.queue_delete("slow")


def test_a_content_that_never_ends(broker: RunningBroker) -> None:
    """Unfinished messages go with their connections."""
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(closing(log_in(broker)))
            whole = message(bytes(1 << 20), b"nowhere")
            client.sendall(encode_method(1, build(commands.Channel.Open)) + whole[: len(whole) // 2])
