"""Frames that are nearly right, over real sockets to a broker in a process of its own, with a healthy client beside.

Few, beside what tests/server/test_frame_fuzz.py does without sockets. Promise P10. LEVERET_FUZZ_SEED sets another
course.
"""

import os
import select
import socket
from contextlib import closing
from pathlib import Path

import pytest
from pamqp import commands

from protocol.methods import build, encode_method
from tests.brokers import RunningBroker
from tests.crash.broker_log import logged_errors
from tests.faults.clients import log_in, unharmed
from tests.server.fuzzing import Fuzzer
from tests.torture import SLICE, measured, ran, share

FRAMES = share(10_000, 1_000_000)
FRAMES_A_CLIENT = 300
ANSWER_S = 0.001  # it may take longer; then some frames are sent that are not looked at any more
CLOSE = b"\x00\x0a\x00\x32"
SEED = int(os.environ.get("LEVERET_FUZZ_SEED", "1")) + SLICE

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell in /proc")


def fuzz(client: socket.socket, fuzzer: Fuzzer) -> int:
    """Send frames until they are many, or the broker has had enough; return how many."""
    sent = 0
    try:
        client.sendall(encode_method(1, build(commands.Channel.Open)))
        while sent < FRAMES_A_CLIENT:
            frames = fuzzer.frames()
            for octets in fuzzer.reads(b"".join(frames)):
                client.sendall(octets)
            sent += len(frames)
            while select.select([client], [], [], ANSWER_S)[0]:
                received = client.recv(1 << 16)
                if not received or CLOSE in received:
                    return sent
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was dropped
    return sent


def test_nothing_a_client_sends_is_an_internal_error_or_stops_another(own_broker: RunningBroker) -> None:
    fuzzer = Fuzzer(SEED)
    sent = clients = 0
    with unharmed(own_broker) as healthy:
        while sent < FRAMES:
            with closing(log_in(own_broker)) as client:
                sent += fuzz(client, fuzzer)
            clients += 1
    assert logged_errors(own_broker) == []
    assert own_broker.process.poll() is None
    ran("T12", sent, f"frames over sockets, of {clients:,} clients")
    measured("T12", f"over sockets: {healthy.told()}")
