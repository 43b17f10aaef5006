"""Dead letters that waited for room were lost when their queue was deleted and the process ended before they went.

The removal of the queue went to disk with its delete, and with it the queue's right to what the log had of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pamqp import commands

from broker.core.queues import dying
from broker.server import backpressure
from protocol.methods import build, encode_method
from tests.protocol.octets import PERSISTENT, message
from tests.server.test_dead_letter_room import (
    BODY_OCTETS,
    HIGH,
    LOW,
    TO_DEAD,
    body,
    get_all,
    is_behind,
    machine_node,
    queue_of,
    settle,
    tokens,
)
from tests.server.wired import Client, Node, running_node
from tests.storage.simulated_disk import SimulatedDisk

COUNT = 120


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backpressure, "UNWRITTEN_HIGH_OCTETS", HIGH)
    monkeypatch.setattr(backpressure, "UNWRITTEN_LOW_OCTETS", LOW)
    monkeypatch.setattr(dying, "STEP_OCTETS", 2 * BODY_OCTETS)


def reject_all(node: Node, client: Client, arguments: dict[str, Any] | None = None, **properties: bool) -> None:
    """Have q and the queue dead, and reject all that was published to q."""
    arguments = {**TO_DEAD, **(arguments or {})}
    client.send(commands.Queue.Declare, queue="q", durable=True, arguments=arguments, **properties)
    client.send(commands.Queue.Declare, queue="dead", durable=True)
    for number in range(COUNT):
        client.feed(message(body(number), b"q", PERSISTENT))
        settle(node)
    get_all(client, COUNT)
    node.settle()
    client.send(commands.Basic.Nack, delivery_tag=0, multiple=True, requeue=False)
    assert queue_of(node, "dead").message_count < COUNT


def everywhere(node: Node) -> list[int]:
    """Return what is in the dead letter queue and in q, if that is there, in this order."""
    settle(node)
    names = [name for name in ("dead", "q") if name in node.broker.vhosts["/"].queues]
    return [token for name in names for token in tokens(node, name)]


def test_power_lost_at_any_step_of_a_delete_leaves_each_message_once() -> None:
    disk = SimulatedDisk()
    node = machine_node(disk)
    client = node.connect()
    reject_all(node, client)
    client.send(commands.Queue.Delete, queue="q")
    shares = set()
    while True:
        names = client.names()
        for cut in (disk.after_kill(), disk.after_power_loss("durable", "durable")):
            again = machine_node(cut)
            if "Queue.DeleteOk" in names:
                assert "q" not in again.broker.vhosts["/"].queues
            shares.add(queue_of(again, "dead").message_count)
            assert everywhere(again) == list(range(COUNT))
            again.store.close()
        if "Queue.DeleteOk" in names:
            break
        node.take_report()
        node.turns.run()
    assert len(shares) > 3
    assert queue_of(node, "dead").message_count == COUNT
    node.store.close()


def test_an_orderly_stop_after_a_delete_loses_none(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        reject_all(node, client)
        client.send(commands.Queue.Delete, queue="q")
        assert client.names() == [], "the delete has not happened"
    with running_node(tmp_path) as node:
        assert everywhere(node) == list(range(COUNT))


def test_what_a_client_sends_behind_its_delete_is_done_behind_it(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client, other = node.connect(), node.connect()
        reject_all(node, client)
        delete, declare = build(commands.Queue.Delete, queue="q"), build(commands.Queue.Declare, queue="q")
        client.feed(encode_method(1, delete) + encode_method(1, declare))
        other.send(commands.Queue.Declare, queue="q", passive=True)
        assert other.names() == ["Queue.DeclareOk"], "others go on, and the queue is there"
        assert client.names() == []
        settle(node)
        assert client.names() == ["Queue.DeleteOk", "Queue.DeclareOk"]
        assert not queue_of(node, "q").durable
        assert client.wire.is_read


def test_a_client_that_hangs_up_behind_its_delete_leaves_the_queue_there(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        reject_all(node, client)
        client.send(commands.Queue.Delete, queue="q")
        client.disconnect()
        assert everywhere(node) == list(range(COUNT))
        assert queue_of(node, "q").message_count == 0
        other = node.connect()
        other.send(commands.Queue.Delete, queue="q")
        node.settle()
        assert other.names() == ["Queue.DeleteOk"], "nothing waits any more"


def unused(node: Node, client: Client) -> None:
    client.send(commands.Basic.Consume, queue="q", consumer_tag="t")
    client.send(commands.Basic.Cancel, consumer_tag="t")


def expired(node: Node, client: Client) -> None:
    node.clock.advance(6000)


@pytest.mark.parametrize(
    ("end", "properties", "arguments"),
    [
        (unused, {"auto_delete": True}, {}),
        (expired, {}, {"x-expires": 5000}),
    ],
)
def test_a_queue_that_goes_by_itself_goes_when_its_dead_letters_have(
    end: Callable[[Node, Client], None],
    properties: dict[str, bool],
    arguments: dict[str, Any],
) -> None:
    disk = SimulatedDisk()
    node = machine_node(disk)
    client = node.connect()
    reject_all(node, client, arguments, **properties)
    end(node, client)
    assert "q" in node.broker.vhosts["/"].queues
    again = machine_node(disk.after_power_loss("durable", "durable"))
    assert everywhere(again) == list(range(COUNT))
    again.store.close()
    settle(node)
    assert not is_behind(node)
    node.clock.advance(1)
    settle(node)
    assert "q" not in node.broker.vhosts["/"].queues
    assert tokens(node, "dead") == list(range(COUNT))
    node.store.close()
