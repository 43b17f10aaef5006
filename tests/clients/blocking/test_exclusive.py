"""Queues and consumers that belong to one alone. RabbitMQ: queues, exclusive; consumers, exclusivity."""

from collections.abc import Callable
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


@pytest.mark.parametrize(
    "attempt",
    [
        lambda channel, queue: channel.queue_declare(queue, passive=True),
        lambda channel, queue: channel.queue_declare(queue, exclusive=True),
        lambda channel, queue: channel.queue_declare(queue),
        lambda channel, queue: channel.basic_consume(queue, Inbox()),
        lambda channel, queue: channel.basic_get(queue),
        lambda channel, queue: channel.queue_purge(queue),
        lambda channel, queue: channel.queue_delete(queue),
        lambda channel, queue: channel.queue_bind(queue, "amq.direct", "key"),
    ],
    ids=["passive", "exclusive", "shared", "consume", "get", "purge", "delete", "bind"],
)
def test_exclusive_queue_is_locked_for_other_connections(
    attempt: Callable[[Any, str], Any], connect: Callable[..., Any], names: Names
) -> None:
    queue = names.queue("exclusive")
    owner = connect().channel()
    owner.queue_declare(queue, exclusive=True)
    with pytest.raises(ChannelClosedByBroker) as closed:
        attempt(connect().channel(), queue)
    assert closed.value.reply_code == 405
    assert closed.value.reply_text.startswith(
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'."
    )


def test_exclusive_queue_can_be_published_to_from_anywhere(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("exclusive")
    owner = connect().channel()
    owner.queue_declare(queue, exclusive=True)
    connect().channel().basic_publish("", queue, b"from outside")
    wait_ready(owner, queue, 1)


def test_exclusive_queue_serves_all_channels_of_its_connection(connection: Any, names: Names) -> None:
    queue = names.queue("exclusive")
    connection.channel().queue_declare(queue, exclusive=True)
    other = connection.channel()
    other.queue_declare(queue, exclusive=True)
    other.basic_publish("", queue, b"mine")
    wait_ready(other, queue, 1)


def test_exclusive_queue_outlives_its_channel(connection: Any, names: Names) -> None:
    queue = names.queue("exclusive")
    channel = connection.channel()
    channel.queue_declare(queue, exclusive=True)
    channel.close()
    assert connection.channel().queue_declare(queue, passive=True).method.queue == queue


def test_name_of_an_exclusive_queue_is_free_after_its_connection_closed(
    connect: Callable[..., Any], names: Names
) -> None:
    queue = names.queue("exclusive")
    for _ in range(5):
        owner = connect()
        owner.channel().queue_declare(queue, exclusive=True)
        owner.close()  # the broker deletes the queue before it says close-ok
    assert connect().channel().queue_declare(queue, exclusive=True).method.message_count == 0


def test_exclusive_consumer_shuts_out_others(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("exclusive")
    first = connect().channel()
    first.queue_declare(queue)
    first.basic_consume(queue, Inbox(), exclusive=True, consumer_tag="first")
    for exclusive in (False, True):
        with pytest.raises(ChannelClosedByBroker) as closed:
            connect().channel().basic_consume(queue, Inbox(), exclusive=exclusive)
        assert closed.value.reply_code == 403
        assert closed.value.reply_text == f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
    first.basic_cancel("first")
    connect().channel().basic_consume(queue, Inbox())


def test_exclusive_consumer_is_refused_beside_another(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("exclusive")
    first = connect().channel()
    first.queue_declare(queue)
    inbox = Inbox()
    first.basic_consume(queue, inbox, auto_ack=True)
    with pytest.raises(ChannelClosedByBroker) as closed:
        connect().channel().basic_consume(queue, Inbox(), exclusive=True)
    assert closed.value.reply_code == 403
    first.basic_publish("", queue, b"still served")
    pump(first.connection, until=lambda: inbox.bodies == [b"still served"])
