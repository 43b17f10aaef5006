"""Exchange types beyond the specification's four, as a client sees them."""

import time
from typing import Any

import pika
import pytest
from pika.exceptions import UnroutableError

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, ready_count, wait_ready


def test_a_delayed_message_comes_late_and_says_so(channel: Any, names: Names) -> None:
    exchange, queue = names.exchange("delayed"), names.queue()
    channel.exchange_declare(exchange, "x-delayed-message", arguments={"x-delayed-type": "topic"})
    channel.queue_declare(queue)
    channel.queue_bind(queue, exchange, "a.#")
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    began_s = time.monotonic()
    for delay in (120, 60, 0):
        properties = pika.BasicProperties(headers={"x-delay": delay}, message_id=f"{delay}")
        channel.basic_publish(exchange, "a.b", b"body", properties)
    pump(channel.connection, until=lambda: len(inbox) == 3)
    assert time.monotonic() - began_s >= 0.119
    assert [delivery.properties.message_id for delivery in inbox] == ["0", "60", "120"]
    assert [delivery.properties.headers["x-delay"] for delivery in inbox] == [0, -60, -120]
    assert {(delivery.method.exchange, delivery.method.routing_key) for delivery in inbox} == {(exchange, "a.b")}


def test_a_delayed_mandatory_message_is_returned_and_comes_all_the_same(channel: Any, names: Names) -> None:
    exchange, queue = names.exchange("delayed"), names.queue()
    channel.exchange_declare(exchange, "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    channel.queue_declare(queue)
    channel.queue_bind(queue, exchange)
    channel.confirm_delivery()
    with pytest.raises(UnroutableError):
        channel.basic_publish(exchange, "", b"", pika.BasicProperties(headers={"x-delay": 20}), mandatory=True)
    wait_ready(channel, queue, 1)
    channel.basic_publish(exchange, "", b"", pika.BasicProperties(headers={"x-delay": -20}), mandatory=True)
    assert ready_count(channel, queue) == 2


def test_delayed_messages_obey_their_transaction(channel: Any, names: Names) -> None:
    exchange, queue = names.exchange("delayed"), names.queue()
    channel.exchange_declare(exchange, "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    channel.queue_declare(queue)
    channel.queue_bind(queue, exchange)
    channel.tx_select()
    for body in (b"undone", b"done"):
        channel.basic_publish(exchange, "", body, pika.BasicProperties(headers={"x-delay": 20}))
        if body == b"undone":
            channel.tx_rollback()
    channel.tx_commit()
    wait_ready(channel, queue, 1)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"done"


def test_delayed_blind_copies_stay_blind(channel: Any, names: Names) -> None:
    exchange, queues = names.exchange("delayed"), [names.queue(label) for label in ("to", "copy", "blind")]
    channel.exchange_declare(exchange, "x-delayed-message", arguments={"x-delayed-type": "direct"})
    for queue in queues:
        channel.queue_declare(queue)
        channel.queue_bind(queue, exchange, queue)
    to, copy, blind = queues
    headers = {"x-delay": 30, "CC": [copy], "BCC": [blind]}
    channel.basic_publish(exchange, to, b"body", pika.BasicProperties(headers=headers))
    for queue in queues:
        wait_ready(channel, queue, 1)
        _, properties, body = channel.basic_get(queue, auto_ack=True)
        assert (body, properties.headers) == (b"body", {"x-delay": -30, "CC": [copy]})


def test_a_run_of_messages_is_spread_by_chance(channel: Any, names: Names) -> None:
    exchange, queues = names.exchange("random"), [names.queue() for _ in range(3)]
    channel.exchange_declare(exchange, "x-random")
    for queue in queues:
        channel.queue_declare(queue)
        channel.queue_bind(queue, exchange)
    for _ in range(300):
        channel.basic_publish(exchange, "", b"same")
    found = [ready_count(channel, queue) for queue in queues]
    assert sum(found) == 300
    assert min(found) > 50


def test_each_key_finds_its_queue_and_weights_count(channel: Any, names: Names) -> None:
    exchange, queues = names.exchange("hash"), [names.queue() for _ in range(2)]
    channel.exchange_declare(exchange, "x-consistent-hash", arguments={"hash-header": "user"})
    for queue, weight in zip(queues, ("1", "3"), strict=True):
        channel.queue_declare(queue)
        channel.queue_bind(queue, exchange, weight)
    for _ in range(2):
        for user in range(200):
            properties = pika.BasicProperties(headers={"user": f"user {user}"})
            channel.basic_publish(exchange, "any key", b"%d" % user, properties)
    few, many = (ready_count(channel, queue) for queue in queues)
    assert few + many == 400
    assert 60 < few < 140
    users = [channel.basic_get(queues[0], auto_ack=True)[2] for _ in range(few)]
    assert sorted(users) == sorted(2 * sorted(set(users)))


def test_a_new_binding_gets_the_recent_history(channel: Any, names: Names) -> None:
    exchange, queue = names.exchange("history"), names.queue()
    channel.exchange_declare(exchange, "x-recent-history", arguments={"x-recent-history-length": 2})
    for number in range(4):
        channel.basic_publish(exchange, "k", b"%d" % number)
    channel.queue_declare(queue)
    channel.queue_bind(queue, exchange)
    channel.basic_publish(exchange, "k", b"live")
    assert ready_count(channel, queue) == 3
    assert [channel.basic_get(queue, auto_ack=True)[2] for _ in range(3)] == [b"2", b"3", b"live"]
