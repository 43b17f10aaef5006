"""Exchanges and RPC with aio-pika. RabbitMQ: tutorials, three to six."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from aio_pika.patterns import RPC, Master

from tests.clients.aiopika.taking import Mailbox
from tests.clients.names import Names

Connect = Callable[[], Awaitable[AbstractConnection]]


async def subscribe(channel: AbstractChannel, exchange: AbstractExchange, *keys: str, **binding: Any) -> Mailbox:
    """A mailbox fed by a server-named exclusive queue that is bound by each of the keys."""
    queue = await channel.declare_queue(exclusive=True)
    for key in keys:
        await queue.bind(exchange, key, **binding)
    return await Mailbox.of(queue, no_ack=True)


async def test_fanout_reaches_every_subscriber(connect_aio: Connect, names: Names) -> None:
    publisher = await (await connect_aio()).channel()
    logs = await publisher.declare_exchange(names.exchange("logs"), ExchangeType.FANOUT)
    mailboxes = [await subscribe(await (await connect_aio()).channel(), logs, "") for _ in range(3)]
    await logs.publish(Message(b"info"), "")
    assert [await mailbox.bodies(1) for mailbox in mailboxes] == [[b"info"]] * 3


async def test_direct_logs_reach_who_asked(channel: AbstractChannel, names: Names) -> None:
    logs = await channel.declare_exchange(names.exchange("direct_logs"), ExchangeType.DIRECT)
    errors = await subscribe(channel, logs, "error")
    everything = await subscribe(channel, logs, "info", "warning", "error")
    for severity in ("info", "error", "warning"):
        await logs.publish(Message(severity.encode()), severity)
    assert await everything.bodies(3) == [b"info", b"error", b"warning"]
    assert await errors.bodies(1) == [b"error"]
    assert errors.messages.empty()


async def test_topic_logs_reach_who_asked(channel: AbstractChannel, names: Names) -> None:
    logs = await channel.declare_exchange(names.exchange("topic_logs"), ExchangeType.TOPIC)
    kernel = await subscribe(channel, logs, "kern.*", "*.critical")
    everything = await subscribe(channel, logs, "#")
    keys = ("kern.info", "cron.info", "cron.critical", "kern.critical")
    for key in keys:
        await logs.publish(Message(key.encode()), key)
    assert await everything.bodies(4) == [key.encode() for key in keys]
    assert await kernel.bodies(3) == [b"kern.info", b"cron.critical", b"kern.critical"]


async def test_headers_exchange_reaches_who_asked(channel: AbstractChannel, names: Names) -> None:
    exchange = await channel.declare_exchange(names.exchange("headers"), ExchangeType.HEADERS)
    arguments = {"x-match": "any", "format": "pdf", "pages": 3}
    matching = await subscribe(channel, exchange, "", arguments=arguments)
    messages: list[dict[str, Any]] = [{"format": "zip"}, {"pages": 3}, {"format": "pdf", "pages": 4}]
    for number, headers in enumerate(messages):
        await exchange.publish(Message(b"%d" % number, headers=headers), "", mandatory=False)
    assert await matching.bodies(2) == [b"1", b"2"]


async def test_exchange_bound_to_an_exchange_passes_messages_on(channel: AbstractChannel, names: Names) -> None:
    source = await channel.declare_exchange(names.exchange("source"), ExchangeType.TOPIC)
    destination = await channel.declare_exchange(names.exchange("destination"), ExchangeType.FANOUT)
    await destination.bind(source, "a.#")
    mailbox = await subscribe(channel, destination, "")
    await source.publish(Message(b"passed on"), "a.b.c")
    assert await mailbox.bodies(1) == [b"passed on"]
    await destination.unbind(source, "a.#")
    assert await source.publish(Message(b"not any more"), "a.b.c", mandatory=False) is not None


async def test_rpc_answers_are_matched_by_correlation_id(connect_aio: Connect, names: Names) -> None:
    server = await (await connect_aio()).channel()
    requests = await server.declare_queue(names.queue("rpc"))

    async def on_request(message: AbstractIncomingMessage) -> None:
        async with message.process():
            assert message.reply_to is not None
            answer = Message(message.body[::-1], correlation_id=message.correlation_id)
            await server.default_exchange.publish(answer, message.reply_to)

    await requests.consume(on_request)
    caller = await (await connect_aio()).channel()
    callback_queue = await caller.declare_queue(exclusive=True)
    answers = await Mailbox.of(callback_queue, no_ack=True)
    for number in range(20):
        request = Message(b"request %02d" % number, correlation_id=str(number), reply_to=callback_queue.name)
        await caller.default_exchange.publish(request, requests.name)
    found = {message.correlation_id: message.body for message in [await answers.take() for _ in range(20)]}
    assert found == {str(number): (b"request %02d" % number)[::-1] for number in range(20)}


async def test_rpc_pattern_calls_and_passes_exceptions_on(connect_aio: Connect, names: Names) -> None:
    method = names.queue("rpc.multiply")

    async def multiply(*, x: int, y: int) -> int:
        if y == 0:
            raise ValueError("zero")
        return x * y

    server = await RPC.create(await (await connect_aio()).channel())
    await server.register(method, multiply, auto_delete=True)
    caller = await RPC.create(await (await connect_aio()).channel())
    results = [await caller.call(method, kwargs={"x": number, "y": 3}) for number in range(1, 5)]
    assert results == [3, 6, 9, 12]
    with pytest.raises(ValueError, match="zero"):
        await caller.call(method, kwargs={"x": 1, "y": 0})
    await caller.close()
    await server.close()
    names.exchanges.append("rpc.dlx")


async def test_master_and_worker_pattern_shares_tasks(connect_aio: Connect, names: Names) -> None:
    queue = names.queue("master")
    done: list[int] = []
    finished = asyncio.Event()

    async def work(*, task_id: int) -> None:
        done.append(task_id)
        if len(done) == 10:
            finished.set()

    workers = Master(await (await connect_aio()).channel())
    worker = await workers.create_worker(queue, work, auto_delete=True)
    master = Master(await (await connect_aio()).channel())
    for task_id in range(10):
        await master.create_task(queue, {"task_id": task_id})
    await asyncio.wait_for(finished.wait(), 15)
    await worker.close()
    assert done == list(range(10))


async def test_exclusive_queue_vanishes_with_its_connection(connect_aio: Connect, channel: AbstractChannel) -> None:
    owner = await connect_aio()
    queue = await (await owner.channel()).declare_queue(exclusive=True)
    assert queue.name.startswith("amq.gen-")
    await owner.close()
    with pytest.raises(ChannelNotFoundEntity, match=f"no queue '{queue.name}' in vhost '/'"):
        await channel.declare_queue(queue.name, passive=True)
