"""Bodies of any size over frames of any negotiated size. Spec: AMQP 0-9-1, 4.2.6."""

from collections.abc import Callable
from typing import Any

import pika
import pytest

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


def pattern(size: int) -> bytes:
    """``size`` octets that differ from place to place, frame-end octets among them."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


@pytest.mark.parametrize("frame_max", [4096, 8192, 131072])
def test_bodies_around_the_frame_size_arrive_whole(frame_max: int, connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("sizes")
    channel = connect(frame_max=frame_max).channel()
    channel.queue_declare(queue)
    payload = frame_max - 8
    sizes = [0, 1, payload - 1, payload, payload + 1, 2 * payload, 2 * payload + 1, 5 * payload - 1, 0, 7]
    for size in sizes:
        channel.basic_publish("", queue, pattern(size))
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: len(inbox) == len(sizes))
    assert [len(body) for body in inbox.bodies] == sizes
    assert all(body == pattern(len(body)) for body in inbox.bodies)


@pytest.mark.parametrize(("out", "into"), [(4096, 131072), (131072, 4096), (131072, 131072)])
def test_five_megabytes_arrive_whole(out: int, into: int, connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("sizes")
    body = pattern(5_000_000)
    publisher, receiver = connect(frame_max=out).channel(), connect(frame_max=into).channel()
    publisher.queue_declare(queue, durable=True)
    publisher.confirm_delivery()
    for mode in (1, 2):
        publisher.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=mode))
    inbox = Inbox()
    receiver.basic_consume(queue, inbox)
    pump(receiver.connection, until=lambda: len(inbox) == 2, deadline_s=30)
    assert inbox.bodies == [body, body]
    receiver.basic_ack(2, multiple=True)


def test_frame_size_is_negotiated_down_to_the_clients_wish(connect: Callable[..., Any]) -> None:
    assert connect(frame_max=4096)._impl.params.frame_max == 4096
    assert connect()._impl.params.frame_max == 131072


def test_channel_limit_and_heartbeat_are_the_brokers_offer(connect: Callable[..., Any]) -> None:
    connection = connect()
    assert connection._impl.params.channel_max == 2047
    assert connection._impl.params.heartbeat == 60


def test_empty_bodies_keep_their_properties(channel: Any, names: Names) -> None:
    queue = names.queue("sizes")
    channel.queue_declare(queue)
    for number in range(3):
        channel.basic_publish("", queue, b"", pika.BasicProperties(message_id=str(number)))
    wait_ready(channel, queue, 3)
    found = [channel.basic_get(queue, auto_ack=True) for _ in range(3)]
    assert [(properties.message_id, body) for _method, properties, body in found] == [
        ("0", b""),
        ("1", b""),
        ("2", b""),
    ]


def test_big_and_small_messages_of_two_channels_mix_well(connection: Any, names: Names) -> None:
    queue = names.queue("sizes")
    channels = [connection.channel() for _ in range(2)]
    channels[0].queue_declare(queue)
    for number in range(20):
        channels[number % 2].basic_publish("", queue, pattern(300_000 if number % 3 else number))
    inbox = Inbox()
    channels[0].basic_consume(queue, inbox, auto_ack=True)
    pump(connection, until=lambda: len(inbox) == 20)
    sizes = sorted(len(body) for body in inbox.bodies)  # between channels no order is promised
    assert sizes == sorted(300_000 if number % 3 else number for number in range(20))
    assert all(body == pattern(len(body)) for body in inbox.bodies)


def test_body_that_looks_like_frames_is_left_alone(channel: Any, names: Names) -> None:
    queue = names.queue("sizes")
    channel.queue_declare(queue)
    method = pika.spec.Basic.Publish(exchange="", routing_key=queue)
    header = pika.frame.Header(1, 5, pika.BasicProperties())
    frames = pika.frame.Method(1, method).marshal() + header.marshal() + pika.frame.Body(1, b"inner").marshal()
    bodies = [frames * 10, b"plain", frames, b"\xce" * 100, frames[:-1]]
    for body in bodies * 20:
        channel.basic_publish("", queue, body)
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: len(inbox) == 100)
    assert inbox.bodies == bodies * 20
