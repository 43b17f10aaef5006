"""x-priority of consumers."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("consumer_priority", "RabbitMQ: consumer-priority")


@case()
def the_higher_gets_all_it_can_take(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, consumer_tag="low", no_ack=True)
    channel.consume(queue, consumer_tag="high", no_ack=True, arguments={"x-priority": 10})
    for _ in range(10):
        channel.publish("", queue, b"x")
    check({channel.deliver().consumer_tag for _ in range(10)}, {"high"})


@case()
def the_lower_gets_what_the_higher_has_no_room_for(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel)
    channel.call("basic.qos", prefetch_count=2)
    channel.consume(queue, arguments={"x-priority": 10})
    second.consume(queue)
    session.channel().fill(queue, *(str(number).encode() for number in range(5)))
    check(channel.deliveries(2), [b"0", b"1"])
    check(second.deliveries(3), [b"2", b"3", b"4"])


@case()
def when_the_higher_has_room_again_it_is_served_first(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue, arguments={"x-priority": 1})
    second.consume(queue)
    session.channel().fill(queue, b"0", b"1")
    check((channel.deliver().body, second.deliver().body), (b"0", b"1"))
    channel.ack(1)
    channel.round_trip()
    session.channel().fill(queue, b"2")
    check(channel.deliver().body, b"2")


@case()
def equal_priorities_take_turns(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for tag in ("a", "b"):
        channel.consume(queue, consumer_tag=tag, no_ack=True, arguments={"x-priority": 5})
    channel.consume(queue, consumer_tag="low", no_ack=True)
    for _ in range(6):
        channel.publish("", queue, b"x")
    turns = [channel.deliver().consumer_tag for _ in range(6)]
    check(sorted(turns[:2]), ["a", "b"])
    check(turns, turns[:2] * 3)


@case()
def negative_priorities_come_last(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, consumer_tag="below", no_ack=True, arguments={"x-priority": -5})
    channel.consume(queue, consumer_tag="plain", no_ack=True)
    for _ in range(4):
        channel.publish("", queue, b"x")
    check({channel.deliver().consumer_tag for _ in range(4)}, {"plain"})


@case()
def no_priority_is_0(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, consumer_tag="plain", no_ack=True)
    channel.consume(queue, consumer_tag="zero", no_ack=True, arguments={"x-priority": 0})
    for _ in range(4):
        channel.publish("", queue, b"x")
    check(sorted(channel.deliver().consumer_tag for _ in range(4)), ["plain", "plain", "zero", "zero"])


@case()
def when_the_higher_is_cancelled_the_lower_takes_over(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, consumer_tag="high", no_ack=True, arguments={"x-priority": 1})
    channel.consume(queue, consumer_tag="low", no_ack=True)
    channel.call("basic.cancel", consumer_tag="high")
    channel.publish("", queue, b"x")
    check(channel.deliver().consumer_tag, "low")


@case()
def a_priority_that_is_no_integer_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for {session.queue_text(queue)}: "
        '"expected integer, got longstr"'
    )
    channel.refused(406, text, "basic.consume", queue=queue, arguments={"x-priority": "high"})
    channel.wait_counts(queue, 0, 0)


@case()
def x_stream_offset_on_a_classic_queue_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for {session.queue_text(queue)} "
        "of queue type rabbit_classic_queue"
    )
    channel.refused(406, text, "basic.consume", queue=queue, arguments={"x-stream-offset": "first"})
