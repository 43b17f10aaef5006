"""Frames that are nearly right: every method with fields changed, cut, repeated, in the wrong order, of the wrong size.

Whatever comes, the broker answers with an error of the protocol or drops the client, and never with one of its own;
a healthy client beside it is served all the time, and promptly. Promise P10. LEVERET_FUZZ_SEED sets another course.
"""

import gc
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pamqp import commands

from protocol.methods import decode_method
from tests.server.fuzzing import Fuzzer
from tests.server.wired import Client, Node, running_node
from tests.torture import SLICE, measured, ran, share

FRAMES = share(200_000, 50_000_000)
SEED = int(os.environ.get("LEVERET_FUZZ_SEED", "1")) + SLICE
PAUSE_LIMIT_S = 0.1  # of the broker's own time for one read, during which the others wait


@pytest.fixture(autouse=True)
def _errors_only() -> Iterator[None]:
    """Every client's end is worth a line to an operator, but not tens of thousands of them here."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    gc.collect()
    gc.freeze()  # as the broker does at its start: what other tests left in this process is no pause of the broker's
    with running_node(tmp_path / "data", durability="memory") as node:
        yield node
    gc.unfreeze()


def internal_error(client: Client) -> bool:
    """Whether the broker has closed with an error of its own."""
    written = bytes(client.wire.written)
    client.wire.written = bytearray()
    while len(written) >= 8:
        kind, size = written[0], int.from_bytes(written[3:7])
        payload, written = written[7 : 7 + size], written[8 + size :]
        if kind == 1 and payload[:4] == b"\x00\x0a\x00\x32":
            method = decode_method(payload, from_server=True)
            assert isinstance(method, commands.Connection.Close)
            return method.reply_code == 541
    return False


def test_nothing_a_client_sends_is_an_internal_error_or_stops_another(node: Node) -> None:
    healthy = node.connect()
    healthy.send(commands.Queue.Declare, queue="healthy", exclusive=True)
    healthy.received()
    fuzzer = Fuzzer(SEED)
    sent = clients = 0
    longest_s = 0.0
    while sent < FRAMES:
        client = node.connect()
        clients += 1
        history: list[bytes] = []
        while client.wire.is_open and not client.connection._is_closing and len(history) < 300:
            frames = fuzzer.frames()
            sent += len(frames)
            ran("T12", len(frames), "frames, no socket between")
            for read in fuzzer.reads(b"".join(frames)):
                if not client.wire.is_open:
                    break
                history.append(read)
                if client.wire.is_read:
                    began_s = time.thread_time()
                    client.feed(read)
                    longest_s = max(longest_s, time.thread_time() - began_s)
            assert not internal_error(client), f"seed {SEED}, client {clients}: {b''.join(history[-8:]).hex()}"
            healthy.publish(b"beside %d" % sent, "healthy")
            healthy.send(commands.Basic.Get, queue="healthy", no_ack=True)
            assert healthy.names() == ["Basic.GetOk"]
            assert healthy.bodies.pop() == b"beside %d" % sent
        client.disconnect()  # where the broker has closed it, too: a transport tells of its end in any case
        if clients % 200 == 0:
            node.settle()
    assert longest_s < PAUSE_LIMIT_S
    assert clients > FRAMES / 1000
    measured("T12", f"longest processor time for one read {longest_s * 1000:.0f} ms")
    assert len(node.broker.connections) == 1, "connections that are gone are forgotten"
