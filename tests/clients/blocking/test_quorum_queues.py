"""Quorum queues as pika sees them, over a restart too."""

from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from tests.brokers import RunningBroker
from tests.clients.names import Names
from tests.clients.waiting import Inbox, notice_end, pump, wait_ready

QUORUM = {"x-queue-type": "quorum"}


def declare(channel: Any, name: str, **arguments: object) -> str:
    extra = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name, durable=True, arguments=QUORUM | extra)
    return name


def test_redelivery_carries_its_count(channel: Any, names: Names) -> None:
    queue, inbox = declare(channel, names.queue()), Inbox()
    channel.basic_publish("", queue, b"x", pika.BasicProperties(headers={"mine": 1}))

    def take_and_nack(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        inbox(channel, method, properties, body)
        if len(inbox) < 4:
            channel.basic_nack(method.delivery_tag)

    channel.basic_consume(queue, take_and_nack)
    pump(channel.connection, until=lambda: len(inbox) == 4)
    headers = [delivery.properties.headers for delivery in inbox]
    assert headers == [{"mine": 1}, *({"mine": 1, "x-delivery-count": count} for count in (1, 2, 3))]
    assert inbox.redelivered == [False, True, True, True]


def test_poisonous_message_goes_to_the_dead_letter_queue(channel: Any, names: Names) -> None:
    dead = names.queue("dead")
    channel.queue_declare(dead, durable=True)
    limits = {"delivery_limit": 2, "dead_letter_exchange": "", "dead_letter_routing_key": dead}
    queue, inbox = declare(channel, names.queue(), **limits), Inbox()
    channel.basic_publish("", queue, b"poison")

    def fail(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        inbox(channel, method, properties, body)
        channel.basic_nack(method.delivery_tag)

    channel.basic_consume(queue, fail)
    wait_ready(channel, dead, 1)
    assert len(inbox) == 3
    _, properties, body = channel.basic_get(dead, auto_ack=True)
    assert (body, properties.headers["x-death"][0]["reason"]) == (b"poison", "delivery_limit")


def test_shared_prefetch_closes_the_connection(connect: Any, names: Names) -> None:
    channel = connect().channel()
    queue = declare(channel, names.queue())
    channel.basic_qos(prefetch_count=5, global_qos=True)
    with pytest.raises(ConnectionClosedByBroker) as closed:
        channel.basic_consume(queue, Inbox())
    assert closed.value.reply_code == 540


def test_an_exclusive_one_is_refused(channel: Any, names: Names) -> None:
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare(names.queue(), durable=True, exclusive=True, arguments=QUORUM)
    assert closed.value.reply_code == 406


def open_channel(broker: RunningBroker) -> Any:
    channel = pika.BlockingConnection(pika.URLParameters(broker.url)).channel()
    channel.confirm_delivery()
    return channel


@pytest.mark.parametrize("is_killed", [False, True])
def test_messages_and_counts_survive_a_restart(own_broker: RunningBroker, is_killed: bool) -> None:
    channel = open_channel(own_broker)
    declare(channel, "q", delivery_limit=9)
    for body in (b"returned", b"held", b"fresh"):
        channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=1))
    for count in (0, 1):
        method, properties, body = channel.basic_get("q")
        assert (body, properties.headers["x-delivery-count"]) == (b"returned", count)
        channel.basic_nack(method.delivery_tag)
    _, _, body = channel.basic_get("q")
    assert body == b"returned"
    _, _, body = channel.basic_get("q")
    assert body == b"held"
    if is_killed:
        channel.basic_publish("", "q", b"barrier")  # Confirmed: what was appended before is on disk.
        own_broker.kill()
    else:
        own_broker.stop()
    notice_end(channel.connection)
    own_broker.restart()
    channel = open_channel(own_broker)
    found = [channel.basic_get("q", auto_ack=True) for _ in range(3)]
    counts = {body: (method.redelivered, properties.headers["x-delivery-count"]) for method, properties, body in found}
    # Killed while out for the third time: that it would have come back is told nowhere.
    assert counts == {b"returned": (True, 2 if is_killed else 3), b"held": (True, 1), b"fresh": (False, 0)}
    channel.connection.close()
