"""Topic exchanges: words, `*` for one, `#` for any number. RabbitMQ: tutorials, five."""

from typing import Any

import pytest

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


def bound_queue(channel: Any, exchange: str, *patterns: str) -> str:
    queue: str = channel.queue_declare("", exclusive=True).method.queue
    for pattern in patterns:
        channel.queue_bind(queue, exchange, routing_key=pattern)
    return queue


def test_animals_go_to_the_queues_that_describe_them(channel: Any, names: Names) -> None:
    topic = names.exchange("topic")
    channel.exchange_declare(topic, exchange_type="topic")
    first = bound_queue(channel, topic, "*.orange.*")
    second = bound_queue(channel, topic, "*.*.rabbit", "lazy.#")
    inboxes = {queue: Inbox() for queue in (first, second)}
    for queue, inbox in inboxes.items():
        channel.basic_consume(queue, inbox, auto_ack=True)
    keys = (
        "quick.orange.rabbit",
        "lazy.orange.elephant",
        "quick.orange.fox",
        "lazy.brown.fox",
        "lazy.pink.rabbit",
        "quick.brown.fox",
        "orange",
        "quick.orange.new.rabbit",
        "lazy.orange.new.rabbit",
        "lazy",
    )
    for key in keys:
        channel.basic_publish(topic, key, key.encode())
    pump(channel.connection, until=lambda: [len(it) for it in inboxes.values()] == [3, 6])
    assert inboxes[first].bodies == [b"quick.orange.rabbit", b"lazy.orange.elephant", b"quick.orange.fox"]
    assert inboxes[second].bodies == [
        b"quick.orange.rabbit",
        b"lazy.orange.elephant",
        b"lazy.brown.fox",
        b"lazy.pink.rabbit",
        b"lazy.orange.new.rabbit",
        b"lazy",
    ]


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("#", {"", "a", "a.b", "a.b.c", ".", "a.", ".a", "a..b", "b.c.a", "a.x.y.b", "ab"}),
        ("*", {"a", "ab"}),
        ("*.*", {"a.b", ".", "a.", ".a"}),
        ("a.#", {"a", "a.b", "a.b.c", "a.", "a..b", "a.x.y.b"}),
        ("#.a", {"a", ".a", "b.c.a"}),
        ("a.#.b", {"a.b", "a..b", "a.x.y.b"}),
        ("#.b.#", {"a.b", "a.b.c", "a..b", "b.c.a", "a.x.y.b"}),
        ("*.#", {"a", "a.b", "a.b.c", ".", "a.", ".a", "a..b", "b.c.a", "a.x.y.b", "ab"}),
        ("", {""}),
        ("a*", set()),
        ("a.b.c", {"a.b.c"}),
    ],
)
def test_pattern_matches_whole_words(pattern: str, matching: set[str], channel: Any, names: Names) -> None:
    topic = names.exchange("topic")
    channel.exchange_declare(topic, exchange_type="topic")
    queue = bound_queue(channel, topic)
    channel.queue_bind(queue, topic, routing_key=pattern)
    for key in ("", "a", "a.b", "a.b.c", ".", "a.", ".a", "a..b", "b.c.a", "a.x.y.b", "ab"):
        channel.basic_publish(topic, key, b"key:" + key.encode())
    channel.basic_publish("", queue, b"behind them")
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: b"behind them" in inbox.bodies)
    assert {it.method.routing_key for it in inbox[:-1]} == matching
    assert len(inbox) == len(matching) + 1


def test_queue_with_overlapping_patterns_gets_one_copy(channel: Any, names: Names) -> None:
    topic = names.exchange("topic")
    channel.exchange_declare(topic, exchange_type="topic")
    queue = bound_queue(channel, topic, "#", "kern.*", "*.critical", "kern.critical")
    channel.basic_publish(topic, "kern.critical", b"once")
    channel.basic_publish("", queue, b"behind it")
    wait_ready(channel, queue, 2)


def test_unbinding_one_pattern_leaves_the_others(channel: Any, names: Names) -> None:
    topic = names.exchange("topic")
    channel.exchange_declare(topic, exchange_type="topic")
    queue = bound_queue(channel, topic, "kern.#", "*.critical")
    channel.queue_unbind(queue, topic, routing_key="kern.#")
    channel.basic_publish(topic, "kern.info", b"gone")
    channel.basic_publish(topic, "kern.critical", b"kept")
    wait_ready(channel, queue, 1)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"kept"
