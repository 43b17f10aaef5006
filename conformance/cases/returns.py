"""Mandatory publishes that find no queue."""

from typing import Any

from conformance.case import Section, Session
from conformance.wire import check

case = Section("returns", "basic.return")


@case()
def a_mandatory_message_without_a_queue_comes_back(session: Session) -> None:
    channel = session.channel()
    key = session.name(".missing")
    channel.publish("", key, b"the body", mandatory=True)
    back = channel.expect("basic.return")
    check((back.reply_code, back.reply_text), (312, "NO_ROUTE"))
    check((back.exchange, back.routing_key, back.body), ("", key, b"the body"))


@case()
def it_comes_back_with_its_properties(session: Session) -> None:
    channel = session.channel()
    properties: dict[str, Any] = {
        "correlation_id": "c",
        "headers": {"h": 1, "s": "t"},
        "delivery_mode": 2,
        "priority": 3,
    }
    channel.publish("", session.name(".missing"), b"", mandatory=True, **properties)
    check(channel.expect("basic.return").properties, properties)


@case()
def it_names_the_exchange_it_was_published_to(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "topic")
    channel.publish(exchange, "no.such.key", b"x", mandatory=True)
    back = channel.expect("basic.return")
    check((back.exchange, back.routing_key), (exchange, "no.such.key"))


@case()
def a_large_body_comes_back_whole(session: Session) -> None:
    channel = session.channel()
    body = bytes(range(256)) * 2000
    channel.publish("", session.name(".missing"), body, mandatory=True)
    check(channel.expect("basic.return").body == body, True, "the body whole:")


@case()
def a_routed_mandatory_message_does_not_come_back(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x", mandatory=True)
    channel.expect_silence(queue)
    channel.wait_ready(queue, 1)


@case()
def an_unroutable_message_that_is_not_mandatory_is_dropped(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    channel.publish(exchange, "k", b"x")
    channel.expect_silence()


@case()
def returns_keep_the_order_of_publishing(session: Session) -> None:
    channel = session.channel()
    missing = session.name(".missing")
    for number in range(50):
        channel.publish("", missing, str(number).encode(), mandatory=True)
    check([channel.expect("basic.return").body for _ in range(50)], [str(n).encode() for n in range(50)])


@case()
def a_return_goes_to_the_publishing_channel_only(session: Session) -> None:
    one, other = session.channel(), session.channel()
    one.publish("", session.name(".missing"), b"x", mandatory=True)
    one.expect("basic.return")
    other.expect_silence()


@case()
def each_headers_and_fanout_exchange_returns_too(session: Session) -> None:
    channel = session.channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        exchange = session.exchange(channel, kind)
        channel.publish(exchange, "k", b"x", mandatory=True)
        check(channel.expect("basic.return").exchange, exchange)


@case()
def after_the_queue_is_deleted_messages_come_back(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x", mandatory=True)
    channel.expect_silence(queue)
    channel.call("queue.delete", queue=queue)
    channel.publish("", queue, b"x", mandatory=True)
    check(channel.expect("basic.return").reply_code, 312)
