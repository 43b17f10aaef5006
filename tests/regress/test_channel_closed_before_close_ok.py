"""lavinmq#1980: a channel was gone before its close-ok had been exchanged.

Until then its number is taken: what the client has sent meanwhile is no error, and nothing comes behind the close-ok.
"""

from pathlib import Path
from typing import Any

from pamqp import commands

from protocol.methods import build, encode_method
from tests.protocol.octets import PERSISTENT, ack_frame, message
from tests.server.wired import Client, Node, running_node

UNKNOWN: dict[str, Any] = {"queue": "none", "passive": True}


def ready_count(client: Client) -> int:
    client.send(commands.Queue.Declare, channel=2, queue="q", passive=True)
    (answer,) = client.received()
    assert isinstance(answer, commands.Queue.DeclareOk)
    return answer.message_count or 0


def new_client(node: Node) -> Client:
    """A client with channels 1 and 2, and a durable queue."""
    client = node.connect()
    client.send(commands.Channel.Open, channel=2)
    client.send(commands.Queue.Declare, channel=2, queue="q", durable=True)
    node.settle()
    assert client.names() == ["Channel.OpenOk", "Queue.DeclareOk"]
    return client


def test_what_was_on_its_way_when_the_broker_closed_is_passed_over(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = new_client(node)
        client.send(commands.Queue.Declare, **UNKNOWN)
        assert client.names() == ["Channel.Close"]
        client.feed(message(b"late", b"q") + ack_frame(77))
        client.send(commands.Queue.Declare, **UNKNOWN)
        assert client.names() == []
        assert ready_count(client) == 0
        client.send(commands.Channel.CloseOk)
        client.send(commands.Channel.Open)
        assert client.names() == ["Channel.OpenOk"]
        client.publish(b"new")
        assert ready_count(client) == 1


def test_the_number_is_taken_until_the_client_has_answered(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = new_client(node)
        client.send(commands.Queue.Declare, **UNKNOWN)
        client.received()
        client.send(commands.Channel.Open)
        (error,) = client.received()
        assert isinstance(error, commands.Connection.Close)
        assert error.reply_code == 504


def test_closes_that_cross_are_both_answered_and_the_number_is_free(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = new_client(node)
        client.send(commands.Queue.Declare, **UNKNOWN)
        client.send(commands.Channel.Close, reply_code=200, reply_text="bye", class_id=0, method_id=0)
        assert client.names() == ["Channel.Close", "Channel.CloseOk"]
        client.send(commands.Channel.CloseOk)
        client.send(commands.Channel.Open)
        assert client.names() == ["Channel.OpenOk"]


def test_close_ok_comes_behind_all_that_was_promised_and_before_what_the_next_channel_gets(tmp_path: Path) -> None:
    """Close and open in one go, with confirms that wait for the disk and a delivery that is not acked."""
    with running_node(tmp_path / "data") as node:
        client = new_client(node)
        client.send(commands.Confirm.Select)
        client.feed(message(b"x", b"q", PERSISTENT))
        node.settle()
        client.send(commands.Basic.Consume, queue="q", consumer_tag="c")
        assert client.names() == ["Confirm.SelectOk", "Basic.Ack", "Basic.ConsumeOk", "Basic.Deliver"]
        close = build(commands.Channel.Close, reply_code=200, reply_text="bye", class_id=0, method_id=0)
        client.feed(
            message(b"y", b"q", PERSISTENT)
            + encode_method(1, close)
            + encode_method(1, build(commands.Channel.Open))
            + encode_method(1, build(commands.Basic.Get, queue="q"))
        )
        node.settle()
        methods = client.received()
        names = [method.name for method in methods]
        assert names[-3:] == ["Channel.CloseOk", "Channel.OpenOk", "Basic.GetOk"]
        assert set(names[:-3]) <= {"Basic.Ack", "Basic.Deliver"}
        got = methods[-1]
        assert isinstance(got, commands.Basic.GetOk)
        assert (got.redelivered, got.message_count) == (True, 1), (
            "what the closed channel held was back before close-ok"
        )
        client.publish(b"z")
        assert client.names() == [], "the consumer went with its channel"
