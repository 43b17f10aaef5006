"""lavinmq#1911, #2191: redelivered flag and delivery count were lost by a restart; poison came round for ever."""

from pathlib import Path
from typing import Any

import pika

from tests.brokers import RunningBroker

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def get(broker: RunningBroker) -> tuple[Any, Any, Any]:
    """Take the message and let the connection go without a word about it."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        found: tuple[Any, Any, Any] = connection.channel().basic_get("q")
        return found


def test_flag_and_count_outlive_kills_and_the_limit_holds(tmp_path: Path) -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2}
    with RunningBroker(tmp_path / "data") as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q", durable=True, arguments=arguments)
            channel.basic_publish("", "q", b"poison", PERSISTENT)
        for count in range(3):
            method, properties, body = get(broker)
            assert body == b"poison"
            assert method.redelivered is (count > 0)
            assert (properties.headers or {}).get("x-delivery-count", 0) == count
            with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
                connection.channel().queue_declare(f"d{count}", durable=True)  # all before it is on the disk
            broker.kill()
            broker.start()
        assert get(broker)[2] is None, "it came back more often than its limit"
