"""Clients that are many, slow, greedy or gone: a healthy one beside them is served, and afterwards nothing is left.

Promise P10: descriptors are given back to the last one, resident memory returns to within 64 MiB.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from pamqp import commands

from protocol.methods import build, encode_method
from tests.brokers import RunningBroker
from tests.faults.clients import HELLO, descriptors, log_in, read_until, resident_octets, unharmed
from tests.protocol.octets import message
from tests.torture import count, measured, ran
from tests.waiting import DEADLINE_S

IDLE = count(1000, 10_000)
BUSY = count(100, 1000)
CHURN = count(2000, 200_000)

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell in /proc"),
    pytest.mark.usefixtures("slow_clients"),  # a long wait, which is over in test_slow_clients.py
]


@pytest.fixture
def broker(own_broker: RunningBroker, request: pytest.FixtureRequest) -> Iterator[RunningBroker]:
    """A broker beside which a healthy client works, and which is as it was before when the test is over."""
    with unharmed(own_broker) as healthy:
        yield own_broker
    measured("T15", f"{request.node.name}: {healthy.told()}")


def test_busy_connections_beside_many_idle_ones(broker: RunningBroker) -> None:
    """Each of the busy ones has a queue of its own, and gets what it publishes."""
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(closing(log_in(broker)))
        busy = [stack.enter_context(closing(log_in(broker))) for _ in range(BUSY)]
        for i, client in enumerate(busy):
            queue = f"busy {i}"
            client.sendall(
                encode_method(1, build(commands.Channel.Open))
                + encode_method(1, build(commands.Queue.Declare, queue=queue, exclusive=True))
                + encode_method(1, build(commands.Basic.Consume, queue=queue, no_ack=True))
            )
            read_until(client, b"\x00\x3c\x00\x15")
        for turn in range(count(10, 100)):
            for i, client in enumerate(busy):
                client.sendall(message(b"<%d-%d>" % (turn, i), b"busy %d" % i))
            for i, client in enumerate(busy):
                read_until(client, b"<%d-%d>" % (turn, i))
        assert descriptors(broker) >= IDLE + BUSY
        ran("T15", IDLE, "idle connections at a time")
        ran("T15", BUSY, "busy connections beside them")
        measured("T15", f"{resident_octets(broker) >> 20} MiB resident with {IDLE + BUSY:,} connections")


def test_connections_that_come_and_go(broker: RunningBroker) -> None:
    began_s = time.monotonic()
    for i in range(CHURN):
        if i % 3:
            log_in(broker).close()
        else:  # half-open, and gone in the middle of it
            with closing(socket.create_connection(("127.0.0.1", broker.port), DEADLINE_S)) as client:
                client.sendall(HELLO[: i % len(HELLO)])
    took_s = time.monotonic() - began_s
    ran("T15", CHURN, "connections that came and went")
    measured("T15", f"{CHURN / took_s:,.0f} connections a second came and went, one after the other")


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


def test_a_content_that_never_ends(broker: RunningBroker) -> None:
    """Unfinished messages go with their connections."""
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(closing(log_in(broker)))
            whole = message(bytes(1 << 20), b"nowhere")
            client.sendall(encode_method(1, build(commands.Channel.Open)) + whole[: len(whole) // 2])
