"""basic.get: one message at a time, or none. RabbitMQ: consumers, polling."""

from collections.abc import Callable
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.clients.names import Names
from tests.clients.waiting import wait_ready


def test_get_from_an_empty_queue_finds_nothing(channel: Any, names: Names) -> None:
    queue = names.queue("get")
    channel.queue_declare(queue)
    assert channel.basic_get(queue) == (None, None, None)
    assert channel.basic_get(queue, auto_ack=True) == (None, None, None)


def test_get_takes_the_oldest_and_counts_those_behind_it(channel: Any, names: Names) -> None:
    queue = names.queue("get")
    channel.queue_declare(queue)
    for number in range(3):
        channel.basic_publish("", queue, b"%d" % number)
    wait_ready(channel, queue, 3)
    found = [channel.basic_get(queue, auto_ack=True) for _ in range(4)]
    assert [body for _method, _properties, body in found] == [b"0", b"1", b"2", None]
    assert [method.message_count for method, _properties, _body in found[:3]] == [2, 1, 0]
    assert [method.delivery_tag for method, _properties, _body in found[:3]] == [1, 2, 3]
    assert {(method.exchange, method.routing_key) for method, *_ in found[:3]} == {("", queue)}


def test_got_message_returns_unless_acked(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("get")
    channel = connect().channel()
    channel.queue_declare(queue)
    for body in (b"acked", b"kept"):
        channel.basic_publish("", queue, body)
    wait_ready(channel, queue, 2)
    getter = connect().channel()
    method, _properties, _body = getter.basic_get(queue)
    assert method.redelivered is False
    getter.basic_ack(method.delivery_tag)
    assert getter.basic_get(queue)[2] == b"kept"
    assert channel.basic_get(queue) == (None, None, None)
    getter.connection.close()
    wait_ready(channel, queue, 1)
    method, _properties, body = channel.basic_get(queue, auto_ack=True)
    assert (method.redelivered, body) == (True, b"kept")


def test_get_is_not_limited_by_prefetch(channel: Any, names: Names) -> None:
    queue = names.queue("get")
    channel.queue_declare(queue)
    channel.basic_qos(prefetch_count=1)
    for number in range(5):
        channel.basic_publish("", queue, b"%d" % number)
    wait_ready(channel, queue, 5)
    assert [channel.basic_get(queue)[2] for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_get_from_a_queue_that_is_not_there_closes_the_channel(channel: Any, names: Names) -> None:
    queue = names.queue("get")
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.basic_get(queue)
    assert closed.value.reply_code == 404
    assert closed.value.reply_text == f"NOT_FOUND - no queue '{queue}' in vhost '/'"


def test_delivery_tags_are_shared_by_get_and_consume(channel: Any, names: Names) -> None:
    first, second = names.queue("get"), names.queue("get")
    channel.queue_declare(first)
    channel.queue_declare(second)
    for queue in (first, first, second):
        channel.basic_publish("", queue, b"one")
    wait_ready(channel, first, 2)
    wait_ready(channel, second, 1)
    assert channel.basic_get(first)[0].delivery_tag == 1
    method, _properties, _body = next(channel.consume(second))
    assert method.delivery_tag == 2
    assert channel.basic_get(first)[0].delivery_tag == 3
    channel.basic_ack(3, multiple=True)
    channel.cancel()
