"""Queues far deeper than the 1 MiB that a broker may keep in memory here, of messages of several kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.brokers import RunningBroker
from tests.clients.waiting import ready_count
from tests.waiting import until

COUNT = 30_000
PERSISTENT = pika.BasicProperties(delivery_mode=2)
TRANSIENT = pika.BasicProperties(delivery_mode=1)


@pytest.fixture
def own_broker(start_broker: Callable[..., RunningBroker]) -> RunningBroker:
    """A broker with little room in memory."""
    return start_broker("--resident-octets", str(1 << 20))


def connected(broker: RunningBroker) -> Any:
    return pika.BlockingConnection(pika.URLParameters(broker.url))


def fill(broker: RunningBroker, queue: str, properties: list[pika.BasicProperties], count: int) -> None:
    connection = connected(broker)
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    for number in range(count):
        channel.basic_publish("", queue, b"%06d" % number * 10, properties[number // 100 % len(properties)])
    channel.confirm_delivery()
    channel.queue_declare("barrier", durable=True)
    channel.basic_publish("", "barrier", b"", PERSISTENT)
    connection.close()


def take(broker: RunningBroker, queue: str, count: int) -> list[int]:
    """Consume and ack ``count`` messages; return their numbers."""
    connection = connected(broker)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1000)
    found: list[int] = []
    for method, _, body in channel.consume(queue, inactivity_timeout=20):
        assert method is not None, f"no more came after {len(found)}"
        found.append(int(body[:6]))
        if len(found) % 500 == 0 or len(found) == count:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if len(found) == count:
            break
    channel.cancel()
    connection.close()
    return found


def page_files(broker: RunningBroker) -> list[Path]:
    return list((broker.data_dir / "pages").iterdir())


def wait_unpaged(broker: RunningBroker) -> None:
    """Until no page file is left; a thread removes them."""
    until(lambda: not page_files(broker), "a page file stays")


def test_transient_messages_are_paged_beside_persistent_ones(own_broker: RunningBroker) -> None:
    fill(own_broker, "mixed", [PERSISTENT, TRANSIENT], COUNT)
    assert page_files(own_broker)
    assert take(own_broker, "mixed", COUNT) == list(range(COUNT))
    wait_unpaged(own_broker)


def test_consumer_without_prefetch_that_acks_nothing_gives_all_back(own_broker: RunningBroker) -> None:
    fill(own_broker, "held", [PERSISTENT, TRANSIENT], COUNT)
    connection = connected(own_broker)
    for held, (method, _, _) in enumerate(connection.channel().consume("held", inactivity_timeout=20), start=1):
        assert method is not None, f"no more came after {held - 1}"
        if held == COUNT:
            break
    other = connected(own_broker)
    assert ready_count(other.channel(), "held") == 0
    assert page_files(own_broker), "the transient ones are in memory"
    other.close()
    connection.close()
    assert take(own_broker, "held", COUNT) == list(range(COUNT))
    wait_unpaged(own_broker)


def test_purged_deep_queue_stays_empty(own_broker: RunningBroker) -> None:
    fill(own_broker, "purged", [PERSISTENT, TRANSIENT], COUNT)
    connection = connected(own_broker)
    channel = connection.channel()
    assert channel.queue_purge("purged").method.message_count == COUNT
    channel.confirm_delivery()
    channel.basic_publish("", "barrier", b"", PERSISTENT)
    connection.close()
    wait_unpaged(own_broker)
    own_broker.kill()
    own_broker.start()
    connection = connected(own_broker)
    assert ready_count(connection.channel(), "purged") == 0
    connection.close()
