"""Messages were got over HTTP only up to the first that had expired on disk: fewer than were asked for, and there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.management.conftest import Node, channel_of, deep_node
from tests.management.test_browsing import publish, settled
from tests.waiting import until

GET = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto", "truncate": 6}
COUNT = 6000


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with deep_node(tmp_path_factory) as node:
        yield node


@pytest.fixture
def channel(deep: Node) -> Iterator[Any]:
    with channel_of(deep) as channel:
        yield channel


@pytest.mark.parametrize("mode", [1, 2], ids=["in pages", "in the log"])
@pytest.mark.parametrize("keeps", ["ack_requeue_false", "ack_requeue_true"])
def test_all_that_lives_is_got_at_once_however_much_has_expired_between(
    deep: Node, channel: Any, mode: int, keeps: str
) -> None:
    api, queue = deep.api, f"mortal{mode}{keeps}"
    channel.queue_declare(queue, durable=True)
    publish(channel, queue, range(1), delivery_mode=mode)
    publish(channel, queue, range(1, COUNT), delivery_mode=mode, expiration="1")
    publish(channel, queue, range(COUNT, COUNT + 2), delivery_mode=mode)
    shown = settled(api, queue, COUNT + 2)
    assert shown["messages_paged_out"] > COUNT // 2
    answer = api.post(f"queues/%2F/{queue}/get", {**GET, "count": 10, "ackmode": keeps})
    assert [message["payload"] for message in answer.body] == ["000000", f"{COUNT:06d}", f"{COUNT + 1:06d}"]
    left = 0 if keeps == "ack_requeue_false" else 3
    until(lambda: api.get(f"queues/%2F/{queue}")["messages"] == left, "others are there")


def test_nothing_is_got_where_all_has_expired(deep: Node, channel: Any) -> None:
    channel.queue_declare("gone", durable=True)
    publish(channel, "gone", range(1), delivery_mode=2)
    publish(channel, "gone", range(1, COUNT), delivery_mode=2, expiration="1")
    settled(deep.api, "gone", COUNT)
    first = deep.api.post("queues/%2F/gone/get", GET).body
    assert [message["payload"] for message in first] == ["000000"]
    assert deep.api.post("queues/%2F/gone/get", GET).body == []
    assert deep.api.get("queues/%2F/gone")["messages"] == 0


def test_a_queue_deleted_while_messages_are_looked_for_is_no_error(deep: Node, channel: Any) -> None:
    channel.queue_declare("hasty", durable=True)
    publish(channel, "hasty", range(1), delivery_mode=2)
    publish(channel, "hasty", range(1, COUNT), delivery_mode=2, expiration="1")
    settled(deep.api, "hasty", COUNT)
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(deep.api.post, "queues/%2F/hasty/get", {**GET, "count": 10})
        assert deep.api.delete("queues/%2F/hasty") == 204
    answer = held.result()
    if answer.status == 404:
        assert answer.body["error"] == "not_found"
    else:
        assert (answer.status, [message["payload"] for message in answer.body]) == (200, ["000000"])
