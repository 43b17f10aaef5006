"""aio_pika.connect_robust finds everything again after an outage. These tests end a broker of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aio_pika
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection

from tests.brokers import RunningBroker
from tests.clients.aiopika.taking import Mailbox

DEADLINE_S = 20.0


@pytest.fixture
async def robust(own_broker: RunningBroker) -> AsyncIterator[AbstractRobustConnection]:
    connection = await aio_pika.connect_robust(own_broker.url, reconnect_interval=0.1)
    yield connection
    await connection.close()


@pytest.fixture(params=["restarted", "killed"])
def outage(request: pytest.FixtureRequest, own_broker: RunningBroker) -> Callable[[], None]:
    def end_and_start() -> None:
        if request.param == "killed":
            own_broker.kill()
            own_broker.start()
        else:
            own_broker.restart()

    return end_and_start


async def during(outage: Callable[[], None], connection: AbstractRobustConnection) -> None:
    """Let the outage happen, and wait until the connection is back with all that belongs to it."""
    back = asyncio.Event()
    connection.reconnect_callbacks.add(lambda *_: back.set())
    await asyncio.to_thread(outage)
    await asyncio.wait_for(back.wait(), DEADLINE_S)


async def published(channel: AbstractRobustChannel, exchange: str, key: str, body: bytes) -> None:
    target = channel.default_exchange if not exchange else await channel.get_exchange(exchange)
    message = Message(body, delivery_mode=DeliveryMode.PERSISTENT)
    await asyncio.wait_for(target.publish(message, key), DEADLINE_S)


async def test_consumer_of_a_durable_queue_goes_on(
    robust: AbstractRobustConnection, outage: Callable[[], None]
) -> None:
    channel = await robust.channel()
    await channel.set_qos(prefetch_count=5)
    queue = await channel.declare_queue("durable", durable=True)
    mailbox = await Mailbox.of(queue, no_ack=True)
    await published(channel, "", "durable", b"before")
    assert await mailbox.bodies(1) == [b"before"]
    for number in range(2):
        await during(outage, robust)
        await published(channel, "", "durable", b"after %d" % number)
        assert await mailbox.bodies(1) == [b"after %d" % number]


async def test_exclusive_queue_and_its_binding_are_declared_again(
    robust: AbstractRobustConnection, outage: Callable[[], None]
) -> None:
    channel = await robust.channel()
    logs = await channel.declare_exchange("logs", ExchangeType.FANOUT)
    queue = await channel.declare_queue("mine", exclusive=True)
    await queue.bind(logs)
    mailbox = await Mailbox.of(queue, no_ack=True)
    await during(outage, robust)
    await published(channel, "logs", "", b"after")
    assert await mailbox.bodies(1) == [b"after"]


async def test_unacked_message_comes_again_after_the_outage(
    robust: AbstractRobustConnection, outage: Callable[[], None]
) -> None:
    channel = await robust.channel()
    queue = await channel.declare_queue("durable", durable=True)
    mailbox = await Mailbox.of(queue)
    await published(channel, "", "durable", b"unacked")
    assert (await mailbox.take()).body == b"unacked"
    # What a confirm promises later holds for the delivery too.
    await channel.declare_queue("barrier", durable=True)
    await published(channel, "", "barrier", b"")
    await during(outage, robust)
    message = await mailbox.take()
    assert (message.body, message.redelivered) == (b"unacked", True)
    await message.ack()
