"""Hello world, work queues and get with aio-pika. RabbitMQ: tutorials, one and two."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import QueueEmpty

from tests.clients.aiopika.taking import Mailbox, publish, ready_count
from tests.clients.names import Names

Connect = Callable[[], Awaitable[AbstractConnection]]


async def test_published_message_is_consumed(channel: AbstractChannel, names: Names) -> None:
    queue = await channel.declare_queue(names.queue("hello"))
    await publish(channel, queue.name, b"Hello World!")
    message = await (await Mailbox.of(queue, no_ack=True)).take()
    assert (message.body, message.exchange, message.routing_key) == (b"Hello World!", "", queue.name)
    assert message.redelivered is False


async def test_queue_iterator_yields_messages_in_order(channel: AbstractChannel, names: Names) -> None:
    queue = await channel.declare_queue(names.queue("hello"), durable=True)
    await publish(channel, queue.name, *(b"%d" % n for n in range(100)), delivery_mode=DeliveryMode.PERSISTENT)
    seen = []
    async with asyncio.timeout(15), queue.iterator() as messages:
        async for message in messages:
            async with message.process():
                seen.append(message.body)
            if len(seen) == 100:
                break
    assert seen == [b"%d" % number for number in range(100)]
    assert await ready_count(channel, queue.name) == 0


async def test_iterator_gives_up_after_its_timeout(channel: AbstractChannel, names: Names) -> None:
    queue = await channel.declare_queue(names.queue("hello"))
    async with queue.iterator(timeout=0.1) as messages:
        with pytest.raises(asyncio.TimeoutError):
            await anext(messages)


async def test_work_of_a_worker_that_dies_goes_to_another(connect_aio: Connect, names: Names) -> None:
    producer = await (await connect_aio()).channel()
    name = names.queue("task")
    await producer.declare_queue(name, durable=True)
    dying = await connect_aio()
    first = await Mailbox.of(await (await dying.channel()).get_queue(name))
    await publish(producer, name, b"task", delivery_mode=DeliveryMode.PERSISTENT)
    message = await first.take()
    assert (message.body, message.redelivered) == (b"task", False)
    second = await Mailbox.of(await (await (await connect_aio()).channel()).get_queue(name))
    await dying.close()
    message = await second.take()
    assert (message.body, message.redelivered) == (b"task", True)
    await message.ack()


async def test_prefetch_one_and_acks_give_fair_dispatch(connect_aio: Connect, names: Names) -> None:
    producer = await (await connect_aio()).channel()
    name = names.queue("task")
    await producer.declare_queue(name)
    mailboxes = []
    for _ in range(2):
        worker = await (await connect_aio()).channel()
        await worker.set_qos(prefetch_count=1)
        mailboxes.append(await Mailbox.of(await worker.get_queue(name)))
    busy, quick = mailboxes
    await publish(producer, name, *(b"%d" % number for number in range(6)))
    assert await busy.bodies(1) == [b"0"]
    for number in range(1, 6):
        message = await quick.take()
        assert message.body == b"%d" % number
        await message.ack()
    assert busy.messages.empty()


async def test_three_consumers_take_strict_turns(connect_aio: Connect, names: Names) -> None:
    producer = await (await connect_aio()).channel()
    name = names.queue("task")
    await producer.declare_queue(name)
    mailboxes = []
    for _ in range(3):
        worker = await (await connect_aio()).channel()
        mailboxes.append(await Mailbox.of(await worker.get_queue(name), no_ack=True))
    await publish(producer, name, *(b"%d" % number for number in range(30)))
    for turn, mailbox in enumerate(mailboxes):
        assert await mailbox.bodies(10) == [b"%d" % number for number in range(turn, 30, 3)]


async def test_get_takes_one_and_reports_empty(channel: AbstractChannel, names: Names) -> None:
    queue = await channel.declare_queue(names.queue("get"))
    with pytest.raises(QueueEmpty):
        await queue.get()
    assert await queue.get(fail=False) is None
    await publish(channel, queue.name, b"one", b"two")
    message = await queue.get()
    assert (message.body, message.message_count) == (b"one", 1)
    await message.reject(requeue=True)
    again = await queue.get()
    assert (again.body, again.redelivered) == (b"one", True)
    await again.ack()
    assert (await queue.get(no_ack=True)).body == b"two"


async def test_failing_process_block_rejects_and_requeues(channel: AbstractChannel, names: Names) -> None:
    queue = await channel.declare_queue(names.queue("task"))
    await publish(channel, queue.name, b"poison")
    mailbox = await Mailbox.of(queue)
    first = await mailbox.take()
    with pytest.raises(RuntimeError):
        async with first.process(requeue=True):
            raise RuntimeError("the work failed")
    second = await mailbox.take()
    assert (second.body, second.redelivered) == (b"poison", True)
    with pytest.raises(RuntimeError):
        async with second.process(reject_on_redelivered=True, requeue=True):
            raise RuntimeError("the work failed again")
    assert await ready_count(channel, queue.name) == 0


async def test_ack_multiple_settles_all_up_to_the_tag(connect_aio: Connect, names: Names) -> None:
    watcher = await (await connect_aio()).channel()
    name = names.queue("task")
    await watcher.declare_queue(name)
    await publish(watcher, name, *(b"%d" % number for number in range(5)))
    leaving = await connect_aio()
    mailbox = await Mailbox.of(await (await leaving.channel()).get_queue(name))
    messages = [await mailbox.take() for _ in range(5)]
    await messages[2].ack(multiple=True)
    await leaving.close()
    left = await watcher.get_queue(name)
    assert [(await left.get(no_ack=True)).body for _ in range(2)] == [b"3", b"4"]


async def test_purge_and_delete_count_messages(channel: AbstractChannel, names: Names) -> None:
    queue = await channel.declare_queue(names.queue("count"))
    await publish(channel, queue.name, b"one", b"two")
    assert (await queue.purge()).message_count == 2
    await publish(channel, queue.name, b"three")
    assert (await queue.delete(if_unused=False, if_empty=False)).message_count == 1
