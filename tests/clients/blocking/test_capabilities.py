"""What the broker says of itself in connection.start. RabbitMQ: extensions; consumer-cancel, capabilities."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    "capability",
    [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "connection.blocked",
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
