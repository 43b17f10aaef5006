"""tx: publishes and settlements that happen together, or not at all. Spec: AMQP 0-9-1, 1.9 (Ref: tx)."""

from collections.abc import Callable
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.clients.names import Names
from tests.clients.waiting import pump, ready_count, wait_ready

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
def test_publishes_appear_at_commit(durable: bool, connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("tx")
    channel, watcher = connect().channel(), connect().channel()
    channel.queue_declare(queue, durable=durable)
    channel.tx_select()
    for number in range(3):
        channel.basic_publish("", queue, b"%d" % number, PERSISTENT if durable else None)
    assert ready_count(channel, queue) == 0
    channel.tx_commit()
    assert [watcher.basic_get(queue, auto_ack=True)[2] for _ in range(4)] == [b"0", b"1", b"2", None]


def test_publishes_vanish_at_rollback(channel: Any, names: Names) -> None:
    queue = names.queue("tx")
    channel.queue_declare(queue)
    channel.tx_select()
    channel.basic_publish("", queue, b"never")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"now")
    channel.tx_commit()
    assert [channel.basic_get(queue)[2] for _ in range(2)] == [b"now", None]


def test_acks_count_at_commit(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("tx")
    producer = connect().channel()
    producer.queue_declare(queue)
    for number in range(3):
        producer.basic_publish("", queue, b"%d" % number)
    wait_ready(producer, queue, 3)
    channel = connect().channel()
    channel.tx_select()
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(3)]
    channel.basic_ack(tags[0])
    channel.tx_commit()
    channel.basic_ack(tags[1])
    channel.connection.close()
    wait_ready(producer, queue, 2)
    assert [producer.basic_get(queue, auto_ack=True)[2] for _ in range(2)] == [b"1", b"2"]


def test_rolled_back_ack_can_be_given_again(channel: Any, names: Names) -> None:
    queue = names.queue("tx")
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"one")
    wait_ready(channel, queue, 1)
    channel.tx_select()
    tag = channel.basic_get(queue)[0].delivery_tag
    channel.basic_ack(tag)
    channel.tx_rollback()
    assert ready_count(channel, queue) == 0
    channel.basic_ack(tag)
    channel.tx_commit()
    channel.close()
    assert ready_count(channel.connection.channel(), queue) == 0


def test_nack_requeues_at_commit(channel: Any, names: Names) -> None:
    queue = names.queue("tx")
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"one")
    wait_ready(channel, queue, 1)
    channel.tx_select()
    tag = channel.basic_get(queue)[0].delivery_tag
    channel.basic_nack(tag, requeue=True)
    assert ready_count(channel, queue) == 0
    channel.tx_commit()
    wait_ready(channel, queue, 1)
    assert channel.basic_get(queue)[0].redelivered is True


def test_closing_the_channel_rolls_back(channel: Any, names: Names) -> None:
    queue = names.queue("tx")
    channel.queue_declare(queue)
    channel.tx_select()
    channel.basic_publish("", queue, b"never")
    channel.close()
    assert ready_count(channel.connection.channel(), queue) == 0


def test_mandatory_return_comes_at_commit(channel: Any, names: Names) -> None:
    key = names.queue("nobody")
    returned: list[bytes] = []
    channel.add_on_return_callback(lambda _channel, _method, _properties, body: returned.append(body))
    channel.tx_select()
    channel.basic_publish("", key, b"back to me", mandatory=True)
    channel.queue_declare("", exclusive=True)
    channel.connection.process_data_events(time_limit=0)
    assert returned == []
    channel.tx_commit()
    pump(channel.connection, until=lambda: returned == [b"back to me"])


def test_commit_into_a_full_queue_closes_the_channel_when_the_rest_is_done(
    connect: Callable[..., Any], names: Names
) -> None:
    queue = names.queue("full")
    channel, watcher = connect().channel(), connect().channel()
    channel.queue_declare(queue, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.tx_select()
    for body in (b"a", b"b"):
        channel.basic_publish("", queue, body)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.tx_commit()
    assert (closed.value.reply_code, closed.value.reply_text) == (406, "PRECONDITION_FAILED - partial tx completion")
    assert [watcher.basic_get(queue)[2] for _ in range(2)] == [b"a", None]


def test_queue_declared_again_before_commit_gets_what_was_published_to_its_name(channel: Any, names: Names) -> None:
    queue = names.queue("tx")
    channel.tx_select()
    channel.basic_publish("", queue, b"before it was there")
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"while it was there")
    channel.queue_delete(queue)
    channel.queue_declare(queue)
    channel.tx_commit()
    assert [channel.basic_get(queue)[2] for _ in range(3)] == [b"before it was there", b"while it was there", None]


def test_publish_to_a_missing_exchange_fails_at_once(channel: Any, names: Names) -> None:
    channel.tx_select()
    channel.basic_publish(names.exchange("missing"), "", b"to nowhere")
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.tx_commit()
    assert closed.value.reply_code == 404


@pytest.mark.parametrize("end", ["tx_commit", "tx_rollback"])
def test_ending_a_transaction_that_never_began_is_refused(end: str, channel: Any) -> None:
    with pytest.raises(ChannelClosedByBroker) as closed:
        getattr(channel, end)()
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == "PRECONDITION_FAILED - channel is not transactional"


def test_tx_after_confirm_is_refused(channel: Any) -> None:
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.tx_select()
    assert closed.value.reply_code == 406
    assert closed.value.reply_text == "PRECONDITION_FAILED - cannot switch from confirm to tx mode"


def test_waiting_consumer_gets_what_was_published_before_what_was_requeued(channel: Any, names: Names) -> None:
    queue = names.queue("tx")
    bodies: list[bytes] = []
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"old")
    channel.basic_consume(queue, lambda *delivery: bodies.append(delivery[3]), consumer_tag="c")
    pump(channel.connection, until=lambda: len(bodies) == 1)
    channel.tx_select()
    channel.basic_publish("", queue, b"new")
    channel.basic_reject(1, requeue=True)
    channel.tx_commit()
    pump(channel.connection, until=lambda: len(bodies) == 3)
    assert bodies == [b"old", b"new", b"old"]
