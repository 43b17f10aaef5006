"""Streams as pika sees them, over a restart too."""

from collections.abc import Callable
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from tests.brokers import RunningBroker
from tests.clients.names import Names
from tests.clients.waiting import Inbox, notice_end, pump, wait_ready

STREAM = {"x-queue-type": "stream"}


def declare(channel: Any, name: str, **arguments: object) -> str:
    extra = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name, durable=True, arguments=STREAM | extra)
    return name


def read(channel: Any, queue: str, count: int, **arguments: object) -> list[tuple[int, bytes]]:
    """Offset and body of the next ``count`` messages, acknowledged one by one under a prefetch of 10."""
    inbox = Inbox()

    def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        inbox(channel, method, properties, body)
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=10)
    table = {"x-stream-" + key.replace("_", "-"): value for key, value in arguments.items()}
    tag = channel.basic_consume(queue, take, arguments=table)
    pump(channel.connection, until=lambda: len(inbox) >= count)
    channel.basic_cancel(tag)
    return [(delivery.properties.headers["x-stream-offset"], delivery.body) for delivery in inbox]


def test_two_readers_get_all_of_it_each(connection: Any, names: Names) -> None:
    channel = connection.channel()
    queue = declare(channel, names.queue())
    channel.confirm_delivery()
    for n in range(30):
        channel.basic_publish("", queue, b"%d" % n)
    wanted = [(n, b"%d" % n) for n in range(30)]
    for _ in range(2):
        assert read(connection.channel(), queue, 30, offset="first") == wanted
    assert read(connection.channel(), queue, 5, offset=25) == wanted[25:]
    wait_ready(channel, queue, 30)


def test_run_of_many_messages_gets_an_offset_each(connection: Any, names: Names) -> None:
    channel = connection.channel()
    queue = declare(channel, names.queue())
    properties = pika.BasicProperties(headers={"k": "v"}, content_type="text/plain", message_id="m")
    inbox = Inbox()
    channel.basic_qos(prefetch_count=5000)
    channel.basic_consume(queue, inbox)
    for _ in range(5000):
        channel.basic_publish("", queue, b"equal", properties)
    pump(connection, until=lambda: len(inbox) == 5000)
    assert [delivery.properties.headers for delivery in inbox] == [
        {"k": "v", "x-stream-offset": n} for n in range(5000)
    ]
    assert {(delivery.properties.message_id, delivery.body) for delivery in inbox} == {("m", b"equal")}


def test_filter_is_exact(channel: Any, names: Names) -> None:
    queue = declare(channel, names.queue())
    channel.confirm_delivery()
    for value in ("red", "green", None, "red"):
        headers = {} if value is None else {"x-stream-filter-value": value}
        channel.basic_publish("", queue, str(value).encode(), pika.BasicProperties(headers=headers))
    assert read(channel, queue, 2, offset="first", filter="red") == [(0, b"red"), (3, b"red")]
    found = read(channel, queue, 2, offset="first", filter="green", match_unfiltered=True)
    assert found == [(1, b"green"), (2, b"None")]


def test_consumer_without_prefetch_is_refused(channel: Any, names: Names) -> None:
    queue = declare(channel, names.queue())
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.basic_consume(queue, Inbox())
    assert closed.value.reply_code == 406


@pytest.mark.parametrize("what", ["get", "purge", "automatic acks"])
def test_what_a_stream_cannot_do_closes_the_connection(connect: Any, names: Names, what: str) -> None:
    channel = connect().channel()
    queue = declare(channel, names.queue())
    channel.basic_qos(prefetch_count=1)
    calls: dict[str, Callable[[], Any]] = {
        "get": lambda: channel.basic_get(queue),
        "purge": lambda: channel.queue_purge(queue),
        "automatic acks": lambda: channel.basic_consume(queue, Inbox(), auto_ack=True),
    }
    with pytest.raises(ConnectionClosedByBroker) as closed:
        calls[what]()
    assert closed.value.reply_code == 540


def open_channel(broker: RunningBroker) -> Any:
    channel = pika.BlockingConnection(pika.URLParameters(broker.url)).channel()
    channel.confirm_delivery()
    return channel


@pytest.mark.parametrize("is_killed", [False, True])
def test_messages_offsets_and_retention_survive_restarts(own_broker: RunningBroker, is_killed: bool) -> None:
    channel = open_channel(own_broker)
    declare(channel, "s", max_length_bytes=20_000, stream_max_segment_size_bytes=5_000)
    published = 0
    first = 0
    for _ in range(3):
        for _ in range(30):
            channel.basic_publish("", "s", b"%d" % published + bytes(1000))
            published += 1
        before = read(channel, "s", 10, offset="first")
        assert before[0][0] >= max(first, 1)
        first = before[0][0]
        if is_killed:
            own_broker.kill()
        else:
            own_broker.stop()
        notice_end(channel.connection)
        own_broker.restart()
        channel = open_channel(own_broker)
        kept = read(channel, "s", published - first, offset="first")
        assert kept == [(n, b"%d" % n + bytes(1000)) for n in range(first, published)]
        wait_ready(channel, "s", published - first)
    channel.connection.close()
