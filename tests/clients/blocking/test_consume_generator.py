"""pika's consume() generator: bounded waits, cancel, and what happens to messages it held."""

from collections.abc import Callable
from typing import Any

from tests.clients.names import Names
from tests.clients.waiting import wait_ready


def test_generator_yields_messages_then_reports_inactivity(channel: Any, names: Names) -> None:
    queue = names.queue("consume")
    channel.queue_declare(queue)
    for number in range(3):
        channel.basic_publish("", queue, b"%d" % number)
    seen: list[bytes | None] = []
    for method, _properties, body in channel.consume(queue, inactivity_timeout=0.3):
        seen.append(body)
        if method is None:
            break
        channel.basic_ack(method.delivery_tag)
    assert seen == [b"0", b"1", b"2", None]
    channel.cancel()
    assert channel.basic_get(queue) == (None, None, None)


def test_generator_goes_on_after_an_inactive_while(channel: Any, names: Names) -> None:
    queue = names.queue("consume")
    channel.queue_declare(queue)
    messages = channel.consume(queue, auto_ack=True, inactivity_timeout=0.05)
    assert next(messages) == (None, None, None)
    channel.basic_publish("", queue, b"late")
    wait_for_body = (body for _method, _properties, body in messages if body is not None)
    assert next(wait_for_body) == b"late"
    channel.cancel()


def test_cancel_returns_what_was_not_yet_yielded(channel: Any, names: Names) -> None:
    queue = names.queue("consume")
    channel.queue_declare(queue)
    for number in range(10):
        channel.basic_publish("", queue, b"%d" % number)
    for method, _properties, _body in channel.consume(queue):
        channel.basic_ack(method.delivery_tag)
        if method.delivery_tag == 4:
            break
    channel.cancel()
    wait_ready(channel, queue, 6)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"4"


def test_generator_ends_when_the_queue_is_deleted(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("consume")
    channel = connect().channel()
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"only")
    other = connect().channel()
    seen = []
    for _method, _properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=10):
        seen.append(body)
        other.queue_delete(queue)
    assert seen == [b"only"]
