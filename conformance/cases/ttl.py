"""x-message-ttl and the expiration property."""

import time

from conformance.case import Section, Session
from conformance.wire import Channel, check

case = Section("ttl", "RabbitMQ: ttl")


def _wait_empty(channel: Channel, queue: str) -> None:
    channel.wait_ready(queue, 0)


@case()
def queue_ttl_expires_messages(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-message-ttl": 50})
    channel.fill(queue, b"x")
    _wait_empty(channel, queue)
    channel.get_empty(queue)


@case()
def a_message_is_there_until_its_time(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-message-ttl": 60000})
    channel.fill(queue, b"x", expiration="60000")
    check(channel.get(queue).body, b"x")


@case()
def the_expiration_property_expires_a_message(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"x", expiration="50")
    _wait_empty(channel, queue)
    channel.get_empty(queue)


@case()
def the_lower_of_both_wins(session: Session) -> None:
    channel = session.channel()
    short, long = session.queue(channel, {"x-message-ttl": 50}), session.queue(channel, {"x-message-ttl": 60000})
    channel.fill(short, b"x", expiration="60000")
    channel.fill(long, b"x", expiration="50")
    _wait_empty(channel, short)
    _wait_empty(channel, long)


@case()
def without_ttl_messages_stay(session: Session) -> None:
    channel = session.channel()
    plain, timed = session.queue(channel), session.queue(channel, {"x-message-ttl": 50})
    channel.fill(plain, b"x")
    channel.fill(timed, b"x")
    _wait_empty(channel, timed)
    check(channel.bodies(plain), [b"x"])


@case()
def a_long_lived_head_shields_shorter_ones_in_the_count(session: Session) -> None:
    channel = session.channel()
    queue, clock = session.queue(channel), session.queue(channel)
    channel.fill(queue, b"long", expiration="60000")
    channel.fill(queue, b"short", expiration="20")
    channel.fill(clock, b"tick", expiration="80")
    _wait_empty(channel, clock)
    channel.wait_ready(queue, 2)


@case()
def nothing_expired_is_delivered(session: Session) -> None:
    channel = session.channel()
    queue, clock = session.queue(channel), session.queue(channel)
    channel.fill(queue, b"long", expiration="60000")
    channel.fill(queue, b"short", expiration="20")
    channel.fill(queue, b"lasting")
    channel.fill(clock, b"tick", expiration="80")
    _wait_empty(channel, clock)
    check(channel.bodies(queue), [b"long", b"lasting"])


@case()
def nothing_expired_is_delivered_to_a_consumer(session: Session) -> None:
    channel = session.channel()
    queue, clock = session.queue(channel), session.queue(channel)
    channel.fill(queue, b"long", expiration="60000")
    channel.fill(queue, b"short", expiration="20")
    channel.fill(queue, b"lasting")
    channel.fill(clock, b"tick", expiration="80")
    _wait_empty(channel, clock)
    channel.consume(queue, no_ack=True)
    check(channel.deliveries(2), [b"long", b"lasting"])
    channel.expect_silence(queue)


@case()
def ttl_0_with_no_consumer_dies_at_once(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-message-ttl": 0})
    channel.fill(queue, b"x")
    channel.get_empty(queue)


@case()
def ttl_0_with_a_ready_consumer_is_delivered(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-message-ttl": 0})
    channel.consume(queue, no_ack=True)
    channel.fill(queue, b"x")
    check(channel.deliver().body, b"x")


@case()
def ttl_0_with_a_full_consumer_dies(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-message-ttl": 0})
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    channel.fill(queue, b"1")
    tag = channel.deliver().delivery_tag
    channel.fill(queue, b"2")
    channel.wait_ready(queue, 0)
    channel.ack(tag)
    channel.expect_silence(queue)


@case()
def expiration_0_with_no_consumer_dies_at_once(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"x", expiration="0")
    channel.get_empty(queue)


@case()
def expiration_0_with_a_ready_consumer_is_delivered(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, no_ack=True)
    channel.fill(queue, b"x", expiration="0")
    check(channel.deliver().properties, {"expiration": "0"})


@case()
def an_unacked_message_does_not_expire(session: Session) -> None:
    channel = session.channel()
    queue, clock = session.queue(channel, {"x-message-ttl": 200}), session.queue(channel)
    channel.fill(queue, b"x")
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.fill(clock, b"tick", expiration="400")
    _wait_empty(channel, clock)
    channel.ack(tag)
    channel.expect_silence(queue)


@case()
def a_requeued_message_keeps_its_time_of_death(session: Session) -> None:
    channel = session.channel()
    queue, clock = session.queue(channel, {"x-message-ttl": 200}), session.queue(channel)
    channel.fill(queue, b"x")
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.fill(clock, b"tick", expiration="400")
    _wait_empty(channel, clock)
    channel.nack(tag)
    _wait_empty(channel, queue)
    channel.get_empty(queue)


@case()
def each_queue_counts_its_own_ttl(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    short, lasting = session.queue(channel, {"x-message-ttl": 30}), session.queue(channel)
    for queue in (short, lasting):
        channel.bind(queue, exchange)
    channel.publish(exchange, "", b"x")
    _wait_empty(channel, short)
    check(channel.bodies(lasting), [b"x"])


@case()
def expiry_is_about_as_quick_as_asked(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-message-ttl": 300})
    began = time.monotonic()
    channel.fill(queue, b"x")
    channel.wait_ready(queue, 1)
    _wait_empty(channel, queue)
    spent_s = time.monotonic() - began
    assert 0.28 <= spent_s <= 2.0, f"a TTL of 300 ms took {spent_s:.3f} s"
