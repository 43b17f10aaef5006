"""Confirms that come later and many at once, returns, transactions and channel errors with the asyncio adapter."""

import asyncio
from typing import Any

import pika
import pytest
from pika.spec import Basic

from tests.clients.adapter.asking import Mailbox, ask, closing, open_channel
from tests.clients.names import Names

PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Confirms:
    """Keeps which publishes of a channel are open, as confirms with and without ``multiple`` come in."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.settled: list[int] = []
        self.frames: list[Any] = []
        self.nacked: set[int] = set()
        self.changed = asyncio.Event()

    def __call__(self, frame: Any) -> None:
        method = frame.method
        upto = [tag for tag in sorted(self.open) if tag <= method.delivery_tag]
        tags = upto if method.multiple else [method.delivery_tag]
        assert set(tags) <= self.open, "confirmed twice, or never published"
        if isinstance(method, Basic.Nack):
            self.nacked |= set(tags)
        self.open -= set(tags)
        self.settled += tags
        self.frames.append(method)
        self.changed.set()

    async def all_settled(self) -> None:
        while self.open:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 15)


@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
async def test_every_publish_is_confirmed_once_in_ascending_order(durable: bool, channel: Any, names: Names) -> None:
    queue = names.queue("confirm")
    await ask(channel.queue_declare, queue, durable=durable)
    confirms = Confirms()
    await ask(channel.confirm_delivery, confirms)
    for tag in range(1, 2001):
        confirms.open.add(tag)
        channel.basic_publish("", queue, b"%d" % tag, PERSISTENT if durable else None)
    await confirms.all_settled()
    assert confirms.nacked == set()
    assert [method.delivery_tag for method in confirms.frames] == sorted(
        method.delivery_tag for method in confirms.frames
    )
    found = await ask(channel.queue_declare, queue, passive=True)
    assert found.method.message_count == 2000


async def test_confirms_reach_mixed_publishes_exactly_once(channel: Any, names: Names) -> None:
    """To a durable queue, a transient one, both, or none: each tag is settled once."""
    durable, transient, exchange = names.queue("durable"), names.queue("transient"), names.exchange("both")
    await ask(channel.queue_declare, durable, durable=True)
    await ask(channel.queue_declare, transient)
    await ask(channel.exchange_declare, exchange, exchange_type="fanout")
    for queue in (durable, transient):
        await ask(channel.queue_bind, queue, exchange)
    confirms = Confirms()
    await ask(channel.confirm_delivery, confirms)
    targets = [("", durable), ("", transient), (exchange, ""), ("", names.queue("nobody"))]
    for tag in range(1, 401):
        confirms.open.add(tag)
        channel.basic_publish(*targets[tag % 4], b"%d" % tag, PERSISTENT if tag % 3 else None)
    await confirms.all_settled()
    assert sorted(confirms.settled) == list(range(1, 401))
    for queue in (durable, transient):
        assert (await ask(channel.queue_declare, queue, passive=True)).method.message_count == 200


async def test_return_comes_before_the_ack_of_its_publish(channel: Any, names: Names) -> None:
    queue = names.queue("confirm")
    events: list[tuple[Any, ...]] = []
    await ask(channel.queue_declare, queue)
    done = asyncio.Event()

    def on_confirm(frame: Any) -> None:
        events.append(("ack", frame.method.delivery_tag, frame.method.multiple))
        if frame.method.delivery_tag == 3:
            done.set()

    def on_return(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
        events.append(("return", method.reply_code, body, properties.message_id))

    channel.add_on_return_callback(on_return)
    await ask(channel.confirm_delivery, on_confirm)
    channel.basic_publish("", queue, b"routed", mandatory=True)
    about = pika.BasicProperties(message_id="lost", delivery_mode=2)
    channel.basic_publish("", queue + ".nobody", b"unrouted", about, mandatory=True)
    channel.basic_publish("", queue, b"routed", mandatory=True)
    await asyncio.wait_for(done.wait(), 15)
    returned = events.index(("return", 312, b"unrouted", "lost"))
    acks_of_second = [at for at, event in enumerate(events) if event[0] == "ack" and event[1] >= 2]
    assert returned < min(acks_of_second)
    assert sum(event[0] == "return" for event in events) == 1


async def test_transaction_commits_and_rolls_back(channel: Any, names: Names) -> None:
    queue = names.queue("tx")
    await ask(channel.queue_declare, queue, durable=True)
    await ask(channel.tx_select)
    channel.basic_publish("", queue, b"rolled back", PERSISTENT)
    await ask(channel.tx_rollback)
    channel.basic_publish("", queue, b"committed", PERSISTENT)
    await ask(channel.tx_commit)
    mailbox = Mailbox()
    await ask(channel.basic_consume, queue, mailbox)
    method, _properties, body = await mailbox.take()
    assert body == b"committed"
    channel.basic_ack(method.delivery_tag)
    await ask(channel.tx_commit)


async def test_failed_channel_leaves_its_number_and_its_neighbours_usable(
    connection: Any, channel: Any, names: Names
) -> None:
    queue = names.queue("errors")
    neighbour = await open_channel(connection)
    await ask(neighbour.queue_declare, queue)
    closed = closing(channel)
    channel.queue_declare(queue, durable=True, callback=lambda _frame: None)
    reason = await asyncio.wait_for(closed, 15)
    assert reason.reply_code == 406
    assert reason.reply_text == (
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/':"
        " received 'true' but current is 'false'"
    )
    again = await open_channel(connection, channel.channel_number)
    assert again.channel_number == channel.channel_number
    again.basic_publish("", queue, b"works")
    mailbox = Mailbox()
    await ask(neighbour.basic_consume, queue, mailbox, auto_ack=True)
    assert await mailbox.bodies(1) == [b"works"]


async def test_what_is_pipelined_behind_a_failed_method_is_not_done(
    connection: Any, channel: Any, names: Names
) -> None:
    queue, missing = names.queue("errors"), names.exchange("missing")
    watcher = await open_channel(connection)
    await ask(watcher.queue_declare, queue)
    closed = closing(channel)
    channel.basic_publish("", queue, b"before")
    channel.basic_publish(missing, "", b"to nowhere")
    channel.basic_publish("", queue, b"after")
    reason = await asyncio.wait_for(closed, 15)
    assert (reason.reply_code, reason.reply_text) == (404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'")
    mailbox = Mailbox()
    await ask(watcher.basic_consume, queue, mailbox, auto_ack=True)
    watcher.basic_publish("", queue, b"last")
    assert await mailbox.bodies(2) == [b"before", b"last"]


async def test_declares_sent_without_waiting_are_answered_in_order(channel: Any, names: Names) -> None:
    queues = [names.queue("pipelined") for _ in range(30)]
    answered: list[str] = []
    done = asyncio.Event()

    def on_declared(frame: Any) -> None:
        answered.append(frame.method.queue)
        if len(answered) == len(queues):
            done.set()

    for queue in queues:
        channel.queue_declare(queue, durable=True, callback=on_declared)
    await asyncio.wait_for(done.wait(), 15)
    assert answered == queues
