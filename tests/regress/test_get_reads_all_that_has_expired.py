"""A basic.get from a deep queue whose messages had all expired read all of them before anybody else got a turn."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from pamqp import commands

from broker.core.later import NotYet
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from protocol.methods import build, encode_method
from tests.core.test_backlog_paging import Deep, make_small, numbered, publish_one_by_one
from tests.server.wired import running_node


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


@pytest.mark.parametrize("dead_letters", [{}, {"dead_letter_exchange": "dead"}])
def test_one_look_for_a_live_message_reads_a_little(dead_letters: dict[str, Any]) -> None:
    before = Deep(message_ttl=1000)
    publish_one_by_one(before, numbered(900))
    deep = Deep(message_ttl=1000, **dead_letters)
    deep.log.reading.messages = before.log.reading.messages
    deep.log.durable_message_id = 1 << 20
    deep.clock.advance(5000)
    deep.queue.restore_ids([1], [900], False)
    deep.queue.restored()
    looks = 0
    while deep.queue.message_count:
        reads, count = deep.log.reading.reads, deep.queue.message_count
        with contextlib.suppress(NotYet):
            assert deep.queue.get() is None
        assert deep.log.reading.reads <= reads + 2
        assert deep.queue.message_count < count
        looks += 1
    assert looks > 50
    assert deep.queue.get() is None


def test_others_have_turns_while_one_looks_and_its_requests_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, get = [1, 2, 3], ClassicQueue.get

    def get_later(queue: ClassicQueue) -> Stretch | None:
        if looks:
            looks.pop()
            raise NotYet
        return get(queue)

    with running_node(tmp_path) as node:
        client, other = node.connect(), node.connect()
        client.send(commands.Queue.Declare, queue="q")
        client.publish(b"live")
        client.received()
        monkeypatch.setattr(ClassicQueue, "get", get_later)
        wanted, declared = build(commands.Basic.Get, queue="q"), build(commands.Queue.Declare, queue="other")
        client.connection.data_received(encode_method(1, wanted) + encode_method(1, declared))
        while looks:
            assert not client.wire.is_read
            other.connection.data_received(encode_method(1, build(commands.Basic.Qos, prefetch_count=1)))
            assert other.names() == ["Basic.QosOk"]
            assert client.names() == []
            node.turns._waiting.pop(0)()
        node.turns.run()
        assert client.names() == ["Basic.GetOk", "Queue.DeclareOk"]
        assert client.bodies == [b"live"]
        assert client.wire.is_read
