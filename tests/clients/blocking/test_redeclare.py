"""Declaring again: the same is harmless, something else is 406 with a text that names the difference.

RabbitMQ: queues, property equivalence.
"""

from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.clients.names import Names


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ({}, {"durable": True}, "inequivalent arg 'durable' for {q}: received 'true' but current is 'false'"),
        ({"durable": True}, {}, "inequivalent arg 'durable' for {q}: received 'false' but current is 'true'"),
        (
            {},
            {"auto_delete": True},
            "inequivalent arg 'auto_delete' for {q}: received 'true' but current is 'false'",
        ),
        (
            {"arguments": {"x-max-length": 10}},
            {"arguments": {"x-max-length": 20}},
            "inequivalent arg 'x-max-length' for {q}: received '20' but current is '10'",
        ),
        (
            {},
            {"arguments": {"x-message-ttl": 60000}},
            "inequivalent arg 'x-message-ttl' for {q}: received the value '60000' of type 'signedint'"
            " but current is none",
        ),
        (
            {"arguments": {"x-dead-letter-exchange": "dead"}},
            {},
            "inequivalent arg 'x-dead-letter-exchange' for {q}: received none"
            " but current is the value 'dead' of type 'longstr'",
        ),
    ],
)
def test_queue_declared_otherwise_is_refused(
    first: dict[str, Any], second: dict[str, Any], difference: str, channel: Any, names: Names
) -> None:
    queue = names.queue("redeclare")
    channel.queue_declare(queue, **first)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare(queue, **second)
    described = difference.format(q=f"queue '{queue}' in vhost '/'")
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == f"PRECONDITION_FAILED - {described}"
    assert channel.connection.is_open


def test_queue_declared_with_the_same_arguments_is_accepted(channel: Any, names: Names) -> None:
    queue = names.queue("redeclare")
    for _ in range(2):
        channel.queue_declare(queue, durable=True, arguments={"x-max-length": 10, "x-unknown": "thing"})


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (
            {"exchange_type": "direct"},
            {"exchange_type": "fanout"},
            "inequivalent arg 'type' for {x}: received 'fanout' but current is 'direct'",
        ),
        ({}, {"durable": True}, "inequivalent arg 'durable' for {x}: received 'true' but current is 'false'"),
        (
            {"auto_delete": True},
            {},
            "inequivalent arg 'auto_delete' for {x}: received 'false' but current is 'true'",
        ),
        (
            {},
            {"internal": True},
            "inequivalent arg 'internal' for {x}: received 'true' but current is 'false'",
        ),
    ],
)
def test_exchange_declared_otherwise_is_refused(
    first: dict[str, Any], second: dict[str, Any], difference: str, channel: Any, names: Names
) -> None:
    exchange = names.exchange("redeclare")
    channel.exchange_declare(exchange, **first)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.exchange_declare(exchange, **second)
    described = difference.format(x=f"exchange '{exchange}' in vhost '/'")
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == f"PRECONDITION_FAILED - {described}"


def test_refused_declare_changes_nothing(channel: Any, names: Names) -> None:
    queue = names.queue("redeclare")
    channel.queue_declare(queue)
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"kept")
    with pytest.raises(ChannelClosedByBroker):
        channel.queue_declare(queue, durable=True)
    again = channel.connection.channel()
    assert again.queue_declare(queue).method.message_count == 1


def test_predeclared_exchange_may_be_declared_as_it_is(channel: Any) -> None:
    channel.exchange_declare("amq.topic", exchange_type="topic", durable=True)
