"""A stream through one durable queue beside one old message: the directory stays small, the old message stays."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.brokers import RunningBroker
from tests.clients.waiting import Inbox, pump

SEGMENT_OCTETS = 1 << 18
STREAM_OCTETS = 40 * SEGMENT_OCTETS
BODY_OCTETS = 16_384
MOST_OCTETS = 6 * SEGMENT_OCTETS
PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def own_broker(start_broker: Callable[..., RunningBroker]) -> RunningBroker:
    return start_broker("--segment-octets", str(SEGMENT_OCTETS))


def octets_in(directory: Path) -> int:
    octets = 0
    for path in directory.rglob("*.segment"):
        with suppress(FileNotFoundError):  # it was trimmed meanwhile
            octets += path.stat().st_size
    return octets


def test_directory_stays_bounded_beside_an_old_unconsumed_message(
    own_broker: RunningBroker, connect: Callable[[], Any], outage: Callable[[], None]
) -> None:
    channel = connect().channel()
    for queue in ("old", "stream"):
        channel.queue_declare(queue, durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "old", b"keep me", PERSISTENT)
    consumer = channel.connection.channel()
    inbox = Inbox()
    consumer.basic_consume("stream", inbox)
    count = STREAM_OCTETS // BODY_OCTETS
    largest_octets = 0
    for number in range(count):
        channel.basic_publish("", "stream", b"%d" % number + b"x" * BODY_OCTETS, PERSISTENT)
        if number % 5 == 4:
            pump(channel.connection, until=lambda wanted=number + 1: len(inbox) >= wanted)  # type: ignore[misc]
            consumer.basic_ack(inbox.tags[-1], multiple=True)
            largest_octets = max(largest_octets, octets_in(own_broker.data_dir))
    assert largest_octets < MOST_OCTETS
    channel.connection.close()
    outage()
    assert octets_in(own_broker.data_dir) < MOST_OCTETS
    channel = connect().channel()
    method, _properties, body = channel.basic_get("old", auto_ack=True)
    assert (body, method.redelivered) == (b"keep me", False)
    left = channel.queue_purge("stream").method.message_count
    assert left <= 20  # the last acks may not have been on disk yet
