"""Hello world and work queues with the asyncio adapter. RabbitMQ: tutorials, one and two."""

from collections.abc import Awaitable, Callable
from typing import Any

import pika
import pytest
from pika.exceptions import ProbableAuthenticationError
from pika.spec import Basic

from tests.clients.adapter.asking import Mailbox, ask, close_connection, cut, open_channel
from tests.clients.names import Names

Connect = Callable[..., Awaitable[Any]]


async def test_published_message_is_consumed(channel: Any, names: Names) -> None:
    queue = names.queue("hello")
    await ask(channel.queue_declare, queue)
    channel.basic_publish("", queue, b"Hello World!")
    mailbox = Mailbox()
    await ask(channel.basic_consume, queue, mailbox, auto_ack=True)
    method, _properties, body = await mailbox.take()
    assert (method.routing_key, method.redelivered, body) == (queue, False, b"Hello World!")


async def test_thousands_published_without_waiting_arrive_in_order(channel: Any, names: Names) -> None:
    queue = names.queue("order")
    await ask(channel.queue_declare, queue)
    mailbox = Mailbox()
    await ask(channel.basic_consume, queue, mailbox, auto_ack=True)
    for number in range(5000):
        channel.basic_publish("", queue, b"%d" % number)
    assert await mailbox.bodies(5000) == [b"%d" % number for number in range(5000)]


async def test_work_of_a_worker_that_dies_goes_to_another(connect_async: Connect, names: Names) -> None:
    queue = names.queue("task")
    producer = await open_channel(await connect_async())
    await ask(producer.queue_declare, queue, durable=True)
    first, second = await open_channel(await connect_async()), await open_channel(await connect_async())
    mailboxes = Mailbox(), Mailbox()
    await ask(first.basic_consume, queue, mailboxes[0])
    producer.basic_publish("", queue, b"task")
    method, _properties, body = await mailboxes[0].take()
    assert (method.redelivered, body) == (False, b"task")
    await ask(second.basic_consume, queue, mailboxes[1])
    await cut(first.connection)
    method, _properties, body = await mailboxes[1].take()
    assert (method.redelivered, body) == (True, b"task")
    second.basic_ack(method.delivery_tag)
    await close_connection(second.connection)
    found = await ask(producer.queue_declare, queue, passive=True)
    assert found.method.message_count == 0


async def test_prefetch_one_and_acks_give_fair_dispatch(connect_async: Connect, names: Names) -> None:
    queue = names.queue("task")
    producer = await open_channel(await connect_async())
    await ask(producer.queue_declare, queue)
    busy, quick = await open_channel(await connect_async()), await open_channel(await connect_async())
    busy_mail, quick_mail = Mailbox(), Mailbox()
    for worker, mail in ((busy, busy_mail), (quick, quick_mail)):
        await ask(worker.basic_qos, prefetch_count=1)
        await ask(worker.basic_consume, queue, mail)
    for number in range(6):
        producer.basic_publish("", queue, b"%d" % number)
    assert (await busy_mail.take())[2] == b"0"
    for number in range(1, 6):
        method, _properties, body = await quick_mail.take()
        assert body == b"%d" % number
        quick.basic_ack(method.delivery_tag)
    assert busy_mail.deliveries.empty()


async def test_three_consumers_take_strict_turns(connect_async: Connect, names: Names) -> None:
    queue = names.queue("task")
    producer = await open_channel(await connect_async())
    await ask(producer.queue_declare, queue)
    mailboxes = [Mailbox() for _ in range(3)]
    for mailbox in mailboxes:
        worker = await open_channel(await connect_async())
        await ask(worker.basic_consume, queue, mailbox, auto_ack=True)
    for number in range(30):
        producer.basic_publish("", queue, b"%d" % number)
    for turn, mailbox in enumerate(mailboxes):
        assert await mailbox.bodies(10) == [b"%d" % number for number in range(turn, 30, 3)]


async def test_nacked_message_comes_again_before_later_ones(channel: Any, names: Names) -> None:
    queue = names.queue("task")
    await ask(channel.queue_declare, queue)
    for number in range(3):
        channel.basic_publish("", queue, b"%d" % number)
    await ask(channel.basic_qos, prefetch_count=1)
    mailbox = Mailbox()
    await ask(channel.basic_consume, queue, mailbox)
    method, _properties, _body = await mailbox.take()
    channel.basic_nack(method.delivery_tag)
    method, _properties, body = await mailbox.take()
    assert (method.redelivered, body) == (True, b"0")
    channel.basic_ack(method.delivery_tag)
    assert (await mailbox.take())[2] == b"1"


async def test_get_takes_one_or_reports_empty(channel: Any, names: Names) -> None:
    queue = names.queue("get")
    await ask(channel.queue_declare, queue)
    empty: list[Any] = []
    channel.add_callback(empty.append, [Basic.GetEmpty])
    got: list[bytes] = []
    channel.basic_get(queue, lambda _channel, _method, _properties, body: got.append(body), auto_ack=True)
    await ask(channel.queue_declare, queue, passive=True)
    assert (len(empty), got) == (1, [])


async def test_wrong_password_is_reported_to_the_open_error_callback(connect_async: Connect) -> None:
    with pytest.raises(ProbableAuthenticationError):
        await connect_async(credentials=pika.PlainCredentials("guest", "wrong"))
