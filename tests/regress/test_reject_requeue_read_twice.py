"""lavinmq#1921: a message that was rejected with requeue was read a second time, so that it went out twice.

What is requeued comes back once, whatever the queue keeps of it: its size, its priority, a count, the log.
"""

from pathlib import Path
from typing import Any

import pytest
from pamqp import commands

from tests.protocol.octets import PERSISTENT, message
from tests.server.wired import Client, Node, running_node

BODIES = [b"one", b"two", b"three"]
KINDS: list[dict[str, Any]] = [
    {},
    {"x-max-length-bytes": 11, "x-overflow": "reject-publish"},
    {"x-max-priority": 5},
    {"x-queue-type": "quorum"},
]


def fill(node: Node, arguments: dict[str, Any]) -> Client:
    client = node.connect()
    client.send(commands.Queue.Declare, queue="q", durable=True, arguments=arguments)
    client.feed(b"".join(message(body, b"q", PERSISTENT) for body in BODIES))
    node.settle()
    assert client.names() == ["Queue.DeclareOk"]
    return client


def get_all(client: Client) -> list[bytes]:
    """Take what is ready, acknowledging."""
    client.bodies.clear()
    while True:
        client.send(commands.Basic.Get, queue="q", no_ack=True)
        if client.names() == ["Basic.GetEmpty"]:
            return client.bodies


def ready_count(client: Client) -> int:
    client.send(commands.Queue.Declare, queue="q", passive=True)
    (answer,) = client.received()
    assert isinstance(answer, commands.Queue.DeclareOk)
    return answer.message_count or 0


@pytest.mark.parametrize("arguments", KINDS, ids=["plain", "limited", "priorities", "quorum"])
def test_what_is_rejected_and_requeued_comes_back_once(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with running_node(tmp_path / "data") as node:
        client = fill(node, arguments)
        for turn in range(3):
            tags = range(2 * turn + 1, 2 * turn + 3)
            for _ in tags:
                client.send(commands.Basic.Get, queue="q", no_ack=False)
            assert client.names() == ["Basic.GetOk"] * 2
            assert ready_count(client) == 1
            client.send(commands.Basic.Reject, delivery_tag=tags[1], requeue=True)
            client.send(commands.Basic.Nack, delivery_tag=tags[0], requeue=True)
            assert client.names() == []
            assert ready_count(client) == 3
        found = get_all(client)
        assert found == BODIES if "x-queue-type" not in arguments else sorted(found) == sorted(BODIES)
        assert ready_count(client) == 0
    with running_node(tmp_path / "data") as node:
        assert get_all(node.connect()) == []


@pytest.mark.parametrize("arguments", KINDS[:3], ids=["plain", "limited", "priorities"])
def test_a_consumer_gets_what_it_rejects_once_more_a_rejection(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with running_node(tmp_path / "data") as node:
        client = fill(node, arguments)
        client.send(commands.Basic.Qos, prefetch_count=1)
        client.send(commands.Basic.Consume, queue="q", consumer_tag="c")
        assert client.names() == ["Basic.QosOk", "Basic.ConsumeOk", "Basic.Deliver"]
        for tag in range(1, 5):
            client.send(commands.Basic.Reject, delivery_tag=tag, requeue=True)
            (delivery,) = client.received()
            assert isinstance(delivery, commands.Basic.Deliver)
            assert (delivery.delivery_tag, delivery.redelivered) == (tag + 1, True)
        assert client.bodies == [b"one"] * 5
        for tag in range(5, 8):
            client.send(commands.Basic.Ack, delivery_tag=tag)
        assert client.names() == ["Basic.Deliver"] * 2
        assert client.bodies[5:] == [b"two", b"three"]


def test_a_tag_that_is_rejected_twice_closes_the_channel_and_returns_nothing_more(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = fill(node, {})
        client.send(commands.Basic.Get, queue="q")
        client.send(commands.Basic.Reject, delivery_tag=1, requeue=True)
        client.send(commands.Basic.Reject, delivery_tag=1, requeue=True)
        assert client.names() == ["Basic.GetOk", "Channel.Close"]
        assert get_all(node.connect()) == BODIES
