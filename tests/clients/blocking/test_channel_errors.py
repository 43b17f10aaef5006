"""A channel's error closes that channel alone, and its number can be opened again. Ref: channel.close."""

from collections.abc import Callable
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


def test_publish_to_a_missing_exchange_closes_the_channel_and_no_more(channel: Any, names: Names) -> None:
    connection, exchange, queue = channel.connection, names.exchange("missing"), names.queue("errors")
    neighbour = connection.channel()
    inbox = Inbox()
    neighbour.queue_declare(queue)
    neighbour.basic_consume(queue, inbox, auto_ack=True)
    channel.basic_publish(exchange, "key", b"to nowhere")
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare(queue)  # not done any more
    assert closed.value.reply_code == 404
    assert closed.value.reply_text == f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"
    neighbour.basic_publish("", queue, b"the neighbour works")
    pump(connection, until=lambda: inbox.bodies == [b"the neighbour works"])


def test_number_of_a_channel_that_failed_is_usable_again(channel: Any, names: Names) -> None:
    connection, number, queue = channel.connection, channel.channel_number, names.queue("errors")
    channel.queue_declare(queue)
    for _ in range(3):
        with pytest.raises(ChannelClosedByBroker):
            channel.queue_declare(queue, durable=True)
        channel = connection.channel(channel_number=number)
        assert channel.channel_number == number
        channel.basic_publish("", queue, b"works")
    wait_ready(channel, queue, 3)


def test_consumers_and_unacked_messages_leave_with_the_channel_that_failed(channel: Any, names: Names) -> None:
    connection, queue = channel.connection, names.queue("errors")
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"unacked")
    inbox = Inbox()
    channel.basic_consume(queue, inbox)
    pump(connection, until=lambda: len(inbox) == 1)
    with pytest.raises(ChannelClosedByBroker):
        channel.queue_declare(queue, durable=True)
    again = connection.channel()
    wait_ready(again, queue, 1)
    assert again.queue_declare(queue, passive=True).method.consumer_count == 0
    assert again.basic_get(queue)[0].redelivered is True


def test_passive_declare_of_what_is_not_there_is_not_found(connection: Any, names: Names) -> None:
    queue, exchange = names.queue("missing"), names.exchange("missing")
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().queue_declare(queue, passive=True)
    assert closed.value.reply_code == 404
    assert closed.value.reply_text == f"NOT_FOUND - no queue '{queue}' in vhost '/'"
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().exchange_declare(exchange, passive=True)
    assert closed.value.reply_code == 404
    assert closed.value.reply_text == f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"


def test_passive_declare_finds_what_is_there_whatever_its_properties(channel: Any, names: Names) -> None:
    queue, exchange = names.queue("there"), names.exchange("there")
    channel.queue_declare(queue, durable=True, arguments={"x-max-length": 10})
    channel.exchange_declare(exchange, exchange_type="topic", durable=True)
    found = channel.queue_declare(queue, passive=True).method
    assert (found.queue, found.message_count, found.consumer_count) == (queue, 0, 0)
    channel.exchange_declare(exchange, exchange_type="direct", passive=True)


def test_binding_to_what_is_not_there_is_not_found(connection: Any, names: Names) -> None:
    queue, exchange = names.queue("missing"), names.exchange("missing")
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().queue_bind(queue, "amq.direct", "key")
    assert closed.value.reply_text == f"NOT_FOUND - no queue '{queue}' in vhost '/'"
    channel = connection.channel()
    channel.queue_declare(queue)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_bind(queue, exchange, "key")
    assert closed.value.reply_text == f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"


def test_ack_of_an_unknown_tag_closes_the_channel(channel: Any, names: Names) -> None:
    queue = names.queue("errors")
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"one")
    wait_ready(channel, queue, 1)
    tag = channel.basic_get(queue)[0].delivery_tag
    channel.basic_ack(tag)
    channel.basic_ack(tag)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare(queue, passive=True)
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == f"PRECONDITION_FAILED - unknown delivery tag {tag}"


def test_default_exchange_cannot_be_declared_deleted_or_bound(connection: Any, names: Names) -> None:
    queue = names.queue("errors")
    connection.channel().queue_declare(queue)
    attempts: list[Callable[[Any], Any]] = [
        lambda channel: channel.exchange_declare("", exchange_type="direct", durable=True),
        lambda channel: channel.exchange_delete(""),
        lambda channel: channel.queue_bind(queue, "", "key"),
        lambda channel: channel.queue_unbind(queue, "", queue),
    ]
    for refused in attempts:
        with pytest.raises(ChannelClosedByBroker) as closed:
            refused(connection.channel())
        assert closed.value.reply_code == 403
        assert closed.value.reply_text == "ACCESS_REFUSED - operation not permitted on the default exchange"


def test_names_that_start_with_amq_are_reserved(connection: Any) -> None:
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().queue_declare("amq.mine")
    assert closed.value.reply_code == 403
    assert closed.value.reply_text == ("ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'")
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().exchange_declare("amq.mine")
    assert closed.value.reply_text == ("ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'")
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().exchange_delete("amq.direct")
    assert closed.value.reply_code == 403


def test_internal_exchange_takes_no_publishes(channel: Any, names: Names) -> None:
    exchange = names.exchange("internal")
    channel.exchange_declare(exchange, internal=True)
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.basic_publish(exchange, "key", b"refused")
    assert closed.value.reply_code == 403
    assert closed.value.reply_text == (
        f"ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '/'"
    )


def test_tag_used_twice_on_one_channel_closes_the_connection(channel: Any, names: Names) -> None:
    queue = names.queue("errors")
    channel.queue_declare(queue)
    channel._impl.basic_consume(queue, lambda *_: None, consumer_tag="twice")
    channel._impl._consumers.clear()  # pika itself would refuse the second one
    channel._impl.basic_consume(queue, lambda *_: None, consumer_tag="twice")
    with pytest.raises(ConnectionClosedByBroker) as closed:
        pump(channel.connection, until=lambda: False)
    assert closed.value.reply_code == 530
    assert closed.value.reply_text == "NOT_ALLOWED - attempt to reuse consumer tag 'twice'"


def test_immediate_publish_is_not_implemented(channel: Any, names: Names) -> None:
    method = pika.spec.Basic.Publish(exchange="", routing_key=names.queue("errors"), immediate=True)
    channel._impl._send_method(method, (pika.BasicProperties(), b"body"))
    with pytest.raises(ConnectionClosedByBroker) as closed:
        pump(channel.connection, until=lambda: False)
    assert closed.value.reply_code == 540
    assert closed.value.reply_text == "NOT_IMPLEMENTED - immediate=true"
