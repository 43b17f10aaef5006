"""The first tutorial: one producer, one queue, one consumer. RabbitMQ: tutorials, one."""

from collections.abc import Callable
from typing import Any

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


def test_message_published_to_the_default_exchange_reaches_the_queue_of_that_name(channel: Any, names: Names) -> None:
    queue = names.queue("hello")
    channel.queue_declare(queue)
    channel.basic_publish(exchange="", routing_key=queue, body=b"Hello World!")
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: bool(inbox))
    assert inbox.bodies == [b"Hello World!"]
    assert inbox[0].method.exchange == ""
    assert inbox[0].method.routing_key == queue
    assert inbox[0].method.redelivered is False


def test_consumer_that_waits_gets_a_message_published_later(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("hello")
    receiver = connect().channel()
    receiver.queue_declare(queue)
    inbox = Inbox()
    receiver.basic_consume(queue, inbox, auto_ack=True)
    sender = connect().channel()
    sender.queue_declare(queue)
    sender.basic_publish("", queue, b"first")
    sender.basic_publish("", queue, b"second")
    pump(receiver.connection, until=lambda: len(inbox) == 2)
    assert inbox.bodies == [b"first", b"second"]


def test_start_consuming_runs_until_the_callback_stops_it(channel: Any, names: Names) -> None:
    queue = names.queue("hello")
    channel.queue_declare(queue)
    for number in range(5):
        channel.basic_publish("", queue, b"%d" % number)
    seen: list[bytes] = []

    def on_message(consumer: Any, method: Any, _properties: Any, body: bytes) -> None:
        seen.append(body)
        consumer.basic_ack(method.delivery_tag)
        if len(seen) == 5:
            consumer.stop_consuming()

    channel.basic_consume(queue, on_message)
    channel.start_consuming()
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    assert channel.queue_declare(queue, passive=True).method.consumer_count == 0


def test_queue_keeps_messages_in_the_order_of_publishing(channel: Any, names: Names) -> None:
    queue = names.queue("order")
    channel.queue_declare(queue)
    for number in range(2000):
        channel.basic_publish("", queue, b"%d" % number)
    wait_ready(channel, queue, 2000)
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: len(inbox) == 2000)
    assert [int(body) for body in inbox.bodies] == list(range(2000))
    assert inbox.tags == list(range(1, 2001))


def test_declare_again_with_the_same_arguments_is_harmless(channel: Any, names: Names) -> None:
    queue = names.queue("hello")
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"kept")
    wait_ready(channel, queue, 1)
    again = channel.queue_declare(queue)
    assert (again.method.queue, again.method.message_count) == (queue, 1)
