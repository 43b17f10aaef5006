"""Delayed messages outlive the broker: none lost, none twice, none early. RabbitMQ: delayed message exchange."""

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pika

from tests.brokers import RunningBroker
from tests.clients.waiting import Inbox, notice_end, pump, ready_count, wait_ready

Connect = Callable[[], Any]
Outage = Callable[[], None]


def message_delayed(delay_ms: int, *, mode: int = 2) -> pika.BasicProperties:
    return pika.BasicProperties(delivery_mode=mode, headers={"x-delay": delay_ms})


def declare(connection: Any) -> Any:
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    channel.queue_declare("arrived", durable=True)
    channel.queue_bind("arrived", "later", "k")
    return channel


def test_confirmed_delayed_messages_arrive_after_the_outage_in_order_and_not_early(
    connect: Connect, outage: Outage
) -> None:
    channel = declare(connect())
    published_s = {}
    delays = [3000 - 40 * number for number in range(60)]
    for delay_ms in delays:
        published_s[delay_ms] = time.time()
        channel.basic_publish("later", "k", b"%d" % delay_ms, message_delayed(delay_ms))
    channel.basic_publish("later", "k", b"transient", message_delayed(3000, mode=1))
    outage()
    connection = connect()
    inbox = Inbox()
    channel = connection.channel()
    channel.basic_consume("arrived", inbox)
    arrived_s: dict[int, float] = {}

    def all_are_there() -> bool:
        for body in inbox.bodies[len(arrived_s) :]:
            arrived_s[int(body)] = time.time()
        return len(arrived_s) == len(delays)

    pump(connection, until=all_are_there)
    assert ready_count(channel, "arrived") == 0
    assert len(inbox) == len(delays)
    assert all(arrived_s[delay_ms] - published_s[delay_ms] >= delay_ms / 1000 - 0.002 for delay_ms in delays)
    assert [delivery.properties.headers["x-delay"] for delivery in inbox] == [-int(body) for body in inbox.bodies]
    due = {delay_ms: published_s[delay_ms] + delay_ms / 1000 for delay_ms in delays}
    order = [due[int(body)] for body in inbox.bodies]
    assert all(later > earlier - 0.02 for earlier, later in pairwise(order))


def has_ready(channel: Any, count: int) -> bool:
    return ready_count(channel, "arrived") >= count


def test_a_kill_while_messages_become_due_neither_loses_nor_doubles_any(
    connect: Connect, own_broker: RunningBroker
) -> None:
    connection = connect()
    declare(connection)
    channel = connection.channel()
    channel.tx_select()
    count = 1000
    for number in range(count):
        channel.basic_publish("later", "k", b"%d" % number, message_delayed(300 + number * 7 % count))
    channel.tx_commit()
    for arrived in (100, 400):
        pump(connection, until=partial(has_ready, channel, arrived))
        own_broker.kill()
        notice_end(connection)
        own_broker.start()
        connection = connect()
        channel = connection.channel()
    wait_ready(channel, "arrived", count)
    inbox = Inbox()
    channel.basic_consume("arrived", inbox)
    pump(connection, until=lambda: len(inbox) >= count)
    assert sorted(map(int, inbox.bodies)) == list(range(count))


def test_a_deleted_exchange_and_its_messages_stay_deleted(connect: Connect, outage: Outage) -> None:
    channel = declare(connect())
    channel.basic_publish("later", "k", b"never", message_delayed(300))
    channel.exchange_delete("later")
    outage()
    channel = declare(connect())
    channel.basic_publish("later", "k", b"after", message_delayed(400))
    wait_ready(channel, "arrived", 1)
    assert channel.basic_get("arrived", auto_ack=True)[2] == b"after"
