"""Reads that the kernel gathers: of clients that stream, while there is too much to do, and never for long."""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from pamqp import commands

from broker.server.broker import Broker
from broker.server.clock import Clock
from broker.server.gathering import (
    GATHERED_OCTETS,
    IDLE_TURNS,
    IS_KNOWN,
    SMALL_OCTETS,
    STREAM_READS,
    TURN_MS,
    Stream,
)
from broker.server.heavy import TURN_OCTETS
from broker.server.surge import Surge
from broker.server.surging import SurgingConnection
from broker.server.tls import PeerTls
from protocol.methods import build, encode_method
from protocol.tables import FieldTable
from tests.faults.clients import HELLO
from tests.nodes import RunningNode
from tests.protocol.octets import message
from tests.server.wired import Client, Node, Wire, running_node
from tests.waiting import until

pytestmark = pytest.mark.skipif(not IS_KNOWN, reason="nothing is gathered here: NOT tested")

READS_TO_BE_BUSY = 600
DEFAULT_BUFFER_OCTETS = 200_000


class Socket:
    """A pair: what is put in at ``far`` gathers. Notes for how many octets the kernel is to wait."""

    def __init__(self, ends: ExitStack) -> None:
        self.awaited: list[int] = []
        self.near, self.far = socket.socketpair()
        for end in (self.near, self.far):
            ends.enter_context(end)
            end.setblocking(False)
        self.fileno = self.near.fileno

    def setsockopt(self, level: int, option: int, octets: int) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_RCVLOWAT)
        self.awaited.append(octets)


class SocketWire(Wire):
    """A transport with a socket below it."""

    def __init__(self, opened: Socket) -> None:
        super().__init__()
        self.socket = opened

    def get_extra_info(self, name: str) -> object:
        return self.socket if name == "socket" else super().get_extra_info(name)

    def is_reading(self) -> bool:
        return self.is_read


TLS = PeerTls("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, "", "", "", "")
Clients = Sequence[Client]
Connect = Callable[[], tuple[Client, Socket]]


def work(node: Node, client: Client, reads: int, *, share: float, body: bytes = b"body", beside: Clients = ()) -> None:
    """A read in each half of a millisecond, and of all ``beside``, while the loop uses such a share of a processor."""
    used_ms = node.clock.used_ms
    for number in range(reads):
        if number % 2:
            node.clock.advance(1)
            node.clock.used_ms = used_ms + round(number / 2 * share)
        for each in (client, *beside):
            each.publish(body, "nowhere")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path) as node:
        yield node


@pytest.fixture
def connect(node: Node) -> Iterator[Connect]:
    with ExitStack() as ends:

        def connected() -> tuple[Client, Socket]:
            client, opened = node.connect(make=SurgingConnection), Socket(ends)
            wire = client.wire = SocketWire(opened)
            client.connection._transport = wire  # type: ignore[assignment]
            return client, opened

        yield connected


def streaming(node: Node, connect: Connect, count: int) -> list[tuple[Client, Socket]]:
    """So many clients that are gathered."""
    streams = [connect() for _ in range(count)]
    first, *others = [client for client, _ in streams]
    work(node, first, READS_TO_BE_BUSY, share=1, beside=others)
    assert node.broker.gathering.is_busy
    assert len(node.broker.gathering.streams) == count
    return streams


@pytest.fixture
def stream(node: Node, connect: Connect) -> tuple[Client, Socket]:
    """A client that is gathered."""
    return streaming(node, connect, 1)[0]


def message_count(node: Node, queue: str) -> int:
    return node.broker.vhosts["/"].queues[queue].message_count


@pytest.fixture
def queue(node: Node) -> str:
    node.connect().declare("q")
    return "q"


def test_a_client_that_streams_is_read_every_turn_while_there_is_too_much_to_do(
    node: Node, stream: tuple[Client, Socket], queue: str
) -> None:
    _, opened = stream
    assert opened.awaited == [GATHERED_OCTETS]
    for turn in range(1, 2 * IDLE_TURNS):
        opened.far.sendall(message(b"one") + message(b"two"))
        assert message_count(node, queue) == 2 * turn - 2
        node.clock.advance(TURN_MS)
        assert message_count(node, queue) == 2 * turn
    assert opened.awaited == [GATHERED_OCTETS]


def test_a_client_that_has_sent_a_good_part_is_read_by_the_loop_and_gathered_on(
    node: Node, stream: tuple[Client, Socket], queue: str
) -> None:
    client, opened = stream
    client.feed(message(b"from the loop"))
    opened.far.sendall(message(b"gathered"))
    node.clock.advance(TURN_MS)
    assert message_count(node, queue) == 2
    assert opened.awaited == [GATHERED_OCTETS]


def test_a_part_of_a_message_waits_for_the_rest_of_it(node: Node, stream: tuple[Client, Socket], queue: str) -> None:
    client, opened = stream
    octets = message(b"in three parts")
    opened.far.sendall(octets[:20])
    node.clock.advance(TURN_MS)
    client.feed(octets[20:40])
    opened.far.sendall(octets[40:])
    node.clock.advance(TURN_MS)
    assert message_count(node, queue) == 1


def test_a_consumer_of_many_that_are_gathered_is_written_to_once(node: Node, connect: Connect, queue: str) -> None:
    streams = streaming(node, connect, 3)
    consumer = node.connect()
    consumer.send(commands.Basic.Consume, queue=queue, consumer_tag="c", no_ack=True)
    consumer.received()
    sent_count = consumer.connection.sent_count
    for _, opened in streams:
        opened.far.sendall(message(b"body"))
    node.clock.advance(TURN_MS)
    assert consumer.names() == ["Basic.Deliver"] * 3
    assert consumer.connection.sent_count == sent_count + 1


def test_others_have_their_turn_where_many_have_gathered_much(node: Node, connect: Connect, queue: str) -> None:
    octets = message(bytes(1000)) * (DEFAULT_BUFFER_OCTETS // 2000)
    streams = streaming(node, connect, 2 * TURN_OCTETS // len(octets) + 2)
    for _, opened in streams:
        opened.far.sendall(octets)
    count = len(streams) * (DEFAULT_BUFFER_OCTETS // 2000)
    node.clock.advance(TURN_MS)
    assert 0 < message_count(node, queue) < count
    node.turns.run()
    assert message_count(node, queue) == count


def test_a_client_that_is_not_read_is_not_read_from_what_it_gathered(
    node: Node, stream: tuple[Client, Socket], queue: str
) -> None:
    client, opened = stream
    client.connection.pause_reading("other clients")
    opened.far.sendall(message(b"body"))
    node.clock.advance(TURN_MS)
    assert message_count(node, queue) == 0
    client.connection.resume_reading("other clients")
    node.clock.advance(TURN_MS)
    assert message_count(node, queue) == 1


def test_the_end_of_a_client_is_left_to_the_loop(node: Node, stream: tuple[Client, Socket], queue: str) -> None:
    client, opened = stream
    opened.far.sendall(message(b"body"))
    opened.far.close()
    node.clock.advance(2 * TURN_MS)
    assert message_count(node, queue) == 1
    assert client.wire.is_open


def test_why_a_read_failed_is_remembered_for_the_log(node: Node, stream: tuple[Client, Socket]) -> None:
    client, opened = stream
    opened.near.send(b"never read")
    opened.far.close()  # With something unread, which is a reset.
    node.clock.advance(TURN_MS)
    assert client.connection.reason == f"[Errno {errno.ECONNRESET}] {os.strerror(errno.ECONNRESET)}"


def test_an_error_in_what_was_gathered_ends_that_client_alone(node: Node, connect: Connect, queue: str) -> None:
    (client, opened), (other, other_opened) = streaming(node, connect, 2)
    opened.far.sendall(message(b"body")[:-1] + b"x")
    other_opened.far.sendall(message(b"body"))
    node.clock.advance(TURN_MS)
    assert client.names() == ["Connection.Close"]
    assert message_count(node, queue) == 1
    assert other.names() == []


def test_what_waits_in_a_surge_comes_before_what_has_gathered(
    node: Node, stream: tuple[Client, Socket], queue: str
) -> None:
    client, opened = stream
    connection = client.connection
    assert isinstance(connection, SurgingConnection)
    connection._surge = Surge(node.broker.surges, node.broker.loop.call_soon, connection._receive)
    connection._surge._is_scattered = True  # As after a read of messages to many queues.
    inner = message(b"inner")
    outer = message(bytes(1000) + inner + bytes(500), b"other")
    node.connect().declare("other")
    at = outer.index(inner)
    request = build(commands.Exchange.Declare, exchange="amq.direct", exchange_type="direct", durable=True, nowait=True)
    requests = encode_method(1, request) * 300
    connection.data_received(message(bytes(100_000)) * 3 + message(b"warms") * 6 + requests + outer[:at])
    assert connection.is_surging
    opened.far.sendall(inner)
    node.clock.advance(TURN_MS)
    node.turns.run()
    node.clock.advance(TURN_MS)
    opened.far.sendall(outer[at + len(inner) :])
    node.clock.advance(TURN_MS)
    assert (message_count(node, queue), message_count(node, "other")) == (9, 1)


@pytest.mark.parametrize("presses_first", [True, False])
def test_who_publishes_to_a_queue_that_is_behind_waits_and_nobody_else(
    node: Node, connect: Connect, queue: str, presses_first: bool
) -> None:
    (first, opened), (second, second_opened) = streaming(node, connect, 2)
    arguments: FieldTable = {"x-max-length": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
    node.connect().declare("behind", arguments=arguments)
    enforcement = node.broker.vhosts["/"].queues["behind"].enforcement
    assert enforcement is not None
    enforcement._is_waiting = True  # As if dead letters had no room.
    read_first: object = next(iter(node.broker.gathering.streams)).client
    is_first = read_first is first.connection
    keys = [b"behind", b"q"] if is_first == presses_first else [b"q", b"behind"]
    opened.far.sendall(message(b"body", keys[0]))
    second_opened.far.sendall(message(b"body", keys[1]))
    node.clock.advance(TURN_MS)
    paused = [client.connection.is_paused for client in (first, second)]
    assert paused == [key == b"behind" for key in keys]


def test_turns_go_on_after_one_that_failed(node: Node, stream: tuple[Client, Socket], queue: str) -> None:
    _, opened = stream
    opened.far.sendall(message(b"body"))
    with patch.object(Broker, "_drain_touched", side_effect=RuntimeError("once")), pytest.raises(RuntimeError):
        node.clock.advance(TURN_MS)
    opened.far.sendall(message(b"body"))
    node.clock.advance(TURN_MS)
    assert message_count(node, queue) == 2


def test_the_loop_is_looked_at_by_time_where_reads_are_few(node: Node, connect: Connect, queue: str) -> None:
    streams = streaming(node, connect, 10)
    for _ in range(200 // TURN_MS):
        for _, opened in streams:
            opened.far.sendall(message(b"body"))
        node.clock.advance(TURN_MS)
    assert not node.broker.gathering.streams


def test_a_client_that_speaks_tls_is_read_at_once(node: Node, connect: Connect) -> None:
    client, opened = connect()
    client.connection.tls = TLS
    work(node, client, READS_TO_BE_BUSY, share=1)
    assert node.broker.gathering.is_busy
    assert opened.awaited == []


def test_nothing_is_gathered_while_the_loop_has_time_to_spare(node: Node, connect: Connect) -> None:
    client, opened = connect()
    work(node, client, 4 * READS_TO_BE_BUSY, share=0.4)
    assert not node.broker.gathering.is_busy
    assert opened.awaited == []


def test_a_client_that_waits_for_confirms_is_read_at_once(node: Node, connect: Connect) -> None:
    client, opened = connect()
    client.send(commands.Confirm.Select)
    work(node, client, READS_TO_BE_BUSY, share=1)
    assert node.broker.gathering.is_busy
    assert opened.awaited == []


def test_a_client_that_sends_much_at_a_time_is_read_at_once(node: Node, connect: Connect) -> None:
    client, opened = connect()
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


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each read of what has gathered, by loops that never have a moment to spare."""
    monkeypatch.setattr(Clock, "processor_ms", Clock.monotonic_ms)
    sizes: list[int] = []
    read = Stream.read

    def noted(stream: Stream) -> bytes:
        data = read(stream)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(Stream, "read", noted)
    return sizes


def test_what_the_kernel_gathered_arrives_whole_and_in_order(tmp_path: Path, reads: list[int]) -> None:
    count = 3000
    with RunningNode(tmp_path) as node, node.connect() as reader, node.connect() as writer:
        reading, writing = reader.channel(), writer.channel()
        reading.queue_declare("q")
        for number in range(count):
            writing.basic_publish("", "q", b"%d" % number)
        until(lambda: reading.queue_declare("q", passive=True).method.message_count == count, "all were published")
        bodies = [reading.basic_get("q", auto_ack=True)[2] for _ in range(count)]
    assert bodies == [b"%d" % number for number in range(count)]
    assert any(reads)


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_goes_while_it_is_gathered_has_gone(tmp_path: Path, reads: list[int], is_reset: bool) -> None:
    count = 3000
    with (
        RunningNode(tmp_path) as node,
        node.connect() as reader,
        socket.create_connection(("127.0.0.1", node.port)) as writer,
    ):
        reading = reader.channel()
        reading.queue_declare("q")
        writer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.sendall(HELLO + encode_method(1, commands.Channel.Open()))
        for _ in range(count):
            writer.sendall(message(b"body"))
        until(lambda: any(reads), "it is gathered")
        if is_reset:
            until(lambda: reading.queue_declare("q", passive=True).method.message_count == count, "all were published")
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
        else:
            writer.shutdown(socket.SHUT_WR)
        until(lambda: node.call(lambda broker: len(broker.connections)) == 1, "it has gone")
        assert reading.queue_declare("q", passive=True).method.message_count == count
