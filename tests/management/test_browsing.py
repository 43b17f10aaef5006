"""Messages of a deep queue are looked at where they are: in memory, in the log or in page files."""

from collections.abc import Iterator
from typing import Any

import pika
import pytest

from tests.management.client import Api
from tests.management.conftest import Node, channel_of, deep_node

COUNT = 4000
BODY = b"." * 1500


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with deep_node(tmp_path_factory) as node:
        yield node


@pytest.fixture
def channel(deep: Node) -> Iterator[Any]:
    with channel_of(deep) as channel:
        yield channel


def seen(api: Api, queue: str, page: int = 777) -> list[int]:
    """Return the numbers of all messages, page by page."""
    numbers: list[int] = []
    while True:
        answer = api.get(f"queues/%2F/{queue}/messages?offset={len(numbers)}&limit={page}&truncate=6")
        assert [item["position"] for item in answer["items"]] == [
            len(numbers) + at for at in range(len(answer["items"]))
        ]
        assert not any(item["redelivered"] for item in answer["items"])
        numbers += [int(item["payload"]) for item in answer["items"]]
        if not answer["items"]:
            assert answer["total_count"] == len(numbers)
            return numbers


def publish(channel: Any, queue: str, numbers: range, **properties: Any) -> None:
    for number in numbers:
        channel.basic_publish("", queue, b"%06d" % number + BODY, pika.BasicProperties(**properties))


def settled(api: Api, queue: str, count: int) -> dict[str, Any]:
    """Return the queue once it has so many ready messages."""
    answer = api("GET", f"queues/%2F/{queue}/wait?min_messages={count}&timeout=60")
    assert answer.status == 200, answer
    shown: dict[str, Any] = api.get(f"queues/%2F/{queue}")
    return shown


def consume(channel: Any, queue: str, count: int) -> list[int]:
    """Return the numbers of the next messages, which were never delivered before."""
    channel.basic_qos(prefetch_count=0)
    numbers = []
    for method, _, body in channel.consume(queue, auto_ack=True):
        assert not method.redelivered
        numbers.append(int(body[:6]))
        if len(numbers) == count:
            break
    channel.cancel()
    return numbers


@pytest.mark.parametrize("mode", [1, 2], ids=["in pages", "in the log"])
def test_all_messages_are_seen_in_order_and_nothing_changes(deep: Node, channel: Any, mode: int) -> None:
    queue = f"deep{mode}"
    channel.queue_declare(queue, durable=True)
    publish(channel, queue, range(COUNT), delivery_mode=mode)
    shown = settled(deep.api, queue, COUNT)
    assert shown["messages_paged_out"] > COUNT // 2
    assert seen(deep.api, queue) == list(range(COUNT))
    assert deep.api.get(f"queues/%2F/{queue}")["messages_ready"] == COUNT
    assert consume(channel, queue, COUNT) == list(range(COUNT))


def test_messages_of_a_priority_queue_are_seen_as_they_leave(deep: Node, channel: Any) -> None:
    channel.queue_declare("levels", durable=True, arguments={"x-max-priority": 3})
    for priority in (1, 3, 2):
        publish(channel, "levels", range(priority * 1000, priority * 1000 + 900), delivery_mode=2, priority=priority)
    settled(deep.api, "levels", 2700)
    expected = [level * 1000 + number for level in (3, 2, 1) for number in range(900)]
    assert seen(deep.api, "levels") == expected
    channel.queue_delete("levels")


def test_page_ends_before_its_bodies_are_too_much(deep: Node, channel: Any) -> None:
    channel.queue_declare("large", durable=True)
    for number in range(8):
        channel.basic_publish("", "large", b"%06d" % number + bytes(6 << 20), pika.BasicProperties(delivery_mode=2))
    settled(deep.api, "large", 8)
    answer = deep.api.get("queues/%2F/large/messages?truncate=6")
    assert 0 < answer["item_count"] < 8
    assert seen(deep.api, "large") == list(range(8))
    channel.queue_delete("large")
