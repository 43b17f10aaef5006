"""A queue of 100,000 messages, at night of 10,000,000 and 20 GB, in a broker that may keep little of it in memory: it
comes back whole after a kill and after a stop, in order, and its room is given back when it is purged.

Promise P2. LEVERET_DEEP_COUNT and LEVERET_DEEP_OCTETS choose another depth.
"""

import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from pamqp import commands

from protocol.methods import build, encode_method
from tests.brokers import RunningBroker
from tests.faults.clients import log_in, read_until, resident_octets
from tests.protocol.octets import PERSISTENT, ack_frame, message
from tests.torture import count, measured, ran
from tests.waiting import until

COUNT: Final = int(os.environ.get("LEVERET_DEEP_COUNT", str(count(100_000, 10_000_000))))
BODY_OCTETS: Final = int(os.environ.get("LEVERET_DEEP_OCTETS", str(count(60, 2000))))
RESIDENT_OCTETS: Final = count(1 << 20, 64 << 20)
UNACKED: Final = count(20_000, 100_000)
CHUNK: Final = 500
NUMBER: Final = re.compile(rb"<(\d{9})>")
DELIVERY: Final = struct.pack(">HH", 60, 60)
ACK: Final = struct.pack(">HH", 60, 80)
ANSWER_S: Final = count(60, 1800)


@pytest.fixture
def own_broker(start_broker: Callable[..., RunningBroker], monkeypatch: pytest.MonkeyPatch) -> RunningBroker:
    """A broker with little room in memory, and one that may take its time to start."""
    monkeypatch.setattr("tests.brokers.START_S", float(ANSWER_S))
    return start_broker("--resident-octets", str(RESIDENT_OCTETS))


def opened(broker: RunningBroker) -> socket.socket:
    client = log_in(broker)
    client.settimeout(ANSWER_S)
    client.sendall(encode_method(1, build(commands.Channel.Open)))
    read_until(client, struct.pack(">HH", 20, 11))
    return client


def fill(broker: RunningBroker) -> None:
    """Publish COUNT messages with confirms, and wait for the last of these."""
    with closing(opened(broker)) as client:
        client.sendall(encode_method(1, build(commands.Queue.Declare, queue="deep", durable=True)))
        client.sendall(encode_method(1, build(commands.Confirm.Select)))
        read_until(client, struct.pack(">HH", 85, 11))
        confirmed = sent = 0
        tail = b""
        while confirmed < COUNT:
            while sent < COUNT and sent - confirmed < 20 * CHUNK:
                numbers = range(sent, min(sent + CHUNK, COUNT))
                client.sendall(
                    b"".join(message(b"<%09d>" % i + b"x" * (BODY_OCTETS - 11), b"deep", PERSISTENT) for i in numbers)
                )
                sent = numbers.stop
            octets = tail + client.recv(1 << 16)
            at = octets.rfind(ACK)
            if at >= 0 and at + 12 <= len(octets):
                confirmed = int.from_bytes(octets[at + 4 : at + 12])
            tail = octets[-24:]


def deliveries(client: socket.socket, prefetch: int) -> Iterator[list[int]]:
    """The numbers of the bodies as they come, some at a time."""
    client.sendall(
        encode_method(1, build(commands.Basic.Qos, prefetch_count=prefetch))
        + encode_method(1, build(commands.Basic.Consume, queue="deep"))
    )
    tail = b""
    while True:
        octets = client.recv(1 << 20)
        assert octets, "closed"
        octets = tail + octets
        found = [(int(each[1]), each.end()) for each in NUMBER.finditer(octets)]
        tail = octets[found[-1][1] :][-11:] if found else octets[-11:]
        if found:
            yield [number for number, _ in found]


def waiting(broker: RunningBroker) -> int:
    with closing(opened(broker)) as client:
        client.sendall(encode_method(1, build(commands.Queue.Declare, queue="deep", passive=True)))
        received = b""
        while (at := received.find(struct.pack(">HH", 50, 11) + b"\x04deep")) < 0 or len(received) < at + 18:
            received += client.recv(4096)
        return int.from_bytes(received[at + 9 : at + 13])


def log_octets(broker: RunningBroker) -> int:
    found = 0
    for path in (broker.data_dir / "log").glob("*.segment"):
        with suppress(FileNotFoundError):  # it was trimmed meanwhile
            found += path.stat().st_size
    return found


def timed_start(broker: RunningBroker, after: str) -> None:
    began_s = time.monotonic()
    broker.start()
    octets = log_octets(broker)
    measured("T16", f"ready {time.monotonic() - began_s:.1f} s after {after}, the log having {octets / 1e9:.2f} GB")
    measured("T16", f"{resident_octets(broker) >> 20} MiB resident then")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell in /proc")
def test_a_deep_queue_survives_a_kill_and_a_stop(own_broker: RunningBroker) -> None:
    began_s = time.monotonic()
    fill(own_broker)
    measured("T16", f"{COUNT / (time.monotonic() - began_s):,.0f} messages of {BODY_OCTETS} octets a second confirmed")
    measured("T16", f"{resident_octets(own_broker) >> 20} MiB resident with {COUNT:,} waiting")
    own_broker.kill()
    timed_start(own_broker, "a kill")
    assert waiting(own_broker) == COUNT

    # Many are delivered, none is acked, and the connection is gone: all go back to their places.
    with closing(opened(own_broker)) as client:
        numbers: list[int] = []
        for some in deliveries(client, prefetch=UNACKED if UNACKED < 65_536 else 0):
            numbers += some
            if len(numbers) >= UNACKED:
                break
        assert numbers == list(range(len(numbers)))
        assert waiting(own_broker) <= COUNT - UNACKED
    until(lambda: waiting(own_broker) == COUNT, "what was unacked does not come back")

    taken = 0
    with closing(opened(own_broker)) as client:
        for some in deliveries(client, prefetch=10 * CHUNK):
            assert some[0] == taken
            assert all(after == before + 1 for before, after in pairwise(some))
            taken += len(some)
            client.sendall(ack_frame(taken, True))
            if taken >= COUNT // 3:
                break
        client.sendall(encode_method(1, build(commands.Channel.Close, reply_code=200, class_id=0, method_id=0)))
        read_until(client, struct.pack(">HH", 20, 41))
    assert own_broker.stop() == 0
    timed_start(own_broker, "a stop")
    assert waiting(own_broker) == COUNT - taken

    with closing(opened(own_broker)) as client:
        client.sendall(encode_method(1, build(commands.Queue.Purge, queue="deep")))
        read_until(client, struct.pack(">HHI", 50, 31, COUNT - taken))
        # A purge comes to disk as acks do, soon; before a confirm that is asked for behind it.
        client.sendall(encode_method(1, build(commands.Queue.Declare, queue="barrier", durable=True)))
        client.sendall(encode_method(1, build(commands.Confirm.Select)) + message(b"", b"barrier", PERSISTENT))
        read_until(client, ACK)
    own_broker.kill()
    own_broker.start()
    assert waiting(own_broker) == 0
    until(lambda: log_octets(own_broker) <= 3 * (64 << 20), "the room is not given back")
    ran("T16", COUNT, f"messages of {BODY_OCTETS} octets in a queue, killed, stopped, purged")
