"""A client that sends requests by the thousand: other clients get their turn, and nothing is lost or changes places."""

from pathlib import Path
from typing import Any, cast

from pamqp import commands

from broker.server.limits import METHODS_A_TURN
from protocol.methods import build, encode_method
from tests.protocol.octets import message
from tests.server.wired import Client, running_node

COUNT = 3 * METHODS_A_TURN + 7


def requests(first: int, stop: int) -> bytes:
    """Declares of queues, whose names the replies repeat."""
    return b"".join(
        encode_method(1, build(commands.Queue.Declare, queue=f"q{number}", exclusive=True))
        for number in range(first, stop)
    )


def names(client: Client) -> list[str]:
    return [str(cast(commands.Queue.DeclareOk, method).queue) for method in client.received()]


def expected(first: int, stop: int) -> list[str]:
    return [f"q{number}" for number in range(first, stop)]


def test_another_client_is_served_between_the_turns(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        busy, other = node.connect(), node.connect()
        busy.connection.data_received(requests(0, COUNT))
        node.broker.finish_read()
        assert names(busy) == expected(0, METHODS_A_TURN)
        assert not busy.wire.is_read
        other.connection.data_received(encode_method(1, build(commands.Queue.Declare, queue="other")))
        assert names(other) == ["other"]
        node.turns.run()
        assert names(busy) == expected(METHODS_A_TURN, COUNT)
        assert busy.wire.is_read


def test_what_follows_the_requests_comes_after_them(tmp_path: Path) -> None:
    """A message to the last queue is published when there is that queue, and half a frame is kept for its rest."""
    with running_node(tmp_path) as node:
        client = node.connect()
        last = f"q{COUNT - 1}"
        get = encode_method(1, build(commands.Basic.Get, queue=last, no_ack=True))
        client.connection.data_received(requests(0, COUNT) + message(b"body", last.encode()) + get[:5])
        node.turns.run()
        assert names(client) == expected(0, COUNT)
        client.feed(get[5:])
        assert client.names() == ["Basic.GetOk"]
        assert client.bodies == [b"body"]


def test_an_error_in_a_later_turn_ends_the_connection_there(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        wrong = encode_method(1, commands.Tx.CommitOk())
        client.connection.data_received(requests(0, COUNT) + wrong + requests(COUNT, 2 * COUNT))
        node.turns.run()
        *declared, close = client.received()
        assert len(declared) == COUNT
        assert cast(Any, close).reply_code == 503
        assert len(node.broker.vhosts["/"].queues) == 0
        client.connection.data_received(encode_method(0, commands.Connection.CloseOk()))
        assert not client.wire.is_open


def test_a_client_that_has_gone_in_between_is_not_served(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        client.connection.data_received(requests(0, COUNT))
        client.wire.is_open = False
        client.disconnect()
        assert len(node.broker.vhosts["/"].queues) == 0
        assert not node.broker.connections


def test_requests_that_go_on_while_a_client_reads_too_slowly_keep_their_order(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        client.connection.data_received(requests(0, COUNT))
        client.connection._held = []  # as ``wait_for_client`` has it
        node.turns.run()
        assert names(client) == expected(0, METHODS_A_TURN)
        client.connection._take_held()
        node.turns.run()
        assert names(client) == expected(METHODS_A_TURN, COUNT)
        assert client.wire.is_read
