"""Each message that is looked at tells how long it has been there, wherever it is, and over a restart."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.brokers import RunningBroker
from tests.management.client import Api

COARSE_MS = 2500
"""A second, which docs/management.md states, and what the answer took; what counts is that it is not older by more."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    with RunningBroker(tmp_path / "data", "--management-port", "any", "--resident-octets", "1048576") as broker:
        yield broker


@pytest.fixture
def connect(broker: RunningBroker) -> Iterator[Callable[[], Any]]:
    """A function that opens a connection and gives it with a channel that confirms."""
    opened: list[Any] = []

    def connect() -> Any:
        opened.append(pika.BlockingConnection(pika.URLParameters(broker.url)))
        channel = opened[-1].channel()
        channel.confirm_delivery()
        return channel

    yield connect
    for connection in opened:
        if connection.is_open:
            connection.close()


def api_of(broker: RunningBroker) -> Api:
    return Api(int(broker.wait_for_event("HTTP")["port"]))


class Stopwatch:
    """Knows between which ages a message must be that was published while it was entered."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ended = self._began

    def __enter__(self) -> "Stopwatch":
        self._began = time.monotonic()
        return self

    def __exit__(self, *args: object) -> None:
        self._ended = time.monotonic()

    def check(self, ask: Callable[[], list[int]]) -> None:
        """Assert that all of the ages that ``ask`` gets are those of what was published then."""
        least_ms = (time.monotonic() - self._ended) * 1000 - 5
        ages_ms = ask()
        most_ms = (time.monotonic() - self._began) * 1000 + COARSE_MS
        assert ages_ms
        assert all(least_ms <= age_ms <= most_ms for age_ms in ages_ms), (least_ms, min(ages_ms), max(ages_ms), most_ms)


def ages(api: Api, queue: str, query: str = "") -> list[int]:
    return [item["age_ms"] for item in api.get(f"queues/%2F/{queue}/messages?limit=1000&truncate=0{query}")["items"]]


def fill(channel: Any, queue: str, count: int, mode: int, octets: int = 2000, **properties: Any) -> None:
    for _ in range(count):
        channel.basic_publish("", queue, bytes(octets), pika.BasicProperties(delivery_mode=mode, **properties))


@pytest.mark.parametrize("mode", [1, 2], ids=["in pages", "in the log"])
def test_age_of_messages_in_memory_and_out_of_it(broker: RunningBroker, connect: Callable[[], Any], mode: int) -> None:
    api = api_of(broker)
    channel = connect()
    channel.queue_declare("deep", durable=True)
    with Stopwatch() as first:
        fill(channel, "deep", 900, mode)
    assert api.get("queues/%2F/deep")["messages_paged_out"] > 0
    first.check(lambda: ages(api, "deep"))
    with Stopwatch() as second:
        fill(channel, "deep", 1, mode, timestamp=1)
    second.check(lambda: ages(api, "deep", "&offset=900"))


def test_age_is_known_after_a_restart(broker: RunningBroker, connect: Callable[[], Any]) -> None:
    channel = connect()
    for name, arguments in {"plain": {}, "sure": {"x-queue-type": "quorum"}, "log": {"x-queue-type": "stream"}}.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    with Stopwatch() as before:
        for name in ("plain", "sure", "log"):
            fill(channel, name, 5, 2)
    channel.connection.close()
    broker.stop()
    broker.start()
    api = api_of(broker)
    for name in ("plain", "sure", "log"):
        before.check(lambda name=name: ages(api, name))  # type: ignore[misc]
    channel = connect()
    with Stopwatch() as after:
        fill(channel, "plain", 1, 2)
    before.check(lambda: ages(api, "plain")[:5])
    after.check(lambda: ages(api, "plain")[5:])


def test_unacked_messages_tell_position_holder_age_and_whether_they_came_before(
    broker: RunningBroker, connect: Callable[[], Any]
) -> None:
    api = api_of(broker)
    channel = connect()
    channel.queue_declare("q", durable=True)
    with Stopwatch() as published:
        fill(channel, "q", 3, 2)
    channel.basic_nack(channel.basic_get("q")[0].delivery_tag)
    tags = [channel.basic_get("q")[0].delivery_tag for _ in range(3)]
    page = api.get("queues/%2F/q/messages?state=unacked")
    assert [item["position"] for item in page["items"]] == [0, 1, 2]
    assert [item["redelivered"] for item in page["items"]] == [True, False, False]
    assert [item["holder"]["delivery_tag"] for item in page["items"]] == tags
    assert {item["holder"]["channel"] for item in page["items"]} == {api.get("channels")[0]["name"]}
    assert {(item["holder"]["user"], item["holder"]["consumer_tag"]) for item in page["items"]} == {("guest", None)}
    published.check(lambda: ages(api, "q", "&state=unacked"))
    shown = api.get("queues/%2F/q")
    assert (shown["message_bytes"], shown["message_bytes_unacknowledged"], shown["message_bytes_ready"]) == (
        6000,
    ) * 2 + (0,)
    assert (shown["messages_persistent"], shown["message_bytes_persistent"]) == (3, 6000)


def test_delayed_messages_tell_since_when_they_wait(broker: RunningBroker, connect: Callable[[], Any]) -> None:
    api = api_of(broker)
    channel = connect()
    channel.queue_declare("q", durable=True)
    channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    channel.queue_bind("q", "later", "k")
    with Stopwatch() as published:
        channel.basic_publish("later", "k", b"x", pika.BasicProperties(headers={"x-delay": 3_600_000}))
    published.check(lambda: ages(api, "q", "&state=delayed"))
