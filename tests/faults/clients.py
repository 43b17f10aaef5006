"""Clients over raw sockets, a healthy one to work beside them, and the count of a broker's descriptors and memory."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pika
from pamqp import commands

from protocol.constants import PROTOCOL_HEADER
from protocol.methods import build, encode_method
from tests.brokers import RunningBroker
from tests.waiting import DEADLINE_S, until

ROOM_OCTETS = 64 << 20
OPEN_OK = b"\x00\x0a\x00\x29"


def hello(heartbeat_s: int = 0) -> bytes:
    """All that a client says until its connection is open."""
    return PROTOCOL_HEADER + b"".join(
        encode_method(0, method)
        for method in (
            commands.Connection.StartOk(
                client_properties={}, mechanism="PLAIN", response="\0guest\0guest", locale="en_US"
            ),
            build(commands.Connection.TuneOk, channel_max=2047, frame_max=131_072, heartbeat=heartbeat_s),
            commands.Connection.Open(virtual_host="/"),
        )
    )


HELLO = hello()


class Healthy(threading.Thread):
    """Publishes and gets, one message after the other, and notes how long the slowest round took."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.rounds = 0
        self.took_s: list[float] = []
        self.failure: Exception | None = None
        self.pause_s = 0.0  # between rounds
        self._ends = threading.Event()

    def run(self) -> None:
        try:
            with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
                channel = connection.channel()
                channel.queue_declare("healthy", exclusive=True)
                while not self._ends.wait(self.pause_s):
                    began_s = time.monotonic()
                    channel.basic_publish("", "healthy", b"%d" % self.rounds)
                    body = channel.basic_get("healthy", auto_ack=True)[2]
                    assert body == b"%d" % self.rounds
                    self.took_s.append(time.monotonic() - began_s)
                    self.rounds += 1
        except Exception as failure:  # noqa: BLE001  told by finish
            self.failure = failure

    def told(self) -> str:
        """How long its rounds took."""
        took_ms = sorted(1000 * each for each in self.took_s)
        p99 = took_ms[len(took_ms) * 99 // 100]
        return f"a healthy client's {len(took_ms):,} rounds took p99 {p99:.1f} ms, the slowest {took_ms[-1]:.0f} ms"

    def finish(self) -> None:
        self._ends.set()
        self.join(DEADLINE_S)
        assert self.failure is None
        assert self.rounds > 10
        # How promptly it was served is told and not judged, for this machine has others to serve, too; what the broker
        # itself may take is in tests/server/test_frame_fuzz.py.
        assert max(self.took_s) < DEADLINE_S


def descriptors(broker: RunningBroker) -> int:
    return len(list(Path(f"/proc/{broker.pid}/fd").iterdir()))


def resident_octets(broker: RunningBroker) -> int:
    return int(Path(f"/proc/{broker.pid}/statm").read_text().split()[1]) * 4096


def log_in(broker: RunningBroker, greeting: bytes = HELLO) -> socket.socket:
    """A socket on which a connection is open."""
    return log_in_at(broker.port, greeting)


def log_in_at(port: int, greeting: bytes = HELLO) -> socket.socket:
    """As ``log_in``, for a process that only knows where the broker listens."""
    client = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
    client.sendall(greeting)
    read_until(client, OPEN_OK)
    return client


def read_until(client: socket.socket, octets: bytes) -> None:
    """Read until these octets have come, and what came with them."""
    received = b""
    while octets not in received:
        more = client.recv(65536)
        assert more, "closed"
        received += more


@contextmanager
def unharmed(broker: RunningBroker) -> Iterator[Healthy]:
    """A healthy client works beside, and the broker is as it was before when the test is over."""
    with closing(log_in(broker)):
        pass  # what is made once, is made
    healthy = Healthy(broker.url)
    healthy.start()
    until(lambda: healthy.rounds > 0, "the healthy client does not start")
    before, resident_before = descriptors(broker), resident_octets(broker)
    yield healthy
    until(lambda: descriptors(broker) <= before, "descriptors are leaked")
    until(lambda: resident_octets(broker) < resident_before + ROOM_OCTETS, "memory is not given back")
    healthy.finish()
