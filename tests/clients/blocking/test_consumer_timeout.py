"""What a client sees of the consumer timeout. RabbitMQ: Consumers, "Delivery Acknowledgement Timeout"."""

from collections.abc import Callable
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker

from tests.brokers import RunningBroker
from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump

TEXT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 400 ms. "
    "This timeout value can be configured, see consumers doc guide to learn more"
)


def test_an_unsettled_delivery_closes_the_channel_and_goes_to_the_next_consumer(
    connect: Callable[..., Any], names: Names
) -> None:
    slow, quick = connect(), connect()
    channel, other = slow.channel(), quick.channel()
    queue = names.queue()
    channel.queue_declare(queue, arguments={"x-consumer-timeout": 400})
    inbox, others_inbox = Inbox(), Inbox()
    channel.basic_consume(queue, inbox)
    channel.basic_publish("", queue, b"job")
    pump(slow, until=lambda: len(inbox) == 1)
    other.basic_consume(queue, others_inbox, auto_ack=True)
    reasons: list[Any] = []
    channel._impl.add_on_close_callback(lambda _, reason: reasons.append(reason))
    pump(slow, quick, until=lambda: bool(reasons))
    assert isinstance(reasons[0], ChannelClosedByBroker)
    assert (reasons[0].reply_code, reasons[0].reply_text) == (406, TEXT)
    pump(slow, quick, until=lambda: len(others_inbox) == 1)
    assert others_inbox.redelivered == [True]
    assert slow.is_open


def test_the_setting_holds_for_all_queues(start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--consumer-timeout-ms", "400")
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"job")
    assert channel.basic_get(queue)[2] == b"job"
    pump(connection, until=lambda: channel.is_closed)
    assert connection.is_open
    connection.close()
