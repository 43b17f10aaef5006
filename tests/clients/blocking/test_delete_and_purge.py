"""queue.delete, queue.purge and exchange.delete: counts and conditions. Ref: queue.delete, queue.purge."""

from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


@pytest.fixture
def queue(channel: Any, names: Names) -> str:
    """A queue with five messages."""
    queue = names.queue("delete")
    channel.queue_declare(queue)
    for number in range(5):
        channel.basic_publish("", queue, b"%d" % number)
    wait_ready(channel, queue, 5)
    return queue


def test_purge_counts_and_drops_the_ready_messages(channel: Any, queue: str) -> None:
    tag = channel.basic_get(queue)[0].delivery_tag
    assert channel.queue_purge(queue).method.message_count == 4
    assert channel.queue_purge(queue).method.message_count == 0
    channel.basic_nack(tag)
    wait_ready(channel, queue, 1)


def test_delete_counts_the_ready_messages(channel: Any, queue: str) -> None:
    channel.basic_get(queue)
    assert channel.queue_delete(queue).method.message_count == 4
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare(queue, passive=True)
    assert closed.value.reply_code == 404


def test_delete_of_a_queue_that_is_not_there_is_accepted(channel: Any, names: Names) -> None:
    assert channel.queue_delete(names.queue("missing")).method.message_count == 0


def test_queue_declared_again_after_delete_is_empty_and_unbound(channel: Any, queue: str) -> None:
    channel.queue_bind(queue, "amq.direct", queue)
    channel.queue_delete(queue)
    assert channel.queue_declare(queue).method.message_count == 0
    channel.basic_publish("amq.direct", queue, b"by the old binding")
    channel.basic_publish("", queue, b"behind it")
    wait_ready(channel, queue, 1)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"behind it"


def test_delete_if_empty_refuses_a_queue_with_messages(connection: Any, channel: Any, queue: str) -> None:
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_delete(queue, if_empty=True)
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"
    again = connection.channel()
    assert again.queue_purge(queue).method.message_count == 5
    assert again.queue_delete(queue, if_empty=True).method.message_count == 0


def test_delete_if_unused_refuses_a_queue_with_consumers(connection: Any, queue: str) -> None:
    consumer = connection.channel()
    inbox = Inbox()
    consumer.basic_consume(queue, inbox, auto_ack=True, consumer_tag="user")
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().queue_delete(queue, if_unused=True)
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"
    pump(connection, until=lambda: len(inbox) == 5)
    consumer.basic_cancel("user")
    assert consumer.queue_delete(queue, if_unused=True).method.message_count == 0


def test_delete_if_unused_refuses_an_exchange_with_bindings(connection: Any, queue: str, names: Names) -> None:
    exchange = names.exchange("delete")
    channel = connection.channel()
    channel.exchange_declare(exchange)
    channel.queue_bind(queue, exchange, "key")
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.exchange_delete(exchange, if_unused=True)
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '/' in use"
    channel = connection.channel()
    channel.queue_unbind(queue, exchange, "key")
    channel.exchange_delete(exchange, if_unused=True)


def test_deleted_exchange_takes_its_bindings_along(channel: Any, queue: str, names: Names) -> None:
    exchange = names.exchange("delete")
    channel.exchange_declare(exchange, exchange_type="fanout")
    channel.queue_bind(queue, exchange)
    channel.exchange_delete(exchange)
    channel.exchange_declare(exchange, exchange_type="fanout")
    channel.basic_publish(exchange, "", b"unbound")
    channel.basic_publish("", queue, b"behind it")
    wait_ready(channel, queue, 6)


def test_deleting_an_exchange_that_is_not_there_and_a_binding_that_is_not_there_are_accepted(
    channel: Any, queue: str, names: Names
) -> None:
    channel.exchange_delete(names.exchange("missing"))
    channel.queue_unbind(queue, "amq.direct", "never bound")
    assert channel.is_open
