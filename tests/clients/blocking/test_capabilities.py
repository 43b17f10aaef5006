"""What the broker says of itself in connection.start. RabbitMQ: extensions; consumer-cancel, capabilities."""

from typing import Any

import pika
import pytest

from tests.brokers import RunningBroker


@pytest.mark.parametrize(
    "capability",
    [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "authentication_failure_close",
        "per_consumer_qos",
    ],
)
def test_capability_that_clients_look_for_is_offered(capability: str, connection: Any) -> None:
    assert connection._impl.server_capabilities[capability] is True


def test_server_properties_name_product_and_version(connection: Any) -> None:
    properties = connection._impl.server_properties
    assert {"product", "version", "platform", "copyright", "information"} <= set(properties)
    assert all(isinstance(properties[name], str) for name in ("product", "version", "platform"))


def test_pika_finds_every_extension_supported(connection: Any) -> None:
    assert connection.publisher_confirms_supported
    assert connection.basic_nack_supported
    assert connection.consumer_cancel_notify_supported
    assert connection.exchange_exchange_bindings_supported


@pytest.mark.xfail(reason="offered before there are alarms that block", strict=True)
def test_blocked_notifications_that_are_never_sent_are_not_offered(own_broker: RunningBroker) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(own_broker.url))
    offered = connection._impl.server_capabilities
    connection.close()
    assert not offered.get("connection.blocked", False)
