"""Confirms, returns, transactions and errors with aio-pika."""

import asyncio
from collections.abc import Awaitable, Callable

import aio_pika
import pytest
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource
from pamqp.commands import Basic

from tests.clients.aiopika.taking import Mailbox, publish, ready_count
from tests.clients.names import Names

Connect = Callable[[], Awaitable[AbstractConnection]]


@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
async def test_publishes_at_once_are_all_confirmed(durable: bool, channel: AbstractChannel, names: Names) -> None:
    queue = await channel.declare_queue(names.queue("confirm"), durable=durable)
    mode = DeliveryMode.PERSISTENT if durable else DeliveryMode.NOT_PERSISTENT
    answers = await asyncio.wait_for(
        asyncio.gather(
            *(
                channel.default_exchange.publish(Message(b"%d" % number, delivery_mode=mode), queue.name)
                for number in range(500)
            )
        ),
        30,
    )
    assert all(isinstance(answer, Basic.Ack) for answer in answers)
    assert await ready_count(channel, queue.name) == 500


async def test_unroutable_publish_raises(connection: AbstractConnection, names: Names) -> None:
    channel = await connection.channel(on_return_raises=True)
    with pytest.raises((PublishError, DeliveryError)):
        await publish(channel, names.queue("nobody"), b"lost letter")
    queue = await channel.declare_queue(names.queue("confirm"))
    await publish(channel, queue.name, b"still works")


async def test_unroutable_publish_comes_back_as_its_answer(channel: AbstractChannel, names: Names) -> None:
    key = names.queue("nobody")
    answer = await channel.default_exchange.publish(Message(b"lost letter", message_id="m1"), key)
    assert isinstance(answer, aio_pika.IncomingMessage | Basic.Return) or hasattr(answer, "body")


async def test_transaction_commits_and_rolls_back(connection: AbstractConnection, names: Names) -> None:
    channel = await connection.channel(publisher_confirms=False)
    queue = await channel.declare_queue(names.queue("tx"))
    async with channel.transaction():
        await publish(channel, queue.name, b"committed")
        assert await ready_count(channel, queue.name) == 0
    assert await ready_count(channel, queue.name) == 1
    transaction = channel.transaction()
    await transaction.select()
    await publish(channel, queue.name, b"rolled back")
    await transaction.rollback()
    assert await ready_count(channel, queue.name) == 1


async def test_declare_with_other_arguments_is_refused(connection: AbstractConnection, names: Names) -> None:
    channel = await connection.channel()
    name = names.queue("redeclare")
    await channel.declare_queue(name)
    with pytest.raises(ChannelPreconditionFailed, match=f"inequivalent arg 'durable' for queue '{name}' in vhost"):
        await channel.declare_queue(name, durable=True)
    again = await connection.channel()
    await publish(again, name, b"works")
    assert await ready_count(again, name) == 1


async def test_publish_to_a_missing_exchange_closes_the_channel_alone(
    connection: AbstractConnection, names: Names
) -> None:
    channel = await connection.channel()
    exchange = await channel.get_exchange(names.exchange("missing"), ensure=False)
    with pytest.raises(ChannelNotFoundEntity, match="no exchange"):
        await exchange.publish(Message(b"to nowhere"), "key")
    assert not connection.is_closed
    queue = await (await connection.channel()).declare_queue(exclusive=True)
    assert queue.name


async def test_exclusive_queue_and_consumer_are_locked(connect_aio: Connect, names: Names) -> None:
    owner = await (await connect_aio()).channel()
    exclusive, shared = names.queue("exclusive"), names.queue("shared")
    await owner.declare_queue(exclusive, exclusive=True)
    queue = await owner.declare_queue(shared)
    await Mailbox.of(queue, exclusive=True)
    other = await connect_aio()
    with pytest.raises(ChannelLockedResource):
        await (await other.channel()).declare_queue(exclusive, exclusive=True)
    with pytest.raises(ChannelAccessRefused, match="in exclusive use"):
        await (await (await other.channel()).get_queue(shared)).consume(Mailbox())


async def test_wrong_password_is_a_probable_authentication_error(broker_url: str) -> None:
    url = aio_pika.connection.make_url(broker_url).with_password("wrong")
    with pytest.raises(ProbableAuthenticationError):
        await aio_pika.connect(url)


async def test_many_channels_of_one_connection_work_at_once(connection: AbstractConnection, names: Names) -> None:
    async def echo(number: int) -> bytes:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await publish(channel, queue.name, b"%d" % number)
        message = await queue.get(no_ack=True)
        await channel.close()
        return message.body

    answers = await asyncio.wait_for(asyncio.gather(*(echo(number) for number in range(50))), 30)
    assert answers == [b"%d" % number for number in range(50)]
