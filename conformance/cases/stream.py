"""x-queue-type "stream": what it refuses, where readers begin, what acks mean, what is kept."""

import time
from typing import Any

from conformance.case import CaseFunction, Section, Session
from conformance.codec import Typed
from conformance.wire import Channel, check

case = Section("stream", "RabbitMQ: streams")
STREAM = {"x-queue-type": "stream"}


def _stream(session: Session, channel: Channel, **arguments: Any) -> str:
    """Declare a stream; ``max_age="1h"`` stands for ``x-max-age``."""
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return session.shared_queue(channel, STREAM | table)


def _numbered(session: Session, count: int) -> tuple[Channel, str]:
    """Return a channel and a stream with the bodies 0, 1, 2, ..."""
    channel = session.channel()
    queue = _stream(session, channel)
    channel.fill(queue, *_bodies(0, count))
    return channel, queue


def _bodies(first: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, stop)]


def _reader(session: Session, queue: str, offset: object = None, prefetch: int = 100) -> Channel:
    """Return a channel on which a consumer has begun to read."""
    reader = session.stranger()
    reader.call("basic.qos", prefetch_count=prefetch)
    reader.consume(queue, arguments={} if offset is None else {"x-stream-offset": offset})
    return reader


# Declaring


def _refuses_property(wrong: str, **properties: Any) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue_name()
        text = f"PRECONDITION_FAILED - invalid property '{wrong}' for {session.queue_text(name)}"
        channel.refused(406, text, "queue.declare", queue=name, arguments=STREAM, **properties)

    return run


case.add("a_transient_one_is_406", _refuses_property("non-durable"))
case.add("an_exclusive_one_is_406", _refuses_property("exclusive-owner", durable=True, exclusive=True))
case.add("an_auto_delete_one_is_406", _refuses_property("auto-delete", durable=True, auto_delete=True))


@case()
def a_server_named_one_is_406(session: Session) -> None:
    text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_stream_queue"
    session.channel().refused(406, text, "queue.declare", queue="", durable=True, arguments=STREAM)


def _refuses_argument(argument: str, value: object, detail: str) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue_name()
        text = f"PRECONDITION_FAILED - invalid arg '{argument}' for {session.queue_text(name)}{detail}"
        arguments = STREAM | {argument: value}
        channel.refused(406, text, "queue.declare", queue=name, durable=True, arguments=arguments)

    return run


for _argument, _value in (
    ("x-message-ttl", 1000),
    ("x-expires", 1000),
    ("x-max-length", 5),
    ("x-dead-letter-exchange", "x"),
    ("x-overflow", "drop-head"),
    ("x-max-priority", 5),
    ("x-single-active-consumer", True),
    ("x-queue-mode", "lazy"),
    ("x-delivery-limit", 3),
    ("x-quorum-initial-group-size", 1),
):
    _name = _argument.replace("-", "_")
    case.add(f"{_name}_is_406", _refuses_argument(_argument, _value, " of queue type rabbit_stream_queue"))

for _label, _value, _detail in (
    ("a_max_age_without_a_unit", "10", "invalid_max_age"),
    ("a_max_age_of_another_unit", "1w", "invalid_max_age"),
    ("a_max_age_of_0", "0h", "invalid_max_age"),
    ("a_max_age_that_is_a_number", 10, "{unacceptable_type,signedint}"),
):
    case.add(f"{_label}_is_406", _refuses_argument("x-max-age", _value, f": {_detail}"))

case.add("a_cluster_of_0_is_406", _refuses_argument("x-initial-cluster-size", 0, ": {value_zero,0}"))
case.add(
    "a_negative_segment_size_is_406",
    _refuses_argument("x-stream-max-segment-size-bytes", -1, ": {value_negative,-1}"),
)


@case()
def a_segment_of_4_gb_is_406(session: Session) -> None:
    channel = session.channel()
    arguments = STREAM | {"x-stream-max-segment-size-bytes": 4_000_000_000}
    text = "PRECONDITION_FAILED - Exceeded max value for x-stream-max-segment-size-bytes"
    channel.refused(406, text, "queue.declare", queue=session.queue_name(), durable=True, arguments=arguments)


def _accepts(arguments: dict[str, Any]) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        queue = session.queue_name()
        for _ in range(2):
            channel.call("queue.declare", queue=queue, durable=True, arguments=STREAM | arguments)
        channel.fill(queue, b"x")
        check(_reader(session, queue, "first").deliver().body, b"x")

    return run


for _argument, _value in (
    ("x-max-length-bytes", 1_000_000),
    ("x-max-age", "7D"),
    ("x-stream-max-segment-size-bytes", 100_000),
    ("x-initial-cluster-size", 1),
    ("x-queue-leader-locator", "balanced"),
    ("x-ha-policy", "all"),
):
    case.add(f"{_argument.replace('-', '_')}_is_accepted", _accepts({_argument: _value}))


@case(ref="queue.declare")
def another_max_age_is_406(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel, max_age="1h")
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-age' for {session.queue_text(queue)}: "
        "received '60m' but current is '1h'"
    )
    arguments = STREAM | {"x-max-age": "60m"}
    channel.refused(406, text, "queue.declare", queue=queue, durable=True, arguments=arguments)


# What it cannot do


@case(until="4.0")
def a_consumer_without_prefetch_is_406(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel)
    text = f"PRECONDITION_FAILED - consumer prefetch count is not set for '{session.queue_text(queue)}'"
    channel.refused(406, text, "basic.consume", queue=queue)


@case(until="4.0")
def automatic_acks_are_540(session: Session) -> None:
    channel = session.stranger()
    queue = _stream(session, channel)
    channel.call("basic.qos", prefetch_count=1)
    text = f"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues {session.queue_text(queue)}"
    channel.fatal(540, text, "basic.consume", queue=queue, no_ack=True)


@case()
def a_shared_prefetch_is_540(session: Session) -> None:
    channel = session.stranger()
    queue = _stream(session, channel)
    channel.call("basic.qos", prefetch_count=1)
    channel.call("basic.qos", prefetch_count=10, global_=True)
    text = f"NOT_IMPLEMENTED - {session.queue_text(queue)} does not support global qos"
    channel.fatal(540, text, "basic.consume", queue=queue)


@case(ref="basic.get")
def get_is_540(session: Session) -> None:
    channel = session.stranger()
    queue = _stream(session, channel)
    text = f"NOT_IMPLEMENTED - basic.get not supported by stream queues {session.queue_text(queue)}"
    channel.fatal(540, text, "basic.get", queue=queue)


@case(ref="queue.purge")
def purge_is_540(session: Session) -> None:
    channel = session.stranger()
    queue = _stream(session, channel)
    text = f"NOT_IMPLEMENTED - queue.purge not supported by stream queues {session.queue_text(queue)}"
    channel.fatal(540, text, "queue.purge", queue=queue)


@case(until="4.0")
def a_consumer_priority_is_406(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel)
    channel.call("basic.qos", prefetch_count=1)
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for {session.queue_text(queue)} "
        "of queue type rabbit_stream_queue"
    )
    channel.refused(406, text, "basic.consume", queue=queue, arguments={"x-priority": 1})


for _label, _offset in (("an_unknown_unit", "1x"), ("0_hours", "0h"), ("a_number_as_text", "10"), ("a_blank", "1 h")):

    def _bad_offset(session: Session, offset: str = _offset) -> None:
        channel = session.channel()
        queue = _stream(session, channel)
        channel.call("basic.qos", prefetch_count=1)
        text = (
            f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for {session.queue_text(queue)}: "
            f'{{invalid_stream_offset_arg,{{longstr,<<"{offset}">>}}}}'
        )
        channel.refused(406, text, "basic.consume", queue=queue, arguments={"x-stream-offset": offset})

    case.add(f"an_offset_of_{_label}_is_406", _bad_offset)


# Reading


@case()
def every_reader_gets_every_message(session: Session) -> None:
    _, queue = _numbered(session, 5)
    for _ in range(3):
        check(_reader(session, queue, "first").deliveries(5), _bodies(0, 5))


def _begins(offset: object, first: int) -> CaseFunction:
    def run(session: Session) -> None:
        channel, queue = _numbered(session, 3)
        reader = _reader(session, queue, offset)
        channel.fill(queue, b"3", b"4")
        check(reader.deliveries(5 - first), _bodies(first, 5))

    return run


_BEGINNINGS: tuple[tuple[str, object, int], ...] = (
    ("first", "first", 0),
    ("last", "last", 2),
    ("next", "next", 3),
    ("no_offset", None, 3),
    ("0", 0, 0),
    ("1", 1, 1),
    ("a_future_offset", 4, 4),
    ("an_early_timestamp", Typed("T", 0), 0),
    ("an_interval", "1h", 0),
    ("an_interval_of_days", "7D", 0),
)
for _label, _beginning, _first in _BEGINNINGS:
    case.add(f"{_label}_begins_there", _begins(_beginning, _first))


@case(slow=True)
def a_timestamp_finds_what_came_since(session: Session) -> None:
    channel, queue = _numbered(session, 2)
    time.sleep(2.1)
    since = int(time.time())
    channel.fill(queue, b"2", b"3")
    check(_reader(session, queue, Typed("T", since)).deliveries(2), [b"2", b"3"])


@case()
def a_late_timestamp_begins_at_the_next(session: Session) -> None:
    channel, queue = _numbered(session, 2)
    reader = _reader(session, queue, Typed("T", int(time.time()) + 1000))
    channel.fill(queue, b"2")
    check(reader.deliver().body, b"2")


@case()
def deliveries_have_their_offset(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel)
    channel.fill(queue, b"0", headers={"mine": "x"}, message_id="m")
    channel.fill(queue, b"1")
    reader = _reader(session, queue, "first")
    first, second = reader.deliver(), reader.deliver()
    offset = first.typed_headers.value["x-stream-offset"]
    check((offset.code, offset.value, first.headers["mine"], first.properties["message_id"]), ("l", 0, "x", "m"))
    check((second.headers, second.redelivered), ({"x-stream-offset": 1}, False))


@case()
def acks_are_credit(session: Session) -> None:
    _, queue = _numbered(session, 10)
    reader = _reader(session, queue, "first", prefetch=2)
    check(reader.deliveries(2), _bodies(0, 2))
    reader.round_trip()
    check(len(reader.arrived), 0, "deliveries over the prefetch")
    reader.ack(2, multiple=True)
    check(reader.deliveries(2), _bodies(2, 4))
    reader.ack(4)
    check(reader.deliver().body, b"4")


@case()
def acked_messages_stay(session: Session) -> None:
    _, queue = _numbered(session, 3)
    reader = _reader(session, queue, "first")
    reader.deliveries(3)
    reader.ack(3, multiple=True)
    reader.round_trip()
    check(_reader(session, queue, "first").deliveries(3), _bodies(0, 3))


@case()
def a_reader_that_went_is_not_remembered(session: Session) -> None:
    _, queue = _numbered(session, 3)
    reader = _reader(session, queue, "first")
    reader.deliveries(2)
    reader.connection.close()
    message = _reader(session, queue, "first").deliver()
    check((message.body, message.redelivered), (b"0", False))


@case()
def an_unknown_tag_is_406(session: Session) -> None:
    _, queue = _numbered(session, 1)
    reader = _reader(session, queue, "first")
    reader.deliver()
    reader.send("basic.ack", delivery_tag=9)
    reader.expect_close(406, "PRECONDITION_FAILED - unknown delivery tag 9", 60, 80)


@case(ref="RabbitMQ: ttl")
def messages_do_not_expire(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel)
    channel.fill(queue, b"x", expiration="1")
    channel.fill(queue, b"y")
    check(_reader(session, queue, "first").deliveries(2), [b"x", b"y"])


@case()
def exchange_and_key_are_the_publishers(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel)
    exchange = session.exchange(channel, "fanout")
    channel.bind(queue, exchange)
    channel.publish(exchange, "some.key", b"x")
    message = _reader(session, queue, "first").deliver()
    check((message.exchange, message.routing_key), (exchange, "some.key"))


@case(ref="RabbitMQ: semantics")
def a_transaction_publishes(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel)
    channel.call("tx.select")
    channel.publish("", queue, b"x")
    channel.call("tx.commit")
    check(_reader(session, queue, "first").deliver().body, b"x")


@case(ref="basic.consume")
def exclusive_readers_are_not_alone(session: Session) -> None:
    _, queue = _numbered(session, 1)
    for _ in range(2):
        reader = session.stranger()
        reader.call("basic.qos", prefetch_count=5)
        reader.consume(queue, exclusive=True, arguments={"x-stream-offset": "first"})
        check(reader.deliver().body, b"0")


@case(ref="basic.cancel")
def a_cancelled_reader_gets_nothing_more(session: Session) -> None:
    channel, queue = _numbered(session, 3)
    reader = session.stranger()
    reader.call("basic.qos", prefetch_count=1)
    reader.consume(queue, consumer_tag="c", arguments={"x-stream-offset": "first"})
    reader.deliver()
    reader.call("basic.cancel", consumer_tag="c")
    reader.ack(1)
    channel.fill(queue, b"3")
    reader.round_trip()
    check(len(reader.arrived), 0, "deliveries after cancel-ok")


@case(ref="queue.delete")
def readers_are_told_of_a_delete(session: Session) -> None:
    channel, queue = _numbered(session, 1)
    reader = _reader(session, queue)
    channel.call("queue.delete", queue=queue, if_unused=True, if_empty=True)
    reader.expect("basic.cancel")


# What is kept


@case()
def oldest_segments_go(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel, max_length_bytes=20_000, stream_max_segment_size_bytes=5_000)
    for number in range(60):
        channel.fill(queue, b"%d:" % number + bytes(1000))
    first = int(_reader(session, queue, "first").deliver().body.split(b":")[0])
    # As many whole segments as fit, and the one that is being filled.
    if not 35 <= first <= 50:
        check(first, "35 to 50", "the first message kept")


@case()
def a_segment_is_always_kept(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel, max_length_bytes=10)
    channel.fill(queue, *_bodies(0, 50))
    check(_reader(session, queue, "first").deliver().body, b"0")


@case(since="3.13", ref="RabbitMQ: stream-filtering")
def a_filter_passes_its_value(session: Session) -> None:
    channel = session.channel()
    queue = _stream(session, channel)
    for value in ("red", "green", "red"):
        channel.fill(queue, value.encode(), headers={"x-stream-filter-value": value})
    reader = session.stranger()
    reader.call("basic.qos", prefetch_count=10)
    reader.consume(queue, arguments={"x-stream-offset": "first", "x-stream-filter": "red"})
    # A chunk passes as a whole, so that clients look again: what they want is there, in order.
    wanted: list[bytes] = []
    while len(wanted) < 2:
        message = reader.deliver()
        wanted += [message.body] if message.body == b"red" else []
