"""What is durable is there after a clean stop and after kill -9, nothing else is. RabbitMQ: queues, durability."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from tests.brokers import RunningBroker
from tests.clients.waiting import Inbox, pump, ready_count, wait_ready

Connect = Callable[[], Any]
Outage = Callable[[], None]

PERSISTENT = pika.BasicProperties(delivery_mode=2)
TRANSIENT = pika.BasicProperties(delivery_mode=1)


def confirming(connection: Any) -> Any:
    channel = connection.channel()
    channel.confirm_delivery()
    return channel


def make_safe(connection: Any) -> None:
    """Have a later message confirmed: what was settled and delivered before it is on disk too."""
    channel = confirming(connection)
    channel.queue_declare("barrier", durable=True)
    channel.basic_publish("", "barrier", b"", PERSISTENT)


def drain(channel: Any, queue: str) -> list[tuple[bytes, bool]]:
    """Take all ready messages: bodies and redelivered flags."""
    found = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append((got[2], got[0].redelivered))
    return found


def test_confirmed_persistent_messages_return_in_order(connect: Connect, outage: Outage) -> None:
    channel = confirming(connect())
    channel.queue_declare("durable", durable=True)
    for number in range(300):
        channel.basic_publish("", "durable", b"%d" % number, PERSISTENT)
    outage()
    assert drain(connect().channel(), "durable") == [(b"%d" % number, False) for number in range(300)]


def test_transient_messages_are_gone_and_persistent_ones_between_them_stay(connect: Connect, outage: Outage) -> None:
    channel = confirming(connect())
    channel.queue_declare("durable", durable=True)
    for number in range(30):
        channel.basic_publish("", "durable", b"%d" % number, PERSISTENT if number % 3 else TRANSIENT)
    outage()
    left = [body for body, _redelivered in drain(connect().channel(), "durable")]
    assert left == [b"%d" % number for number in range(30) if number % 3]


def test_transient_and_exclusive_queues_are_gone(connect: Connect, outage: Outage) -> None:
    channel = confirming(connect())
    channel.queue_declare("transient")
    channel.queue_declare("exclusive", exclusive=True)
    channel.queue_declare("exclusive and durable", exclusive=True, durable=True)
    channel.exchange_declare("transient exchange")
    for queue in ("transient", "exclusive", "exclusive and durable"):
        channel.basic_publish("", queue, b"gone", PERSISTENT)
    outage()
    connection = connect()
    for queue in ("transient", "exclusive", "exclusive and durable"):
        with pytest.raises(ChannelClosedByBroker) as closed:
            connection.channel().queue_declare(queue, passive=True)
        assert closed.value.reply_code == 404
    with pytest.raises(ChannelClosedByBroker) as closed:
        connection.channel().exchange_declare("transient exchange", passive=True)
    assert closed.value.reply_code == 404


def test_settled_messages_stay_settled(connect: Connect, outage: Outage) -> None:
    channel = confirming(connect())
    channel.queue_declare("durable", durable=True)
    for number in range(10):
        channel.basic_publish("", "durable", b"%d" % number, PERSISTENT)
    tags = [channel.basic_get("durable")[0].delivery_tag for _ in range(8)]
    channel.basic_ack(tags[0])
    channel.basic_ack(tags[3])
    channel.basic_nack(tags[4], requeue=False)
    channel.basic_reject(tags[5], requeue=False)
    channel.basic_nack(tags[6], requeue=True)
    channel.connection.close()
    connection = connect()
    wait_ready(connection.channel(), "durable", 6)
    make_safe(connection)
    outage()
    expected = [(b"1", True), (b"2", True), (b"6", True), (b"7", True), (b"8", False), (b"9", False)]
    assert drain(connect().channel(), "durable") == expected


def test_delivered_but_unacked_messages_return_redelivered_in_their_place(connect: Connect, outage: Outage) -> None:
    channel = confirming(connect())
    channel.queue_declare("durable", durable=True)
    for number in range(6):
        channel.basic_publish("", "durable", b"%d" % number, PERSISTENT)
    inbox = Inbox()
    channel.basic_qos(prefetch_count=3)
    channel.basic_consume("durable", inbox)
    pump(channel.connection, until=lambda: len(inbox) == 3)
    channel.basic_ack(inbox.tags[1])
    pump(channel.connection, until=lambda: len(inbox) == 4)
    make_safe(channel.connection)
    outage()
    expected = [(b"0", True), (b"2", True), (b"3", True), (b"4", False), (b"5", False)]
    assert drain(connect().channel(), "durable") == expected


def test_exchanges_and_bindings_of_every_type_return(connect: Connect, outage: Outage) -> None:
    channel = confirming(connect())
    channel.queue_declare("queue", durable=True)
    channel.queue_declare("strays", durable=True)
    channel.exchange_declare("alternate", exchange_type="fanout", durable=True)
    channel.queue_bind("strays", "alternate")
    bindings: dict[str, tuple[str, dict[str, Any] | None]] = {
        "direct": ("key", None),
        "fanout": ("", None),
        "topic": ("a.*.#", None),
        "headers": ("", {"x-match": "any", "n": 1, "format": "pdf"}),
    }
    for kind, (key, arguments) in bindings.items():
        alternate = {"alternate-exchange": "alternate"}
        channel.exchange_declare(f"my {kind}", exchange_type=kind, durable=True, arguments=alternate)
        channel.queue_bind("queue", f"my {kind}", key, arguments)
    channel.exchange_declare("source", exchange_type="topic", durable=True)
    channel.exchange_bind("my fanout", "source", "x.#")
    outage()
    channel = confirming(connect())
    about = pika.BasicProperties(headers={"format": "pdf"})
    for exchange, key in (("my direct", "key"), ("my fanout", "?"), ("my topic", "a.b.c"), ("source", "x.y")):
        channel.basic_publish(exchange, key, exchange.encode(), mandatory=True)
    channel.basic_publish("my headers", "", b"my headers", about, mandatory=True)
    channel.basic_publish("my direct", "another key", b"stray", mandatory=True)
    found = {body for body, _redelivered in drain(channel, "queue")}
    assert found == {b"my direct", b"my fanout", b"my topic", b"source", b"my headers"}
    assert drain(channel, "strays") == [(b"stray", False)]
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.exchange_declare("my topic", exchange_type="direct", durable=True)
    assert closed.value.reply_code == 406


def test_what_was_deleted_unbound_or_purged_stays_so(connect: Connect, outage: Outage) -> None:
    connection = connect()
    channel = confirming(connection)
    for queue in ("deleted", "unbound", "purged", "declared again"):
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, "amq.direct", queue)
        channel.basic_publish("", queue, b"before", PERSISTENT)
    channel.exchange_declare("deleted exchange", durable=True)
    channel.queue_delete("deleted")
    channel.queue_unbind("unbound", "amq.direct", "unbound")
    channel.queue_purge("purged")
    channel.queue_delete("declared again")
    channel.queue_declare("declared again", durable=True)
    channel.exchange_delete("deleted exchange")
    # A purge is no promise of its own; a confirm that comes later says that it is on disk.
    channel.basic_publish("", "declared again", b"after", PERSISTENT)
    outage()
    channel = confirming(connect())
    for queue in ("unbound", "purged", "declared again"):
        channel.basic_publish("amq.direct", queue, b"by binding")
    assert drain(channel, "unbound") == [(b"before", False)]
    assert drain(channel, "purged") == [(b"by binding", False)]
    assert drain(channel, "declared again") == [(b"after", False)]
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.exchange_declare("deleted exchange", passive=True)
    assert closed.value.reply_code == 404
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.connection.channel().queue_declare("deleted", passive=True)
    assert closed.value.reply_code == 404


def test_properties_and_bodies_of_all_sizes_return_unchanged(connect: Connect, outage: Outage) -> None:
    properties = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={
            "n": 1,
            "text": "grüße",
            "table": {"list": [1, "two", None, {"deep": True}]},
            "octets": b"\xff\x00",
        },
        delivery_mode=2,
        priority=3,
        correlation_id="correlation",
        reply_to="reply",
        expiration="600000",
        message_id="message",
        timestamp=1_700_000_000,
        type="type",
        user_id="guest",
        app_id="app",
        cluster_id="cluster",
    )
    bodies = [b"", b"x", bytes(range(256)) * 20_000, b"\xce" * 300_000]
    channel = confirming(connect())
    channel.queue_declare("durable", durable=True)
    for body in bodies:
        channel.basic_publish("", "durable", body, properties)
    outage()
    channel = connect().channel()
    for body in bodies:
        method, found, found_body = channel.basic_get("durable", auto_ack=True)
        assert (method.exchange, method.routing_key) == ("", "durable")
        assert found == properties
        assert found_body == body


def test_queue_arguments_return(connect: Connect, outage: Outage) -> None:
    arguments = {"x-max-length": 1000, "x-dead-letter-exchange": "", "x-mine": ["list", {"t": True}]}
    channel = connect().channel()
    channel.queue_declare("durable", durable=True, arguments=arguments)
    outage()
    channel = connect().channel()
    channel.queue_declare("durable", durable=True, arguments=arguments)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare("durable", durable=True, arguments={**arguments, "x-max-length": 10})
    assert closed.value.reply_text == (
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'durable' in vhost '/':"
        " received '10' but current is '1000'"
    )


def test_committed_transaction_returns_and_open_one_does_not(connect: Connect, outage: Outage) -> None:
    channel = connect().channel()
    channel.queue_declare("first", durable=True)
    channel.queue_declare("second", durable=True)
    confirming(channel.connection).basic_publish("", "first", b"to be acked", PERSISTENT)
    wait_ready(channel, "first", 1)
    channel.tx_select()
    channel.basic_ack(channel.basic_get("first")[0].delivery_tag)
    for queue in ("first", "second"):
        channel.basic_publish("", queue, b"committed", PERSISTENT)
    channel.tx_commit()
    channel.basic_publish("", "first", b"not committed", PERSISTENT)
    channel.queue_declare("first", passive=True)
    outage()
    channel = connect().channel()
    assert drain(channel, "first") == [(b"committed", False)]
    assert drain(channel, "second") == [(b"committed", False)]


def test_fanout_returns_to_every_durable_queue_and_to_those_alone_that_had_not_settled(
    connect: Connect, outage: Outage
) -> None:
    channel = confirming(connect())
    for queue in ("one", "two", "three"):
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, "amq.fanout")
    channel.queue_declare("transient")
    channel.queue_bind("transient", "amq.fanout")
    for number in range(5):
        channel.basic_publish("amq.fanout", "", b"%d" % number, PERSISTENT)
    for _ in range(2):
        channel.basic_get("two", auto_ack=True)
    make_safe(channel.connection)
    outage()
    channel = connect().channel()
    everything = [b"0", b"1", b"2", b"3", b"4"]
    for queue, expected in (("one", everything), ("two", everything[2:]), ("three", everything)):
        assert [body for body, _redelivered in drain(channel, queue)] == expected


def test_messages_survive_several_outages_and_more_are_added_behind_them(connect: Connect, outage: Outage) -> None:
    confirming(connect()).queue_declare("durable", durable=True)
    for number in range(4):
        channel = confirming(connect())
        channel.basic_publish("", "durable", b"%d" % number, PERSISTENT)
        outage()
    assert [body for body, _redelivered in drain(connect().channel(), "durable")] == [b"0", b"1", b"2", b"3"]


def test_emptied_queue_comes_back_empty(connect: Connect, outage: Outage) -> None:
    channel = confirming(connect())
    channel.queue_declare("durable", durable=True)
    for number in range(100):
        channel.basic_publish("", "durable", b"%d" % number, PERSISTENT)
    inbox = Inbox()
    channel.basic_consume("durable", inbox)
    pump(channel.connection, until=lambda: len(inbox) == 100)
    channel.basic_ack(100, multiple=True)
    channel.connection.close()
    make_safe(connect())
    outage()
    assert ready_count(connect().channel(), "durable") == 0


def test_client_hears_320_when_the_broker_stops_in_order(connect: Connect, own_broker: RunningBroker) -> None:
    connection = connect()
    connection.channel()
    with ThreadPoolExecutor() as threads:
        exit_code = threads.submit(own_broker.stop)
        with pytest.raises(ConnectionClosedByBroker) as closed:
            pump(connection, until=lambda: False)
        assert exit_code.result() == 0
    assert closed.value.reply_code == 320
    assert closed.value.reply_text == ("CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
