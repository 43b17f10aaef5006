"""Message properties and headers go through unchanged. Ref: basic; RabbitMQ: amqp-0-9-1-errata, field types.

pika can neither send nor truly read floating point numbers; aio-pika's tests do.
"""

import datetime
import decimal
from typing import Any

import pika
import pytest

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump

ALL_PROPERTIES: dict[str, Any] = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "headers": {"key": "value"},
    "delivery_mode": 2,
    "priority": 7,
    "correlation_id": "correlation-1",
    "reply_to": "some.queue",
    "expiration": "600000",
    "message_id": "message-1",
    "timestamp": 1_700_000_000,
    "type": "order.created",
    "user_id": "guest",
    "app_id": "shop",
    "cluster_id": "cluster",
}

HEADERS: dict[str, Any] = {
    "true": True,
    "false": False,
    "small": 1,
    "negative": -1,
    "big": 2**40,
    "biggest": 2**63 - 1,
    "lowest": -(2**63),
    "text": "grüße, 世界",
    "empty text": "",
    "none": None,
    "octets": b"\x00\x01\xff\xfe",
    "time": datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC),
    "decimal": decimal.Decimal("12.34"),
    "list": [1, "two", [None, {"deep": [True]}], {}],
    "empty list": [],
    "table": {"inner": {"innermost": {"n": 1, "l": ["x"]}}, "empty": {}},
    "k" * 128: "long key",
    "long text": "x" * 10_000,
}


def round_trip(channel: Any, names: Names, properties: Any) -> Any:
    queue = names.queue("properties")
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"body", properties)
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: bool(inbox))
    return inbox[0].properties


def test_all_fourteen_properties_arrive_unchanged(channel: Any, names: Names) -> None:
    sent = pika.BasicProperties(**ALL_PROPERTIES)
    assert len(ALL_PROPERTIES) == 14
    found = round_trip(channel, names, sent)
    assert {name: getattr(found, name) for name in ALL_PROPERTIES} == ALL_PROPERTIES


@pytest.mark.parametrize("name", sorted(ALL_PROPERTIES))
def test_single_property_arrives_alone(name: str, channel: Any, names: Names) -> None:
    sent = pika.BasicProperties(**{name: ALL_PROPERTIES[name]})
    found = round_trip(channel, names, sent)
    assert found == sent


def test_message_without_properties_arrives_without(channel: Any, names: Names) -> None:
    found = round_trip(channel, names, None)
    assert found == pika.BasicProperties()


def test_headers_of_every_type_arrive_unchanged(channel: Any, names: Names) -> None:
    found = round_trip(channel, names, pika.BasicProperties(headers=HEADERS))
    # pika sends bytes as a byte array and reads timestamps as naive UTC
    expected = {**HEADERS, "time": found.headers["time"]}
    assert found.headers == expected
    assert [found.headers[name] for name in ("true", "false", "none")] == [True, False, None]
    assert (found.headers["true"] is True, found.headers["small"] is True) == (True, False)
    moment = found.headers["time"]
    assert moment.replace(tzinfo=datetime.UTC) == HEADERS["time"]


def test_empty_headers_table_arrives_empty(channel: Any, names: Names) -> None:
    assert round_trip(channel, names, pika.BasicProperties(headers={})).headers == {}


def test_each_message_keeps_its_own_properties(channel: Any, names: Names) -> None:
    queue = names.queue("properties")
    channel.queue_declare(queue)
    for number in range(200):
        about = pika.BasicProperties(
            message_id=f"m{number}", correlation_id=str(number), headers={"n": number, "retries": number % 3}
        )
        channel.basic_publish("", queue, b"x" * (number % 50), about)
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: len(inbox) == 200)
    for number, delivery in enumerate(inbox):
        assert delivery.properties.message_id == f"m{number}"
        assert delivery.properties.headers == {"n": number, "retries": number % 3}
        assert delivery.body == b"x" * (number % 50)


def test_user_id_of_somebody_else_is_refused(channel: Any, names: Names) -> None:
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        channel.basic_publish("", names.queue("properties"), b"", pika.BasicProperties(user_id="mallory"))
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == (
        "PRECONDITION_FAILED - user_id property set to 'mallory' but authenticated user was 'guest'"
    )
