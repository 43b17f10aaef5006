"""exchange.* and queue.* as the handlers do them: replies, names, no-wait, and what waits for the disk."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pamqp import commands
from pamqp.base import Frame

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.vhosts import VirtualHost
from broker.server.channel import Channel
from broker.server.counters import Counters
from broker.server.handlers.queue import named_queue
from broker.server.handlers.table import METHOD_HANDLERS
from protocol.errors import NotFound
from protocol.methods import build
from tests.core.topology import full_access, new_vhost, routed

EXCHANGE, QUEUE = commands.Exchange, commands.Queue


class FakeConnection:
    def __init__(self, vhost: VirtualHost) -> None:
        self.vhost = vhost
        self.access = full_access()


class FakeChannel:
    """What a handler sees of a channel. ``sent`` has replies' names, marked where they wait for the disk."""

    can_deliver = False
    shared_credit = 0

    def __init__(self, vhost: VirtualHost) -> None:
        self.connection = FakeConnection(vhost)
        self.broker = SimpleNamespace(counters=Counters())
        self.last_queue = ""
        self.sent: list[str] = []
        self.replies: list[Frame] = []

    def reply(self, method: Frame) -> None:
        self.sent.append(method.name)
        self.replies.append(method)

    def reply_when_durable(self, method: Frame) -> None:
        self.sent.append(f"{method.name} when durable")
        self.replies.append(method)

    def deliver(self, consumer: Consumer, stretch: Stretch) -> None:
        raise AssertionError("nothing was published")

    def deliver_each(self, handed: Sequence[tuple[Consumer, Stretch]], each_octets: int) -> None:
        raise AssertionError("nothing was published")

    def deliver_in_turn(self, consumers: Sequence[Consumer], stretch: Stretch) -> None:
        raise AssertionError("nothing was published")

    def consumer_cancelled(self, consumer: Consumer) -> None:
        self.sent.append(f"cancel {consumer.tag}")


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel(new_vhost())


def call(channel: FakeChannel, method_class: type[Frame], **fields: Any) -> list[str]:
    """Handle a method; return what the channel sent because of it."""
    before = len(channel.sent)
    METHOD_HANDLERS[method_class](cast(Channel, channel), build(method_class, **fields))
    return channel.sent[before:]


def test_replies_about_what_is_durable_wait_for_the_disk(channel: FakeChannel) -> None:
    assert call(channel, EXCHANGE.Declare, exchange="x", exchange_type="direct", durable=True) == [
        "Exchange.DeclareOk when durable"
    ]
    assert call(channel, EXCHANGE.Declare, exchange="x", exchange_type="direct", passive=True) == ["Exchange.DeclareOk"]
    assert call(channel, QUEUE.Declare, queue="q", durable=True) == ["Queue.DeclareOk when durable"]
    assert call(channel, QUEUE.Declare, queue="q", durable=True) == ["Queue.DeclareOk when durable"]
    assert call(channel, QUEUE.Declare, queue="q", passive=True) == ["Queue.DeclareOk"]
    assert call(channel, QUEUE.Bind, queue="q", exchange="x") == ["Queue.BindOk when durable"]
    assert call(channel, QUEUE.Unbind, queue="q", exchange="x") == ["Queue.UnbindOk when durable"]
    assert call(channel, EXCHANGE.Bind, destination="x", source="amq.topic") == ["Exchange.BindOk when durable"]
    assert call(channel, EXCHANGE.Unbind, destination="x", source="amq.topic") == ["Exchange.UnbindOk when durable"]
    assert call(channel, QUEUE.Delete, queue="q") == ["Queue.DeleteOk when durable"]
    assert call(channel, EXCHANGE.Delete, exchange="x") == ["Exchange.DeleteOk when durable"]


def test_replies_about_what_is_transient_or_missing_wait_for_nothing(channel: FakeChannel) -> None:
    assert call(channel, EXCHANGE.Declare, exchange="x", exchange_type="direct") == ["Exchange.DeclareOk"]
    assert call(channel, QUEUE.Declare, queue="q") == ["Queue.DeclareOk"]
    assert call(channel, QUEUE.Bind, queue="q", exchange="x") == ["Queue.BindOk"]
    assert call(channel, QUEUE.Unbind, queue="q", exchange="x") == ["Queue.UnbindOk"]
    assert call(channel, EXCHANGE.Bind, destination="x", source="amq.topic") == ["Exchange.BindOk"]
    assert call(channel, EXCHANGE.Unbind, destination="x", source="amq.topic") == ["Exchange.UnbindOk"]
    assert call(channel, QUEUE.Purge, queue="q") == ["Queue.PurgeOk"]
    for _ in range(2):
        assert call(channel, QUEUE.Delete, queue="q") == ["Queue.DeleteOk"]
        assert call(channel, EXCHANGE.Delete, exchange="x") == ["Exchange.DeleteOk"]


def test_nowait_is_silent_and_done(channel: FakeChannel) -> None:
    vhost = channel.connection.vhost
    call(channel, EXCHANGE.Declare, exchange="x", exchange_type="fanout", nowait=True)
    call(channel, EXCHANGE.Bind, destination="x", source="amq.fanout", nowait=True)
    call(channel, QUEUE.Declare, queue="q", durable=True, nowait=True)
    call(channel, QUEUE.Bind, queue="q", exchange="x", nowait=True)
    assert routed(vhost, "amq.fanout") == ["q"]
    call(channel, EXCHANGE.Unbind, destination="x", source="amq.fanout", nowait=True)
    call(channel, QUEUE.Purge, queue="q", nowait=True)
    call(channel, QUEUE.Delete, queue="q", nowait=True)
    call(channel, EXCHANGE.Delete, exchange="x", nowait=True)
    assert channel.sent == []
    assert "x" not in vhost.exchanges
    assert vhost.queues == {}


def test_declare_ok_tells_name_and_counts(channel: FakeChannel) -> None:
    call(channel, QUEUE.Declare, queue="a|é")
    queue = channel.connection.vhost.queues["a|é"]
    queue.message_count = 3
    queue.subscribe(Consumer("t", queue, channel, no_ack=True, exclusive=False, prefetch=0, arguments={}))
    call(channel, QUEUE.Declare, queue="a|é", passive=True)
    reply = channel.replies[-1]
    assert isinstance(reply, QUEUE.DeclareOk)
    assert (reply.queue, reply.message_count, reply.consumer_count) == ("a|é", 3, 1)


def test_line_breaks_in_names_are_dropped(channel: FakeChannel) -> None:
    vhost = channel.connection.vhost
    call(channel, QUEUE.Declare, queue="a\r\nb")
    call(channel, EXCHANGE.Declare, exchange="x\ny", exchange_type="direct")
    assert "ab" in vhost.queues
    assert "xy" in vhost.exchanges
    call(channel, QUEUE.Bind, queue="a\nb", exchange="x\ny", routing_key="k\n")
    call(channel, EXCHANGE.Bind, destination="amq.di\nrect", source="x\ny", routing_key="k")
    assert routed(vhost, "xy", "k\n") == ["ab"]
    call(channel, QUEUE.Unbind, queue="a\nb", exchange="x\ny", routing_key="k\n")
    call(channel, EXCHANGE.Unbind, destination="amq.di\nrect", source="x\ny", routing_key="k")
    assert vhost.exchanges["xy"].bindings == {}
    call(channel, QUEUE.Purge, queue="a\nb")
    call(channel, QUEUE.Delete, queue="a\nb")
    call(channel, EXCHANGE.Delete, exchange="x\ny")
    assert vhost.queues == {}
    assert "xy" not in vhost.exchanges


@pytest.mark.parametrize("method", [QUEUE.Bind, QUEUE.Unbind, QUEUE.Purge, QUEUE.Delete])
def test_empty_name_without_a_declare_is_refused(channel: FakeChannel, method: type[Frame]) -> None:
    with pytest.raises(NotFound) as raised:
        call(channel, method)
    assert raised.value.detail == "no previously declared queue"


@pytest.mark.parametrize("passive", [True, False])
def test_empty_name_is_the_queue_declared_last(channel: FakeChannel, passive: bool) -> None:
    vhost = channel.connection.vhost
    call(channel, QUEUE.Declare, queue="first")
    call(channel, QUEUE.Declare, queue="q")
    call(channel, QUEUE.Declare, queue="first", passive=passive)
    assert named_queue(cast(Channel, channel), "") == "first"
    call(channel, QUEUE.Bind, exchange="amq.direct", routing_key="k")
    assert routed(vhost, "amq.direct", "k") == ["first"]
    call(channel, QUEUE.Unbind, exchange="amq.direct", routing_key="k")
    assert routed(vhost, "amq.direct", "k") == []
    call(channel, QUEUE.Purge)
    call(channel, QUEUE.Delete)
    assert set(vhost.queues) == {"q"}


def test_refused_declare_leaves_the_last_queue_as_it_was(channel: FakeChannel) -> None:
    call(channel, QUEUE.Declare, queue="q")
    with pytest.raises(NotFound):
        call(channel, QUEUE.Declare, queue="missing", passive=True)
    assert channel.last_queue == "q"


def test_with_both_empty_the_routing_key_is_the_queues_name(channel: FakeChannel) -> None:
    vhost = channel.connection.vhost
    call(channel, QUEUE.Declare, queue="q")
    call(channel, QUEUE.Bind, exchange="amq.direct")
    assert routed(vhost, "amq.direct", "q") == ["q"]
    call(channel, QUEUE.Unbind, exchange="amq.direct")
    assert routed(vhost, "amq.direct", "q") == []
    call(channel, QUEUE.Bind, queue="q", exchange="amq.direct")
    assert routed(vhost, "amq.direct", "") == ["q"]
    assert routed(vhost, "amq.direct", "q") == []


def test_delete_ok_comes_before_the_cancellations(channel: FakeChannel) -> None:
    call(channel, QUEUE.Declare, queue="q")
    queue = channel.connection.vhost.queues["q"]
    for tag in ("t1", "t2"):
        queue.subscribe(Consumer(tag, queue, channel, no_ack=True, exclusive=False, prefetch=0, arguments={}))
    queue.message_count = 5
    assert call(channel, QUEUE.Delete, queue="q") == ["Queue.DeleteOk", "cancel t1", "cancel t2"]
    reply = channel.replies[-1]
    assert isinstance(reply, QUEUE.DeleteOk)
    assert reply.message_count == 5
