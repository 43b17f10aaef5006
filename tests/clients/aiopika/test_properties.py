"""Properties, headers and bodies round trip with aio-pika, which types headers otherwise than pika."""

import datetime
import decimal
import struct
from typing import Any

import pamqp.encode
import pytest
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from tests.clients.aiopika.taking import Mailbox
from tests.clients.names import Names

HEADERS: dict[str, Any] = {
    "true": True,
    "small": 1,
    "negative": -70_000,
    "big": 2**40,
    "float": 0.5,  # pamqp sends single precision
    "negative float": -1234.0625,
    "text": "grüße, 世界",
    "none": None,
    "octets": bytearray(b"\x00\x01\xff\xfe"),
    "time": datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC),
    "decimal": decimal.Decimal("12.34"),
    "list": [1, "two", 3.5, None, {"deep": [True, [2.5]]}],
    "table": {"inner": {"innermost": {"n": 1.5, "l": ["x"]}}, "empty": {}},
}


async def round_trip(channel: AbstractChannel, names: Names, message: Message) -> AbstractIncomingMessage:
    queue = await channel.declare_queue(names.queue("properties"))
    await channel.default_exchange.publish(message, queue.name)
    return await (await Mailbox.of(queue, no_ack=True)).take()


async def test_headers_of_every_type_arrive_unchanged(channel: AbstractChannel, names: Names) -> None:
    found = await round_trip(channel, names, Message(b"body", headers=HEADERS))
    assert found.headers == HEADERS


async def test_double_precision_headers_arrive_unchanged(
    channel: AbstractChannel, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_value = pamqp.encode.encode_table_value

    def encode_double(value: Any) -> bytes:
        return b"d" + struct.pack(">d", value) if isinstance(value, float) else encode_value(value)

    monkeypatch.setattr(pamqp.encode, "encode_table_value", encode_double)
    headers: dict[str, Any] = {"pi": 3.141592653589793, "huge": -1e300, "list": [0.1, {"deep": 1e-300}]}
    found = await round_trip(channel, names, Message(b"body", headers=headers))
    assert found.headers == headers


async def test_all_properties_arrive_unchanged(channel: AbstractChannel, names: Names) -> None:
    sent = Message(
        b"body",
        headers={"h": 1},
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=DeliveryMode.PERSISTENT,
        priority=7,
        correlation_id="correlation",
        reply_to="some.queue",
        expiration=600,
        message_id="message",
        timestamp=datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC),
        type="order.created",
        user_id="guest",
        app_id="shop",
    )
    found = await round_trip(channel, names, sent)
    for name in (
        "headers",
        "content_type",
        "content_encoding",
        "delivery_mode",
        "priority",
        "correlation_id",
        "reply_to",
        "message_id",
        "timestamp",
        "type",
        "app_id",
    ):
        assert getattr(found, name) == getattr(sent, name), name
    assert (found.user_id, found.expiration) == ("guest", 600)
    assert found.properties.expiration == "600000"


@pytest.mark.parametrize("size", [0, 1, 131_064, 131_065, 5_000_000])
async def test_bodies_of_any_size_arrive_whole(size: int, channel: AbstractChannel, names: Names) -> None:
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert (await round_trip(channel, names, Message(body))).body == body
