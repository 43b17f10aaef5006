"""Names beyond the printed grammar, which RabbitMQ takes and applications use: any UTF-8 up to 255 octets."""

import uuid
from typing import Any

import pika
import pytest

from tests.clients.names import Names
from tests.clients.waiting import wait_ready

ODD_NAMES = [
    "a|b",
    "with blanks and (brackets)",
    "tasks@host.example",
    "größe, été, 世界 🐇",
    "slash/back\\slash/%2F",
    "\"quoted\" 'twice' {braces} $dollar #hash *star",
    "tab\tbell\x07",
]


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_odd_names_work_for_queue_exchange_key_and_tag(odd: str, channel: Any, names: Names) -> None:
    mark = uuid.uuid4().hex[:8]
    queue, exchange, key, tag = (f"{odd} {kind} {mark}" for kind in ("queue", "exchange", "key", "tag"))
    names.queues.append(queue)
    names.exchanges.append(exchange)
    assert channel.queue_declare(queue).method.queue == queue
    channel.exchange_declare(exchange, exchange_type="topic")
    channel.queue_bind(queue, exchange, routing_key=key)
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"by exchange", mandatory=True)
    channel.basic_publish("", queue, b"by queue name", mandatory=True)
    messages = channel.consume(queue, auto_ack=True, consumer_tag=tag)
    method, _properties, body = next(messages)
    assert (method.exchange, method.routing_key, method.consumer_tag) == (exchange, key, tag)
    assert body == b"by exchange"
    method, _properties, body = next(messages)
    assert (method.routing_key, body) == (queue, b"by queue name")
    channel.cancel()
    channel.queue_unbind(queue, exchange, routing_key=key)
    channel.exchange_delete(exchange)
    assert channel.queue_delete(queue).method.message_count == 0


@pytest.mark.parametrize("letter", ["q", "é"], ids=["ascii", "two octets each"])
def test_name_of_255_octets_works(letter: str, channel: Any, names: Names) -> None:
    mark = uuid.uuid4().hex + "x"
    queue = mark + letter * ((255 - len(mark)) // len(letter.encode()))
    assert len(queue.encode()) == 255
    names.queues.append(queue)
    assert channel.queue_declare(queue).method.queue == queue
    channel.basic_publish("", queue, b"long way")
    wait_ready(channel, queue, 1)
    method, _properties, body = channel.basic_get(queue, auto_ack=True)
    assert (method.routing_key, body) == (queue, b"long way")


def test_long_name_is_cut_in_the_error_text_at_255_octets(channel: Any) -> None:
    queue = uuid.uuid4().hex + "m" * 220
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        channel.queue_declare(queue, passive=True)
    assert closed.value.reply_code == 404
    assert len(closed.value.reply_text.encode()) <= 255
    assert closed.value.reply_text == f"NOT_FOUND - no queue '{queue}' in vhost '/'"[:252] + "..."


def test_returned_message_keeps_its_odd_key(channel: Any) -> None:
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError) as unroutable:
        channel.basic_publish("amq.direct", "nobody|here é", b"back", mandatory=True)
    assert unroutable.value.messages[0].method.routing_key == "nobody|here é"
