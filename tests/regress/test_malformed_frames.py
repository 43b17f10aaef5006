"""rabbitmq-server#17101, #17092, #15703: frames with impossible sizes crashed the process that served the connection.

Each case here is a client of its own, before and after the handshake: it is answered with an error of the protocol or
hung up on, never with an internal error (541), and a client beside it does not notice.
"""

from collections.abc import Iterator
from struct import pack

import pytest
from pamqp import commands

from protocol.constants import PROTOCOL_HEADER
from tests.protocol.octets import PLAIN, frame, publish_frame, short
from tests.server.wired import Client, Node, running_node

CONTENT = pack(">HHQ", 60, 0, 5)
CASES = {
    "eight zeroes": bytes(8),
    "size 0": pack(">BHI", 1, 1, 0) + b"\xce",
    "size below its class and method": frame(1, 1, b"\x00\x3c"),
    "size of 2^31": pack(">BHI", 1, 1, 1 << 31),
    "size of 2^32-1": pack(">BHI", 1, 1, (1 << 32) - 1) + bytes(100),
    "one octet over the largest frame": pack(">BHI", 3, 1, 131_065) + bytes(131_065) + b"\xce",
    "wrong end": frame(8, 0, b"")[:-1] + b"\xcd",
    "unknown type": frame(5, 1, b"abcd"),
    "unknown class": frame(1, 1, pack(">HH", 999, 1)),
    "unknown method": frame(1, 1, pack(">HH", 50, 99)),
    "method of the server": frame(1, 1, pack(">HH", 60, 60) + short(b"t") + bytes(9) + short(b"") + short(b"k")),
    "text longer than its frame": frame(1, 1, pack(">HHH", 50, 10, 0) + b"\xffq"),
    "table longer than its frame": frame(1, 1, pack(">HHH", 50, 10, 0) + short(b"q") + b"\x02" + pack(">I", 1 << 30)),
    "unknown field": frame(1, 1, pack(">HHH", 50, 10, 0) + short(b"q") + b"\x02" + pack(">I", 3) + short(b"a") + b"?"),
    "name that is no UTF-8": frame(1, 1, pack(">HHH", 50, 10, 0) + short(b"\xff\xfe") + b"\x02" + bytes(4)),
    "header without a publish": frame(2, 1, CONTENT + PLAIN),
    "body without a publish": frame(3, 1, b"abcde"),
    "header of another class": publish_frame() + frame(2, 1, pack(">HHQ", 50, 0, 5) + PLAIN),
    "header cut short": publish_frame() + frame(2, 1, CONTENT[:7]),
    "header without its flags": publish_frame() + frame(2, 1, CONTENT),
    "flags without their values": publish_frame() + frame(2, 1, CONTENT + b"\xff\xfc"),
    "flags that go on and on": publish_frame() + frame(2, 1, CONTENT + b"\x00\x01" * 50),
    "body of 2^64-1": publish_frame() + frame(2, 1, pack(">HHQ", 60, 0, (1 << 64) - 1) + PLAIN),
    "body longer than told": publish_frame() + frame(2, 1, CONTENT + PLAIN) + frame(3, 1, b"abcdefgh"),
    "method in place of a body": publish_frame() + frame(2, 1, CONTENT + PLAIN) + publish_frame(),
    "heartbeat on a channel": frame(8, 1, b""),
    "heartbeat with a payload": frame(8, 0, b"abc"),
    "channel that is not open": frame(1, 7, pack(">HH", 90, 10)),
    "method on channel 0": frame(1, 0, pack(">HH", 90, 10)),
    "ack of 2^64-1": frame(1, 1, pack(">HHQB", 60, 80, (1 << 64) - 1, 1)),
}


def feed(client: Client, octets: bytes, size: int) -> None:
    """Send it in pieces of ``size``, as long as somebody reads."""
    while octets and client.wire.is_read and client.wire.is_open:
        client.feed(octets[:size])
        octets = octets[size:]


def assert_no_fault_of_ours(client: Client) -> None:
    for method in client.received():
        if isinstance(method, commands.Connection.Close | commands.Channel.Close):
            assert 300 <= (method.reply_code or 0) < 541, method.reply_text


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("node") / "data", durability="memory") as node:
        yield node


def beside(node: Node) -> Client:
    healthy = node.connect()
    healthy.declare("healthy", exclusive=True)
    healthy.declare("q", exclusive=True)
    return healthy


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_and_nobody_else_notices(node: Node, name: str) -> None:
    healthy = beside(node)
    for size in (1 << 20, 1, 7):
        client = node.connect()
        feed(client, CASES[name], size if len(CASES[name]) < 10_000 else 1 << 20)
        assert_no_fault_of_ours(client)
        client.disconnect()
    healthy.send(commands.Basic.Get, queue="q", no_ack=True)
    assert healthy.names() == ["Basic.GetEmpty"], "half a message was routed"
    healthy.feed(publish_frame(key=b"healthy") + frame(2, 1, CONTENT + PLAIN) + frame(3, 1, b"hello"))
    healthy.send(commands.Basic.Get, queue="healthy", no_ack=True)
    assert healthy.names() == ["Basic.GetOk"]
    healthy.disconnect()


@pytest.mark.parametrize("name", CASES)
def test_so_it_is_before_anybody_has_logged_in(node: Node, name: str) -> None:
    healthy = beside(node)
    for octets in (CASES[name], PROTOCOL_HEADER[:7] + CASES[name]):
        client = Client(node)
        feed(client, octets, 1 << 20)
        assert_no_fault_of_ours(client)
        client.disconnect()
    healthy.send(commands.Basic.Get, queue="healthy", no_ack=True)
    assert healthy.names() == ["Basic.GetEmpty"]
    healthy.disconnect()
