"""Publish and subscribe: a fanout exchange and temporary queues. RabbitMQ: tutorials, three."""

from collections.abc import Callable
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.clients.names import Names
from tests.clients.waiting import Inbox, cut, pump, wait_ready


def test_every_subscriber_gets_every_log_line(connect: Callable[..., Any], names: Names) -> None:
    logs = names.exchange("logs")
    publisher = connect().channel()
    publisher.exchange_declare(logs, exchange_type="fanout")
    subscribers = [connect().channel() for _ in range(2)]
    inboxes = [Inbox() for _ in subscribers]
    for subscriber, inbox in zip(subscribers, inboxes, strict=True):
        queue = subscriber.queue_declare("", exclusive=True).method.queue
        subscriber.queue_bind(queue, logs)
        subscriber.basic_consume(queue, inbox, auto_ack=True)
    for line in (b"info: one", b"warning: two"):
        publisher.basic_publish(logs, "the key is ignored", line)
    pump(*[it.connection for it in subscribers], until=lambda: all(len(inbox) == 2 for inbox in inboxes))
    assert [inbox.bodies for inbox in inboxes] == [[b"info: one", b"warning: two"]] * 2
    assert {delivery.method.exchange for inbox in inboxes for delivery in inbox} == {logs}
    assert {delivery.method.routing_key for inbox in inboxes for delivery in inbox} == {"the key is ignored"}


def test_server_named_queues_have_amq_gen_names_of_their_own(channel: Any) -> None:
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
    assert len(set(queues)) == 3
    assert all(queue.startswith("amq.gen-") for queue in queues)


@pytest.mark.parametrize("leave", [lambda connection: connection.close(), cut], ids=["closed", "cut"])
def test_exclusive_queue_vanishes_with_its_connection(
    leave: Callable[[Any], None], connect: Callable[..., Any], channel: Any
) -> None:
    owner = connect()
    queue = owner.channel().queue_declare("", exclusive=True).method.queue
    leave(owner)

    def gone() -> bool:
        probe = channel.connection.channel()
        with pytest.raises(ChannelClosedByBroker) as closed:
            probe.queue_declare(queue, passive=True)
        return bool(closed.value.reply_code == 404)  # 405 while it is there

    pump(channel.connection, until=gone)


def test_log_lines_before_the_first_subscriber_are_lost(channel: Any, names: Names) -> None:
    logs = names.exchange("logs")
    channel.exchange_declare(logs, exchange_type="fanout")
    channel.basic_publish(logs, "", b"nobody listens")
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, logs)
    channel.basic_publish(logs, "", b"somebody listens")
    wait_ready(channel, queue, 1)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"somebody listens"


def test_queue_unbound_from_a_fanout_gets_nothing_more(channel: Any, names: Names) -> None:
    logs = names.exchange("logs")
    channel.exchange_declare(logs, exchange_type="fanout")
    kept = channel.queue_declare("", exclusive=True).method.queue
    left = channel.queue_declare("", exclusive=True).method.queue
    for queue in (kept, left):
        channel.queue_bind(queue, logs)
    channel.basic_publish(logs, "", b"to both")
    channel.queue_unbind(left, logs)
    channel.basic_publish(logs, "", b"to one")
    wait_ready(channel, kept, 2)
    wait_ready(channel, left, 1)


def test_empty_queue_name_means_the_last_one_declared_on_the_channel(channel: Any, names: Names) -> None:
    logs = names.exchange("logs")
    channel.exchange_declare(logs, exchange_type="fanout")
    channel.queue_declare("", exclusive=True)
    last = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind("", logs)
    channel.basic_publish(logs, "", b"line")
    wait_ready(channel, last, 1)
    assert channel.basic_get("", auto_ack=True)[2] == b"line"
