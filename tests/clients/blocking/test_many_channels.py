"""Many channels, many connections, several threads: each on its own. RabbitMQ: channels."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from pika.exceptions import ConnectionClosedByBroker

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


def test_two_hundred_channels_work_side_by_side(connection: Any, names: Names) -> None:
    queue = names.queue("channels")
    channels = [connection.channel() for _ in range(200)]
    channels[0].queue_declare(queue)
    for number, channel in enumerate(channels):
        channel.basic_publish("", queue, b"%d" % number)
    wait_ready(channels[0], queue, 200)
    inboxes = [Inbox() for _ in channels]
    found = [channel.basic_get(queue, auto_ack=True) for channel in channels]
    assert [method.delivery_tag for method, _properties, _body in found] == [1] * 200
    assert {int(body) for _method, _properties, body in found} == set(range(200))
    for channel, inbox in zip(channels, inboxes, strict=True):
        channel.basic_consume(queue, inbox, auto_ack=True)
    for number in range(400):
        channels[number % 7].basic_publish("", queue, b"%d" % number)
    pump(connection, until=lambda: sum(map(len, inboxes)) == 400)
    assert {len(inbox) for inbox in inboxes} == {2}


def test_channel_number_may_be_any_and_reused(connection: Any) -> None:
    for _ in range(3):
        for number in (7, 2047, 1):
            channel = connection.channel(channel_number=number)
            assert channel.channel_number == number
            channel.basic_qos(prefetch_count=1)
            channel.close()


def test_one_channel_more_than_negotiated_closes_the_connection(connect: Callable[..., Any]) -> None:
    connection = connect(channel_max=10)
    for _ in range(10):
        connection.channel()
    with pytest.raises(ConnectionClosedByBroker) as closed:
        connection.channel(channel_number=11)
    assert closed.value.reply_code == 530
    assert closed.value.reply_text == (
        "NOT_ALLOWED - number of channels opened (10) has reached the negotiated channel_max (10)"
    )


def test_threads_with_connections_of_their_own_do_not_disturb_each_other(
    connect: Callable[..., Any], names: Names
) -> None:
    count = 500
    pairs = [(names.queue("threads"), connect().channel(), connect().channel()) for _ in range(2)]
    received: list[list[bytes]] = [[] for _ in pairs]
    failures: list[BaseException] = []

    def produce(channel: Any, queue: str) -> None:
        channel.confirm_delivery()
        for number in range(count):
            channel.basic_publish("", queue, queue.encode() + b"%d" % number, mandatory=True)

    def consume(channel: Any, queue: str, into: list[bytes]) -> None:
        channel.basic_qos(prefetch_count=10)
        for method, _properties, body in channel.consume(queue, inactivity_timeout=15):
            if method is None:
                break
            into.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(into) == count:
                break
        channel.cancel()

    def guarded(work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as failure:  # noqa: BLE001 - shown by the test, whatever it is
            failures.append(failure)

    threads = []
    for (queue, producer, consumer), into in zip(pairs, received, strict=True):
        producer.queue_declare(queue)
        threads.append(threading.Thread(target=guarded, args=(produce, producer, queue)))
        threads.append(threading.Thread(target=guarded, args=(consume, consumer, queue, into)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    for (queue, *_), into in zip(pairs, received, strict=True):
        assert into == [queue.encode() + b"%d" % number for number in range(count)]


def test_connections_come_and_go_beside_a_working_one(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("churn")
    channel = connect().channel()
    channel.queue_declare(queue)
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    for number in range(30):
        visitor = connect()
        visitor.channel().basic_publish("", queue, b"%d" % number)
        visitor.close()
    pump(channel.connection, until=lambda: len(inbox) == 30)
    assert inbox.bodies == [b"%d" % number for number in range(30)]
