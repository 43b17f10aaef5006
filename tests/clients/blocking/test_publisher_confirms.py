"""Publisher confirms and mandatory returns. RabbitMQ: confirms; tutorials, seven."""

from collections.abc import Callable
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, UnroutableError

from tests.clients.names import Names
from tests.clients.waiting import pump, wait_ready

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
def test_confirmed_message_is_in_the_queue(durable: bool, channel: Any, names: Names) -> None:
    queue = names.queue("confirm")
    channel.queue_declare(queue, durable=durable)
    channel.confirm_delivery()
    for number in range(20):
        channel.basic_publish("", queue, b"%d" % number, PERSISTENT if durable else None)
    assert channel.queue_declare(queue, passive=True).method.message_count == 20


def test_unroutable_mandatory_message_raises_with_what_was_returned(channel: Any, names: Names) -> None:
    key = names.queue("nobody")
    channel.confirm_delivery()
    properties = pika.BasicProperties(message_id="m1", headers={"a": 1}, delivery_mode=2)
    with pytest.raises(UnroutableError) as unroutable:
        channel.basic_publish("amq.direct", key, b"lost letter", properties, mandatory=True)
    (returned,) = unroutable.value.messages
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.method.exchange, returned.method.routing_key) == ("amq.direct", key)
    assert returned.properties == properties
    assert returned.body == b"lost letter"


def test_unroutable_message_that_is_not_mandatory_is_confirmed(channel: Any, names: Names) -> None:
    channel.confirm_delivery()
    channel.basic_publish("", names.queue("nobody"), b"nowhere to go")
    assert channel.is_open


def test_channel_goes_on_confirming_after_a_return(channel: Any, names: Names) -> None:
    queue = names.queue("confirm")
    channel.queue_declare(queue)
    channel.confirm_delivery()
    for _ in range(3):
        channel.basic_publish("", queue, b"routed", mandatory=True)
        with pytest.raises(UnroutableError):
            channel.basic_publish("", queue + ".not", b"unrouted", mandatory=True)
    wait_ready(channel, queue, 3)


def test_mandatory_return_without_confirms_comes_by_callback(channel: Any, names: Names) -> None:
    key = names.queue("nobody")
    returned: list[Any] = []
    channel.add_on_return_callback(lambda _channel, method, _properties, body: returned.append((method, body)))
    channel.basic_publish("", key, b"back to me", mandatory=True)
    pump(channel.connection, until=lambda: bool(returned))
    method, body = returned[0]
    assert (method.reply_code, method.reply_text, method.exchange, method.routing_key) == (
        312,
        "NO_ROUTE",
        "",
        key,
    )
    assert body == b"back to me"


def test_large_and_empty_mandatory_bodies_come_back_whole(channel: Any, names: Names) -> None:
    channel.confirm_delivery()
    for body in (b"", b"x" * 400_000):
        with pytest.raises(UnroutableError) as unroutable:
            channel.basic_publish("", names.queue("nobody"), body, mandatory=True)
        assert unroutable.value.messages[0].body == body


def test_confirmed_publish_to_a_missing_exchange_raises_not_found(channel: Any, names: Names) -> None:
    exchange = names.exchange("missing")
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.basic_publish(exchange, "", b"to nowhere")
    assert closed.value.reply_code == 404


def test_confirm_after_tx_is_refused(channel: Any) -> None:
    channel.tx_select()
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.confirm_delivery()
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == "PRECONDITION_FAILED - cannot switch from tx to confirm mode"


def test_message_confirmed_to_one_is_seen_by_another_connection(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("confirm")
    publisher, reader = connect().channel(), connect().channel()
    publisher.queue_declare(queue, durable=True)
    publisher.confirm_delivery()
    for number in range(10):
        publisher.basic_publish("", queue, b"%d" % number, PERSISTENT)
        assert reader.basic_get(queue, auto_ack=True)[2] == b"%d" % number
