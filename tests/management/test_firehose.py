"""The firehose: what is published and delivered in a traced virtual host, once more. RabbitMQ: Firehose Tracer."""

from collections.abc import Callable
from typing import Any

import pika
import pytest

from tests.management.client import Api
from tests.management.conftest import Node

DEADLINE_S = 20.0
PROPERTIES = pika.BasicProperties(
    content_type="text/plain",
    headers={"h": 1, "CC": ["other"]},
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    expiration="60000",
    timestamp=1234567,
    user_id="guest",
)

Trace = tuple[str, bytes, dict[str, Any]]
Connect = Callable[..., Any]


def traces(channel: Any, count: int) -> list[Trace]:
    """Return so many copies from the queue ``trace``; no more may be there."""
    found: list[Trace] = []
    for method, properties, body in channel.consume("trace", auto_ack=True, inactivity_timeout=DEADLINE_S):
        if method is None:
            break
        found.append((method.routing_key, body, dict(properties.headers)))
        if len(found) == count:
            break
    channel.cancel()
    assert len(found) == count, found
    return found


@pytest.fixture
def channel(connect: Connect) -> Any:
    """A channel with a queue that gets all copies, and a queue ``work`` to be traced."""
    channel = connect().channel()
    channel.queue_declare("work", durable=True)
    channel.queue_declare("trace", exclusive=True)
    channel.queue_bind("trace", "amq.rabbitmq.trace", "#")
    return channel


def test_traced_vhost_copies_publishes_and_deliveries(
    api: Api, node: Node, place: str, vhost: str, channel: Any
) -> None:
    """As the copies of RabbitMQ 3.10 are, but that only queues that are there are told as reached."""
    assert api.put(f"vhosts/{place}", {"tracing": True}) == 204
    channel.basic_publish("", "work", b"one", PROPERTIES)
    channel.basic_publish("amq.fanout", "nowhere", b"")
    _, delivered, _ = channel.basic_get("work", auto_ack=True)
    assert delivered.headers == {"h": 1, "CC": ["other"]}
    publish, unroutable, deliver = traces(channel, 3)

    facts = {
        "node": api.get("overview")["node"],
        "vhost": vhost,
        "connection": api.get("connections")[0]["name"],
        "channel": 1,
        "user": "guest",
    }
    properties = {
        "user_id": "guest",
        "timestamp": 1234567,
        "expiration": "60000",
        "correlation_id": "c",
        "priority": 3,
        "delivery_mode": 2,
        "headers": {"h": 1, "CC": ["other"]},
        "content_type": "text/plain",
    }
    message = {"exchange_name": "", "routing_keys": ["work", "other"], "properties": properties}
    assert publish == ("publish.", b"one", {**message, **facts, "routed_queues": ["work"]})
    assert deliver == ("deliver.work", b"one", {**message, **facts, "redelivered": 0})
    message = {"exchange_name": "amq.fanout", "routing_keys": ["nowhere"], "properties": {}}
    assert unroutable == ("publish.amq.fanout", b"", {**message, **facts, "routed_queues": []})


def test_consumers_and_publishers_of_before_are_traced_from_now_on_and_no_longer(
    api: Api, place: str, channel: Any
) -> None:
    consumed: list[bytes] = []

    def consume(*delivery: Any) -> None:
        consumed.append(delivery[3])

    channel.basic_consume("work", consume, auto_ack=True, consumer_tag="worker")

    def publish(*bodies: bytes) -> None:
        for body in bodies:
            channel.basic_publish("", "work", body)
        while bodies[-1] not in consumed:
            channel.connection.process_data_events(time_limit=1)

    publish(b"before")
    api.put(f"vhosts/{place}", {"tracing": True})
    publish(b"1", b"2")
    api.put(f"vhosts/{place}", {"tracing": False})
    publish(b"after")
    api.put(f"vhosts/{place}", {"description": "tracing is left as it is"})
    publish(b"later")
    channel.basic_cancel("worker")
    found = sorted((key, body) for key, body, _ in traces(channel, 4))
    assert found == [("deliver.work", b"1"), ("deliver.work", b"2"), ("publish.", b"1"), ("publish.", b"2")]


def test_copies_are_not_copied_and_may_go_to_a_traced_queue(api: Api, place: str, channel: Any) -> None:
    channel.queue_bind("work", "amq.rabbitmq.trace", "publish.#")
    api.put(f"vhosts/{place}", {"tracing": True})
    channel.basic_publish("amq.fanout", "", b"one")
    assert [(key, body) for key, body, _ in traces(channel, 1)] == [("publish.amq.fanout", b"one")]
    method, _, body = channel.basic_get("work", auto_ack=True)
    assert (method.exchange, method.routing_key, body) == ("amq.rabbitmq.trace", "publish.amq.fanout", b"one")
    channel.basic_publish("amq.fanout", "", b"two")
    assert [body for _, body, _ in traces(channel, 1)] == [b"two"]


def test_what_is_published_and_got_by_http_is_traced(api: Api, place: str, vhost: str, channel: Any) -> None:
    api.put(f"vhosts/{place}", {"tracing": True})
    api.publish(vhost, "work", "one")
    got = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    assert [each["payload"] for each in api.post(f"queues/{place}/work/get", got).body] == ["one"]
    found = [(key, body, headers["connection"], headers["user"]) for key, body, headers in traces(channel, 2)]
    assert found == [("publish.", b"one", "HTTP API", "guest"), ("deliver.work", b"one", "HTTP API", "guest")]


def test_message_of_many_frames_is_copied_whole(api: Api, place: str, channel: Any) -> None:
    api.put(f"vhosts/{place}", {"tracing": True})
    body = bytes(range(256)) * 2000
    channel.basic_publish("", "work", body)
    assert [(key, each) for key, each, _ in traces(channel, 1)] == [("publish.", body)]


def test_vhost_says_whether_it_is_traced(api: Api, place: str) -> None:
    assert api.get(f"vhosts/{place}")["tracing"] is False
    for is_on in (True, True, False):
        assert api.put(f"vhosts/{place}", {"tracing": is_on}) == 204
        assert api.get(f"vhosts/{place}")["tracing"] is is_on


def test_deliveries_to_consumers_in_turn_are_each_copied(api: Api, place: str, channel: Any) -> None:
    consumed: list[tuple[str, bytes]] = []

    def consume(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        consumed.append((method.consumer_tag, body))

    for number in range(6):
        channel.basic_publish("", "work", b"%d" % number)
    while channel.queue_declare("work", passive=True).method.message_count < 6:
        pass
    api.put(f"vhosts/{place}", {"tracing": True})
    for tag in ("a", "b"):
        channel.basic_consume("work", consume, auto_ack=True, consumer_tag=tag)
    for number in range(6, 12):
        channel.basic_publish("", "work", b"%d" % number)
    while len(consumed) < 12:
        channel.connection.process_data_events(time_limit=1)
    for tag in ("a", "b"):
        channel.basic_cancel(tag)
    keys = [(key, body) for key, body, _ in traces(channel, 18)]
    delivered = {body for key, body in keys if key == "deliver.work"}
    assert delivered == {b"%d" % number for number in range(12)}
    assert {body for key, body in keys if key == "publish."} == {b"%d" % number for number in range(6, 12)}
