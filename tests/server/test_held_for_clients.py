"""What a client can make the broker hold for it has limits: replies unread, messages unfinished, names used once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pamqp import commands

from broker.server import connection as connections
from protocol.methods import build, encode_method
from tests.protocol.octets import message
from tests.server.wired import Client, Node, running_node

MIB = 1 << 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path) as found:
        yield found


class SlowWire:
    """Makes a client's transport one that nobody reads, until ``read``."""

    def __init__(self, client: Client) -> None:
        self.client = client
        wire = client.wire
        wire.get_write_buffer_size = lambda: len(wire.written)  # type: ignore[method-assign]
        self._write = wire.write
        wire.write = self.write  # type: ignore[method-assign]

    def write(self, octets: bytes) -> None:
        self._write(octets)
        if len(self.client.wire.written) > MIB and self.client.connection.is_writable:
            self.client.connection.pause_writing()

    def read(self) -> list[str]:
        """The client reads all; return the names of the methods."""
        names = self.client.names()
        if not self.client.connection.is_writable:
            self.client.connection.resume_writing()
        self.client.node.turns.run()
        return names


def test_gets_in_one_read_wait_until_their_replies_are_read(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_LIMIT_OCTETS", 4 * MIB)
    client = node.connect()
    client.declare("q")
    for _ in range(40):
        client.publish(bytes(MIB))
    slow = SlowWire(client)
    gets = encode_method(1, build(commands.Basic.Get, queue="q", no_ack=True)) * 40
    client.feed(gets + encode_method(1, build(commands.Queue.Declare, queue="last")))
    assert len(client.wire.written) < 8 * MIB
    assert not client.wire.is_read
    names: list[str] = []
    while "Queue.DeclareOk" not in names:
        found = slow.read()
        assert found, "nothing more comes"
        names += found
    assert names == ["Basic.GetOk"] * 40 + ["Queue.DeclareOk"]
    assert client.wire.is_read


def test_replies_to_a_client_that_does_not_read_are_dropped(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_LIMIT_OCTETS", 4 * MIB)
    asking, answering = node.connect(), node.connect()
    asking.send(commands.Basic.Consume, queue="amq.rabbitmq.reply-to", no_ack=True)
    asking.names()
    answering.declare("requests")
    asking.feed(message(b"?", b"requests", properties=b"\x02\x00\x15amq.rabbitmq.reply-to"))
    slow = SlowWire(asking)
    (token,) = node.broker.vhosts["/"].reply_queues
    for _ in range(40):
        answering.publish(bytes(MIB), token)
    assert len(asking.wire.written) < 8 * MIB
    slow.read()
    answering.publish(b"still there", token)
    assert slow.read() == ["Basic.Deliver"]
    assert asking.bodies[-1] == b"still there"


def test_alarm_stops_a_message_that_is_not_finished(node: Node) -> None:
    client = node.connect()
    client.declare("q")
    node.broker.raise_alarm("memory")
    whole = message(bytes(300_000), b"q")
    client.feed(whole[: len(whole) // 2])
    assert not client.wire.is_read
    node.broker.clear_alarm("memory")
    client.feed(whole[len(whole) // 2 :])
    client.send(commands.Basic.Get, queue="q", no_ack=True)
    assert client.names() == ["Basic.GetOk"]


def test_long_headers_are_not_remembered(node: Node) -> None:
    client = node.connect()
    client.declare("q")
    reader = client.connection._reader
    table = b"\x01hS" + (50_000).to_bytes(4) + b"x" * 50_000
    for number in range(5):
        for _ in range(3):
            client.feed(message(b"body", b"%d" % number, properties=b"\x20\x00" + len(table).to_bytes(4) + table))
    assert sum(len(known.prefix) for known in reader._known.values()) < 5000


def test_routes_of_names_that_are_forgotten_are_forgotten_too(node: Node) -> None:
    client = node.connect()
    client.declare("q")
    channel = client.connection.channels[1]
    most = 0
    for first in range(0, 5000, 250):
        client.feed(b"".join(message(b"body", b"%d" % number) for number in range(first, first + 250)))
        most = max(most, len(channel.routes))
    assert most <= 1024
    client.connection._reader.on_forget()
    assert not channel.routes


def test_priorities_of_consumers_that_have_gone_are_forgotten(node: Node) -> None:
    client = node.connect()
    client.declare("q")
    for priority in range(200):
        client.send(commands.Basic.Consume, queue="q", consumer_tag="c", arguments={"x-priority": priority})
        client.send(commands.Basic.Cancel, consumer_tag="c")
    line = node.broker.vhosts["/"].queues["q"].line
    assert len(line._by_priority) == 1
    client.names()
    client.send(commands.Basic.Consume, queue="q", consumer_tag="c", no_ack=True)
    client.publish(b"body")
    assert client.names() == ["Basic.ConsumeOk", "Basic.Deliver"]


def test_declarations_wait_for_the_disk_like_publishes(node: Node) -> None:
    client = node.connect()
    declares = [
        encode_method(
            1,
            build(
                commands.Exchange.Declare,
                exchange=f"e{i}",
                exchange_type="direct",
                durable=True,
                arguments={"n": "y" * 100_000},
            ),
        )
        for i in range(400)
    ]
    client.feed(b"".join(declares))
    assert node.store.unwritten_octets > 32 * MIB
    assert not client.wire.is_read
    node.settle()
    assert client.wire.is_read
    assert node.store.unwritten_octets < MIB
    assert client.names() == ["Exchange.DeclareOk"] * 400
