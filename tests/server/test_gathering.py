"""Reads that the kernel gathers: of clients that stream, while there is too much to do, and never for long."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pamqp import commands

from broker.server.clock import Clock
from broker.server.gathering import GATHERED_OCTETS, IDLE_TURNS, IS_KNOWN, SMALL_OCTETS, STREAM_READS, TURN_MS, Stream
from broker.server.surging import SurgingConnection
from tests.nodes import RunningNode
from tests.server.wired import Client, Node, Wire, running_node
from tests.waiting import until

pytestmark = pytest.mark.skipif(not IS_KNOWN, reason="nothing is gathered here: NOT tested")

READS_TO_BE_BUSY = 600


class Socket:
    """Notes for how many octets the kernel is to wait."""

    def __init__(self) -> None:
        self.awaited: list[int] = []

    def setsockopt(self, level: int, option: int, octets: int) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_RCVLOWAT)
        self.awaited.append(octets)


class SocketWire(Wire):
    """A transport with a socket below it."""

    def __init__(self) -> None:
        super().__init__()
        self.socket = Socket()

    def get_extra_info(self, name: str) -> object:
        return self.socket if name == "socket" else super().get_extra_info(name)


def connect(node: Node) -> tuple[Client, Socket]:
    client = node.connect(make=SurgingConnection)
    wire = client.wire = SocketWire()
    client.connection._transport = wire  # type: ignore[assignment]
    return client, wire.socket


def work(node: Node, client: Client, reads: int, *, share: float, body: bytes = b"body") -> None:
    """A read in each half of a millisecond, while the loop uses such a share of a processor."""
    used_ms = node.clock.used_ms
    for number in range(reads):
        if number % 2:
            node.clock.advance(1)
            node.clock.used_ms = used_ms + round(number / 2 * share)
        client.publish(body, "nowhere")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path) as node:
        yield node


@pytest.fixture
def stream(node: Node) -> tuple[Client, Socket]:
    """A client that is gathered."""
    client, opened = connect(node)
    work(node, client, READS_TO_BE_BUSY, share=1)
    assert node.broker.gathering.is_busy
    assert len(node.broker.gathering.streams) == 1
    return client, opened


def test_a_client_that_streams_is_gathered_while_there_is_too_much_to_do(
    node: Node, stream: tuple[Client, Socket]
) -> None:
    client, opened = stream
    del opened.awaited[:]
    client.publish(b"one more", "nowhere")
    assert opened.awaited in ([], [GATHERED_OCTETS])
    del opened.awaited[:]
    node.clock.advance(TURN_MS)
    assert opened.awaited == [1]
    client.publish(b"one more", "nowhere")
    assert opened.awaited == [1, GATHERED_OCTETS]


def test_nothing_is_gathered_while_the_loop_has_time_to_spare(node: Node) -> None:
    client, opened = connect(node)
    work(node, client, 4 * READS_TO_BE_BUSY, share=0.4)
    assert not node.broker.gathering.is_busy
    assert opened.awaited == []


def test_a_client_that_waits_for_confirms_is_read_at_once(node: Node) -> None:
    client, opened = connect(node)
    client.send(commands.Confirm.Select)
    work(node, client, READS_TO_BE_BUSY, share=1)
    assert node.broker.gathering.is_busy
    assert opened.awaited == []


def test_a_client_that_sends_much_at_a_time_is_read_at_once(node: Node) -> None:
    client, opened = connect(node)
    work(node, client, READS_TO_BE_BUSY, share=1, body=bytes(SMALL_OCTETS))
    assert node.broker.gathering.is_busy
    assert opened.awaited == []


def test_a_client_that_is_answered_is_read_at_once_from_then_on(node: Node, stream: tuple[Client, Socket]) -> None:
    client, opened = stream
    client.send(commands.Queue.Declare, queue="q")
    assert opened.awaited[-1] == 1
    assert not node.broker.gathering.streams
    del opened.awaited[:]
    work(node, client, STREAM_READS - 1, share=1)
    assert opened.awaited == []


def test_a_client_that_stops_is_forgotten_with_its_timer(node: Node, stream: tuple[Client, Socket]) -> None:
    _, opened = stream
    node.clock.advance(TURN_MS * (IDLE_TURNS + 2))
    assert opened.awaited[-1] == 1
    assert not node.broker.gathering.streams
    timers = node.clock.timer_count
    node.clock.advance(60_000)
    assert node.clock.timer_count <= timers


def test_all_are_read_at_once_when_there_is_time_again(node: Node, stream: tuple[Client, Socket]) -> None:
    client, opened = stream
    work(node, client, 4 * READS_TO_BE_BUSY, share=0.1)
    node.clock.advance(TURN_MS)
    assert not node.broker.gathering.is_busy
    assert not node.broker.gathering.streams
    assert opened.awaited[-1] == 1


def test_the_socket_of_one_that_has_gone_is_left_alone(node: Node, stream: tuple[Client, Socket]) -> None:
    client, opened = stream
    client.wire.close()
    del opened.awaited[:]
    node.clock.advance(TURN_MS)
    client.disconnect()
    node.clock.advance(100 * TURN_MS)
    assert opened.awaited == []
    assert not node.broker.gathering.streams


def test_what_the_kernel_gathered_arrives_whole_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "processor_ms", Clock.monotonic_ms)  # As if the loop never had a moment to spare.
    gathered: list[int] = []
    shut = Stream.shut

    def noted(stream: Stream, octets: int) -> None:
        gathered.append(octets)
        shut(stream, octets)

    monkeypatch.setattr(Stream, "shut", noted)
    count = 3000
    with RunningNode(tmp_path) as node, node.connect() as reader, node.connect() as writer:
        reading, writing = reader.channel(), writer.channel()
        reading.queue_declare("q")
        for number in range(count):
            writing.basic_publish("", "q", b"%d" % number)
        until(lambda: reading.queue_declare("q", passive=True).method.message_count == count, "all were published")
        bodies = [reading.basic_get("q", auto_ack=True)[2] for _ in range(count)]
    assert bodies == [b"%d" % number for number in range(count)]
    assert GATHERED_OCTETS in gathered
