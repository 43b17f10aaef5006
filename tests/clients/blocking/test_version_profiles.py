"""A broker that is to be like RabbitMQ 4.3, seen with pika: tomorrow's refusals in today's tests."""

from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from tests.brokers import RunningBroker


@pytest.fixture
def connection(start_broker: Callable[..., RunningBroker]) -> Iterator[Any]:
    broker = start_broker("--compat", "4.3")
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    yield connection
    if connection.is_open:
        connection.close()


def test_the_version_is_of_that_line_and_leveret_has_keys_of_its_own(connection: Any) -> None:
    properties = connection._impl.server_properties
    assert properties["product"] == "RabbitMQ"
    assert properties["version"].startswith("4.3.")
    assert properties["implementation"] == "Leveret"
    assert properties["implementation_version"]


def test_a_transient_shared_queue_closes_the_connection(connection: Any) -> None:
    with pytest.raises(ConnectionClosedByBroker) as closed:
        connection.channel().queue_declare("q")
    assert closed.value.reply_code == 541
    assert closed.value.reply_text.startswith("INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\n")


def test_durable_and_exclusive_queues_work(connection: Any) -> None:
    channel = connection.channel()
    channel.queue_declare("durable", durable=True)
    exclusive = channel.queue_declare("", exclusive=True).method.queue
    for queue in ("durable", exclusive):
        channel.basic_publish("", queue, b"m")
        assert channel.basic_get(queue, auto_ack=True)[2] == b"m"


def test_an_unknown_exchange_type_closes_the_channel_alone(connection: Any) -> None:
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().exchange_declare("x", "x-none")
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == "PRECONDITION_FAILED - unknown exchange type 'x-none'"


def test_a_message_over_16_mib_closes_the_channel(connection: Any) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.basic_publish("", "nowhere", b"m" * ((16 << 20) + 1))
    assert closed.value.reply_text == (
        "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216"
    )


def test_frames_below_8192_octets_are_refused(connection: Any) -> None:
    parameters = pika.ConnectionParameters(
        host=connection._impl.params.host, port=connection._impl.params.port, frame_max=4096
    )
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        pika.BlockingConnection(parameters)
