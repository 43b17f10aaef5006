"""nack, reject and recover: back to the place it came from, or dropped. RabbitMQ: nack, confirms."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


@pytest.fixture
def queue(channel: Any, names: Names) -> str:
    """A queue with the messages 0 to 4."""
    queue = names.queue("requeue")
    channel.queue_declare(queue)
    for number in range(5):
        channel.basic_publish("", queue, b"%d" % number)
    wait_ready(channel, queue, 5)
    return queue


def drain(channel: Any, queue: str) -> list[tuple[bytes, bool]]:
    """Take everything that is ready: bodies and redelivered flags."""
    found = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append((got[2], got[0].redelivered))
    return found


def test_nacked_message_returns_to_its_place(channel: Any, queue: str) -> None:
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(3)]
    channel.basic_nack(tags[1])
    wait_ready(channel, queue, 3)
    assert drain(channel, queue) == [(b"1", True), (b"3", False), (b"4", False)]
    channel.basic_ack(tags[0])
    channel.basic_ack(tags[2])


def test_nack_multiple_restores_the_whole_order(channel: Any, queue: str) -> None:
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(4)]
    channel.basic_nack(tags[2], multiple=True)
    wait_ready(channel, queue, 4)
    assert drain(channel, queue) == [(b"0", True), (b"1", True), (b"2", True), (b"4", False)]
    channel.basic_ack(tags[3])


def test_nack_of_tag_zero_returns_all_that_is_outstanding(channel: Any, queue: str) -> None:
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(4)]
    channel.basic_ack(tags[1])
    channel.basic_nack(0, multiple=True)
    wait_ready(channel, queue, 4)
    assert [body for body, _redelivered in drain(channel, queue)] == [b"0", b"2", b"3", b"4"]


@pytest.mark.parametrize("refuse", ["basic_nack", "basic_reject"])
def test_message_refused_without_requeue_is_dropped(refuse: str, channel: Any, queue: str) -> None:
    tag = channel.basic_get(queue)[0].delivery_tag
    getattr(channel, refuse)(tag, requeue=False)
    assert [body for body, _redelivered in drain(channel, queue)] == [b"1", b"2", b"3", b"4"]


def test_rejected_message_returns_redelivered(channel: Any, queue: str) -> None:
    tag = channel.basic_get(queue)[0].delivery_tag
    channel.basic_reject(tag, requeue=True)
    wait_ready(channel, queue, 5)
    assert drain(channel, queue)[:2] == [(b"0", True), (b"1", False)]


def test_requeued_message_goes_to_a_waiting_consumer(connect: Callable[..., Any], queue: str) -> None:
    first, second = connect().channel(), connect().channel()
    first_inbox, second_inbox = Inbox(), Inbox()
    first.basic_consume(queue, first_inbox, consumer_tag="first")
    pump(first.connection, until=lambda: len(first_inbox) == 5)
    first.basic_cancel("first")
    second.basic_consume(queue, second_inbox)
    for tag in (first_inbox.tags[3], first_inbox.tags[1]):
        first.basic_nack(tag)
    pump(second.connection, until=lambda: len(second_inbox) == 2)
    assert sorted(second_inbox.bodies) == [b"1", b"3"]
    assert second_inbox.redelivered == [True, True]


def test_lone_consumer_that_requeues_gets_the_message_again(channel: Any, queue: str) -> None:
    inbox = Inbox()
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue, inbox)
    pump(channel.connection, until=lambda: len(inbox) == 1)
    channel.basic_nack(inbox.tags[0])
    pump(channel.connection, until=lambda: len(inbox) == 2)
    channel.basic_ack(inbox.tags[1])
    pump(channel.connection, until=lambda: len(inbox) == 3)
    assert inbox.bodies == [b"0", b"0", b"1"]
    assert inbox.redelivered == [False, True, False]
    assert inbox.tags == [1, 2, 3]


def test_recover_gives_unacked_messages_again_in_order(channel: Any, queue: str) -> None:
    inbox = Inbox()
    channel.basic_consume(queue, inbox)
    pump(channel.connection, until=lambda: len(inbox) == 5)
    channel.basic_ack(inbox.tags[2])
    channel.basic_recover(requeue=True)
    pump(channel.connection, until=lambda: len(inbox) == 9)
    assert inbox.bodies[5:] == [b"0", b"1", b"3", b"4"]
    assert inbox.redelivered[5:] == [True] * 4
    assert inbox.tags == list(range(1, 10))


def test_recover_requeues_got_messages(channel: Any, queue: str) -> None:
    for _ in range(3):
        channel.basic_get(queue)
    wait_ready(channel, queue, 2)
    channel.basic_recover(requeue=True)
    wait_ready(channel, queue, 5)
    flags = [redelivered for _body, redelivered in drain(channel, queue)]
    assert flags == [True, True, True, False, False]


def test_ack_multiple_after_a_nack_does_not_touch_the_requeued_message(channel: Any, queue: str) -> None:
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(3)]
    channel.basic_nack(tags[0])
    channel.basic_ack(tags[2], multiple=True)
    wait_ready(channel, queue, 3)
    assert [body for body, _redelivered in drain(channel, queue)] == [b"0", b"3", b"4"]
