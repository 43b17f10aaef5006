"""Consumers that end: by themselves, or because their queue goes. RabbitMQ: consumer-cancel."""

from collections.abc import Callable
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.clients.names import Names
from tests.clients.waiting import Inbox, consumer_count, pump, wait_ready


def test_consumer_is_told_when_its_queue_is_deleted(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("cancel")
    consumer, deleter = connect().channel(), connect().channel()
    consumer.queue_declare(queue)
    cancelled: list[str] = []
    consumer.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    consumer.basic_consume(queue, Inbox(), consumer_tag="told")
    deleter.queue_delete(queue)
    pump(consumer.connection, until=lambda: cancelled == ["told"])
    assert consumer.is_open
    assert consumer.consumer_tags == []


def test_start_consuming_ends_when_the_queue_is_deleted(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("cancel")
    consumer, deleter = connect().channel(), connect().channel()
    consumer.queue_declare(queue)
    consumer.basic_publish("", queue, b"delete me")
    consumer.basic_consume(queue, lambda *_: deleter.queue_delete(queue))
    consumer.start_consuming()
    assert consumer.consumer_tags == []


def test_deleting_channel_is_told_of_its_own_consumer(channel: Any, names: Names) -> None:
    queue = names.queue("cancel")
    channel.queue_declare(queue)
    cancelled: list[str] = []
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    channel.basic_consume(queue, Inbox(), consumer_tag="mine")
    channel.queue_delete(queue)
    pump(channel.connection, until=lambda: cancelled == ["mine"])


def test_ack_after_the_queue_was_deleted_is_ignored(channel: Any, names: Names) -> None:
    queue = names.queue("cancel")
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"one")
    inbox = Inbox()
    channel.basic_consume(queue, inbox)
    pump(channel.connection, until=lambda: len(inbox) == 1)
    channel.queue_delete(queue)
    channel.basic_ack(inbox.tags[0])
    channel.queue_declare("", exclusive=True)
    assert channel.is_open


def test_cancelled_consumer_keeps_its_unacked_messages(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("cancel")
    consumer, other = connect().channel(), connect().channel()
    consumer.queue_declare(queue)
    for number in range(3):
        consumer.basic_publish("", queue, b"%d" % number)
    inbox = Inbox()
    consumer.basic_qos(prefetch_count=2)
    consumer.basic_consume(queue, inbox, consumer_tag="leaving")
    pump(consumer.connection, until=lambda: len(inbox) == 2)
    consumer.basic_cancel("leaving")
    assert consumer_count(other, queue) == 0
    wait_ready(other, queue, 1)
    consumer.basic_ack(inbox.tags[0])
    consumer.connection.close()
    wait_ready(other, queue, 2)
    assert [other.basic_get(queue, auto_ack=True)[2] for _ in range(2)] == [b"1", b"2"]


def test_auto_delete_queue_goes_with_its_last_consumer(channel: Any, names: Names) -> None:
    queue = names.queue("autodelete")
    channel.queue_declare(queue, auto_delete=True)
    first = channel.basic_consume(queue, Inbox())
    second = channel.basic_consume(queue, Inbox())
    channel.basic_cancel(first)
    assert consumer_count(channel, queue) == 1
    channel.basic_cancel(second)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare(queue, passive=True)
    assert closed.value.reply_code == 404


def test_auto_delete_queue_that_never_had_a_consumer_stays(connection: Any, names: Names) -> None:
    queue = names.queue("autodelete")
    channel = connection.channel()
    channel.queue_declare(queue, auto_delete=True)
    channel.basic_get(queue)
    channel.close()
    assert connection.channel().queue_declare(queue, passive=True).method.queue == queue


def test_auto_delete_exchange_goes_with_its_last_binding(connection: Any, names: Names) -> None:
    exchange = names.exchange("autodelete")
    channel = connection.channel()
    channel.exchange_declare(exchange, exchange_type="fanout", auto_delete=True)
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(2)]
    for queue in queues:
        channel.queue_bind(queue, exchange)
    channel.queue_unbind(queues[0], exchange)
    channel.exchange_declare(exchange, passive=True)
    channel.queue_delete(queues[1])
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.exchange_declare(exchange, passive=True)
    assert closed.value.reply_code == 404


def test_cancelling_a_tag_that_is_not_there_is_answered(channel: Any) -> None:
    answered: list[Any] = []
    channel._impl._consumers["ghost"] = lambda *_: None  # else pika would not ask
    channel._impl.basic_cancel("ghost", callback=answered.append)
    pump(channel.connection, until=lambda: bool(answered))
    assert answered[0].method.consumer_tag == "ghost"
