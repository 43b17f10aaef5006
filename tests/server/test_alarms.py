"""Alarms: who is stopped, who is told what, and that all goes on afterwards. RabbitMQ: Blocked Connections."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pamqp import commands

from protocol.errors import ConnectionForced
from tests.server.wired import HEARTBEAT, Client, Node, running_node

BLOCKED = "connection.blocked"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path / "data") as node:
        yield node


def blocked_for(client: Client) -> list[str]:
    """Return the reasons of the connection.blocked that came; nothing else may have come."""
    methods = client.received()
    assert all(isinstance(method, commands.Connection.Blocked) for method in methods)
    return [method.reason for method in methods if isinstance(method, commands.Connection.Blocked)]


def test_nothing_is_sent_before_a_connection_publishes(node: Node) -> None:
    client = node.connect(BLOCKED)
    client.publish(b"before")
    node.broker.raise_alarm("memory")
    client.declare("q")
    assert client.wire.is_read
    client.publish(b"under the alarm")
    assert blocked_for(client) == ["low on memory"]
    assert not client.wire.is_read


def test_the_publish_that_brought_it_about_is_not_lost(node: Node) -> None:
    client = node.connect(BLOCKED)
    client.declare("q")
    node.broker.raise_alarm("memory")
    client.publish(b"kept")
    node.broker.clear_alarm("memory")
    client.received()
    client.send(commands.Basic.Get, queue="q", no_ack=True)
    assert client.names() == ["Basic.GetOk"]
    assert client.bodies == [b"kept"]


def test_the_end_of_the_alarm_unblocks_and_reads_on(node: Node) -> None:
    client = node.connect(BLOCKED)
    node.broker.raise_alarm("disk")
    client.publish(b"")
    assert blocked_for(client) == ["low on disk"]
    node.broker.clear_alarm("disk")
    assert client.names() == ["Connection.Unblocked"]
    assert client.wire.is_read
    client.publish(b"")
    assert client.names() == []


def test_a_client_that_did_not_announce_it_is_stopped_without_a_word(node: Node) -> None:
    client = node.connect()
    node.broker.raise_alarm("memory")
    client.publish(b"")
    assert not client.wire.is_read
    node.broker.clear_alarm("memory")
    assert client.wire.is_read
    assert client.names() == []


def test_consumers_go_on_and_hear_nothing(node: Node) -> None:
    consumer, publisher = node.connect(BLOCKED), node.connect(BLOCKED)
    consumer.declare("q")
    consumer.send(commands.Basic.Consume, queue="q", no_ack=True)
    assert consumer.names() == ["Basic.ConsumeOk"]
    node.broker.raise_alarm("memory")
    publisher.publish(b"one")
    assert consumer.names() == ["Basic.Deliver"]
    assert consumer.wire.is_read
    node.broker.clear_alarm("memory")
    assert consumer.names() == []


def test_with_both_alarms_the_reason_names_both_and_both_must_end(node: Node) -> None:
    client = node.connect(BLOCKED)
    node.broker.raise_alarm("disk")
    node.broker.raise_alarm("memory")
    node.broker.raise_alarm("memory")
    client.publish(b"")
    assert blocked_for(client) == ["low on memory & disk"]
    node.broker.clear_alarm("memory")
    assert client.names() == []
    assert not client.wire.is_read
    node.broker.clear_alarm("disk")
    assert client.names() == ["Connection.Unblocked"]


def test_clearing_what_is_not_on_does_nothing(node: Node) -> None:
    client = node.connect(BLOCKED)
    node.broker.clear_alarm("memory")
    client.publish(b"")
    assert client.names() == []


def test_an_alarm_that_comes_again_waits_for_a_publish_again(node: Node) -> None:
    client = node.connect(BLOCKED)
    for _ in range(2):
        node.broker.raise_alarm("memory")
        assert client.wire.is_read
        client.publish(b"")
        assert client.names() == ["Connection.Blocked"]
        node.broker.clear_alarm("memory")
        assert client.names() == ["Connection.Unblocked"]


def test_a_blocked_client_is_not_missed_and_still_gets_heartbeats(node: Node) -> None:
    client = node.connect(BLOCKED, heartbeat_s=10)
    node.broker.raise_alarm("memory")
    client.publish(b"")
    node.clock.advance(120_000)
    assert client.wire.is_open
    client.received()
    assert client.heartbeat_count >= 20
    node.broker.clear_alarm("memory")
    client.feed(HEARTBEAT)
    node.clock.advance(19_000)
    assert client.wire.is_open
    node.clock.advance(30_000)
    assert not client.wire.is_open, "read again, it is missed again"


def test_a_blocked_connection_that_goes_is_forgotten(node: Node) -> None:
    client = node.connect(BLOCKED)
    node.broker.raise_alarm("memory")
    client.publish(b"")
    client.disconnect()
    client.received()
    node.broker.clear_alarm("memory")
    assert client.names() == []
    assert not node.broker.alarms.is_blocked(client.connection)


def test_the_end_of_an_alarm_does_not_end_other_reasons_to_wait(node: Node) -> None:
    client = node.connect(BLOCKED)
    node.broker.raise_alarm("memory")
    client.publish(b"")
    client.connection.pause_reading("full log")
    node.broker.clear_alarm("memory")
    assert not client.wire.is_read
    client.connection.resume_reading("full log")
    assert client.wire.is_read


def test_a_blocked_connection_that_the_broker_closes_is_read_for_its_answer(node: Node) -> None:
    client = node.connect(BLOCKED)
    node.broker.raise_alarm("memory")
    client.publish(b"")
    client.connection.close(ConnectionForced("shutdown"))
    client.send(commands.Connection.CloseOk, 0)
    assert not client.wire.is_open
