"""Properties by name, held against pamqp's encoder."""

from datetime import UTC, datetime
from struct import pack
from typing import Any

import pytest
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from protocol.errors import FrameError
from protocol.properties import FLAGS, properties_by_name

ALL = {
    "content_type": "text/plain",
    "content_encoding": "gzip",
    "headers": {"a": 1},
    "delivery_mode": 2,
    "priority": 255,
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "100",
    "message_id": "m" * 255,
    "timestamp": datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC),
    "type": "ü",
    "user_id": "guest",
    "app_id": "app",
}


def payload_of(**properties: Any) -> bytes:
    named = {"message_type" if name == "type" else name: value for name, value in properties.items()}
    return bytes(ContentHeader(0, 5, Basic.Properties(**named)).marshal())


def test_every_property_has_its_name_in_the_order_of_the_wire() -> None:
    found = properties_by_name(payload_of(**ALL))
    assert found == {**ALL, "timestamp": 2_000_000_000}
    assert [*found, "cluster_id"] == list(FLAGS)


@pytest.mark.parametrize("name", ALL)
def test_property_alone(name: str) -> None:
    assert list(properties_by_name(payload_of(**{name: ALL[name]}))) == [name]


def test_headers_that_nobody_can_read_are_none() -> None:
    payload = pack(">HHQH", 60, 0, 0, FLAGS["headers"] | FLAGS["app_id"]) + b"\x00\x00\x00\x02\x05a" + b"\x01x"
    assert properties_by_name(payload) == {"headers": {}, "app_id": "x"}


def test_property_over_the_end_is_an_error() -> None:
    with pytest.raises(FrameError):
        properties_by_name(pack(">HHQH", 60, 0, 0, FLAGS["app_id"]) + b"\x09x")
