"""lavinmq#1957, #2247, #2249: purging got sizes wrong where messages were unacked or had come back, and what had come
back was there again after a restart.
"""

from pathlib import Path
from typing import Any

import pytest
from pamqp import commands

from tests.protocol.octets import PERSISTENT, message
from tests.server.wired import Client, Node, running_node

BODY = bytes(10)
ROOM = 7
KINDS: list[dict[str, Any]] = [{}, {"x-max-priority": 3}, {"x-queue-type": "quorum"}]
LIMITS: list[dict[str, Any]] = [{"x-max-length-bytes": 10 * ROOM + 5}, {"x-max-length": ROOM}]


@pytest.mark.parametrize("limit", LIMITS, ids=["octets", "messages"])
@pytest.mark.parametrize("kind", KINDS, ids=["plain", "priorities", "quorum"])
def test_after_each_purge_the_whole_room_is_there_again(
    tmp_path: Path, kind: dict[str, Any], limit: dict[str, Any]
) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect()
        arguments = {**kind, **limit, "x-overflow": "reject-publish"}
        client.send(commands.Queue.Declare, queue="q", durable=True, arguments=arguments)
        client.send(commands.Confirm.Select)
        node.settle()
        client.received()
        tag = 0
        for _ in range(3):
            assert fits(node, client) == ROOM
            for _ in range(3):  # unacked while it is purged: one is dropped, two come back
                client.send(commands.Basic.Get, queue="q")
            tag += 3
            client.send(commands.Basic.Reject, delivery_tag=tag, requeue=True)
            client.received()
            assert purge(client) == ROOM - 2
            client.send(commands.Basic.Reject, delivery_tag=tag - 1, requeue=True)
            client.send(commands.Basic.Ack, delivery_tag=tag - 2)
            client.received()
            assert purge(client) == 1
            (queue,) = node.broker.vhosts["/"].queues.values()
            assert (queue.message_count, queue.unacked_count, queue.backlog.resident_octets) == (0, 0, 0)


def fits(node: Node, client: Client) -> int:
    """Publish until one is refused; how many were not."""
    count = 0
    while True:
        client.feed(message(BODY, b"q", PERSISTENT))
        node.settle()
        (answer,) = client.received()
        if isinstance(answer, commands.Basic.Nack):
            return count
        count += 1


def purge(client: Client) -> int:
    client.send(commands.Queue.Purge, queue="q")
    client.node.settle()
    (answer,) = client.received()
    assert isinstance(answer, commands.Queue.PurgeOk)
    return answer.message_count or 0


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "priorities", "quorum"])
def test_what_had_come_back_and_was_purged_stays_away_after_a_restart(tmp_path: Path, kind: dict[str, Any]) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect()
        client.send(commands.Queue.Declare, queue="q", durable=True, arguments=kind)
        client.feed(message(BODY, b"q", PERSISTENT) * 5)
        node.settle()
        for _ in range(3):
            client.send(commands.Basic.Get, queue="q")
        client.send(commands.Basic.Nack, delivery_tag=2, multiple=True, requeue=True)
        client.received()
        assert purge(client) == 4
    with running_node(tmp_path / "data") as node:
        (queue,) = node.broker.vhosts["/"].queues.values()
        assert queue.message_count == 1, "the one that was never settled"
