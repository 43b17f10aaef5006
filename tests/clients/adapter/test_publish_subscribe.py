"""Exchanges and RPC with the asyncio adapter. RabbitMQ: tutorials, three to six."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pika

from tests.clients.adapter.asking import Mailbox, ask, close_connection, closing, open_channel
from tests.clients.names import Names

Connect = Callable[..., Awaitable[Any]]


async def subscribe(channel: Any, exchange: str, *keys: str, **binding: Any) -> Mailbox:
    """A mailbox fed by a server-named exclusive queue that is bound by each of the keys."""
    queue = (await ask(channel.queue_declare, "", exclusive=True)).method.queue
    for key in keys:
        await ask(channel.queue_bind, queue, exchange, routing_key=key, **binding)
    mailbox = Mailbox()
    await ask(channel.basic_consume, queue, mailbox, auto_ack=True)
    return mailbox


async def test_fanout_reaches_every_subscriber(connect_async: Connect, names: Names) -> None:
    logs = names.exchange("logs")
    publisher = await open_channel(await connect_async())
    await ask(publisher.exchange_declare, logs, exchange_type="fanout")
    mailboxes = [await subscribe(await open_channel(await connect_async()), logs, "") for _ in range(3)]
    publisher.basic_publish(logs, "", b"info")
    assert [await mailbox.bodies(1) for mailbox in mailboxes] == [[b"info"]] * 3


async def test_direct_logs_reach_who_asked(channel: Any, names: Names) -> None:
    logs = names.exchange("direct_logs")
    await ask(channel.exchange_declare, logs, exchange_type="direct")
    errors = await subscribe(channel, logs, "error")
    everything = await subscribe(channel, logs, "info", "warning", "error")
    for severity in ("info", "error", "warning"):
        channel.basic_publish(logs, severity, severity.encode())
    assert await errors.bodies(1) == [b"error"]
    assert await everything.bodies(3) == [b"info", b"error", b"warning"]
    assert errors.deliveries.empty()


async def test_topic_logs_reach_who_asked(channel: Any, names: Names) -> None:
    logs = names.exchange("topic_logs")
    await ask(channel.exchange_declare, logs, exchange_type="topic")
    kernel = await subscribe(channel, logs, "kern.*", "*.critical")
    everything = await subscribe(channel, logs, "#")
    keys = ("kern.info", "cron.info", "cron.critical", "kern.critical")
    for key in keys:
        channel.basic_publish(logs, key, key.encode())
    assert await everything.bodies(4) == [key.encode() for key in keys]
    assert await kernel.bodies(3) == [b"kern.info", b"cron.critical", b"kern.critical"]
    assert kernel.deliveries.empty()


async def test_headers_exchange_reaches_who_asked(channel: Any, names: Names) -> None:
    exchange = names.exchange("headers")
    await ask(channel.exchange_declare, exchange, exchange_type="headers")
    arguments = {"x-match": "all", "format": "pdf", "pages": 3}
    matching = await subscribe(channel, exchange, "", arguments=arguments)
    for headers in ({"format": "pdf"}, {"format": "pdf", "pages": 3, "more": 1}):
        channel.basic_publish(exchange, "", b"%d" % len(headers), pika.BasicProperties(headers=headers))
    assert await matching.bodies(1) == [b"3"]


async def test_rpc_answers_are_matched_by_correlation_id(connect_async: Connect, names: Names) -> None:
    service = names.queue("rpc")
    server = await open_channel(await connect_async())
    await ask(server.queue_declare, service)

    def on_request(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        about = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, body[::-1], about)
        channel.basic_ack(method.delivery_tag)

    await ask(server.basic_qos, prefetch_count=1)
    await ask(server.basic_consume, service, on_request)
    caller = await open_channel(await connect_async())
    callback_queue = (await ask(caller.queue_declare, "", exclusive=True)).method.queue
    answers = Mailbox()
    await ask(caller.basic_consume, callback_queue, answers, auto_ack=True)
    for number in range(20):
        about = pika.BasicProperties(reply_to=callback_queue, correlation_id=str(number))
        caller.basic_publish("", service, b"request %02d" % number, about)
    for number in range(20):
        _method, properties, body = await answers.take()
        assert (properties.correlation_id, body) == (str(number), (b"request %02d" % number)[::-1])


async def test_exclusive_queue_vanishes_with_its_connection(connect_async: Connect, channel: Any) -> None:
    owner = await connect_async()
    queue = (await ask((await open_channel(owner)).queue_declare, "", exclusive=True)).method.queue
    await close_connection(owner)
    closed = closing(channel)
    channel.queue_declare(queue, passive=True, callback=lambda _frame: None)
    reason = await asyncio.wait_for(closed, 10)
    assert (reason.reply_code, reason.reply_text) == (404, f"NOT_FOUND - no queue '{queue}' in vhost '/'")


async def test_consumer_is_told_when_its_queue_is_deleted(connect_async: Connect, channel: Any, names: Names) -> None:
    queue = names.queue("cancel")
    await ask(channel.queue_declare, queue)
    cancelled: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    channel.add_on_cancel_callback(cancelled.set_result)
    await ask(channel.basic_consume, queue, Mailbox(), consumer_tag="told")
    await ask((await open_channel(await connect_async())).queue_delete, queue)
    assert (await asyncio.wait_for(cancelled, 10)).method.consumer_tag == "told"
