"""x-max-priority."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("priority", "RabbitMQ: priority")


@case()
def higher_priorities_come_first(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 5})
    for priority in (1, 5, 0, 3, 2, 4):
        channel.publish("", queue, str(priority).encode(), priority=priority)
    check(channel.bodies(queue), [b"5", b"4", b"3", b"2", b"1", b"0"])


@case()
def the_order_inside_a_priority_is_kept(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 2})
    for number in range(12):
        channel.publish("", queue, str(number).encode(), priority=number % 3)
    wanted = [2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9]
    check(channel.bodies(queue), [str(number).encode() for number in wanted])


@case()
def no_priority_is_priority_0(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 5})
    channel.publish("", queue, b"none")
    channel.publish("", queue, b"zero", priority=0)
    channel.publish("", queue, b"one", priority=1)
    check(channel.bodies(queue), [b"one", b"none", b"zero"])


@case()
def above_the_maximum_acts_as_the_maximum(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 3})
    channel.publish("", queue, b"three", priority=3)
    channel.publish("", queue, b"two hundred", priority=200)
    channel.publish("", queue, b"two", priority=2)
    check(channel.bodies(queue), [b"three", b"two hundred", b"two"])


@case()
def the_property_is_not_changed(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 3})
    channel.publish("", queue, b"x", priority=200)
    check(channel.get(queue).properties, {"priority": 200})


@case()
def a_requeued_message_returns_to_the_front_of_its_priority(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 5})
    for body, priority in ((b"a1", 1), (b"b1", 1), (b"a5", 5), (b"b5", 5)):
        channel.publish("", queue, body, priority=priority)
    first = channel.get(queue, no_ack=False)
    check(first.body, b"a5")
    channel.nack(first.delivery_tag)
    check(channel.bodies(queue), [b"a5", b"b5", b"a1", b"b1"])


@case()
def a_waiting_consumer_gets_what_comes_first(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 5})
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    channel.fill(queue, b"low")
    first = channel.deliver()
    channel.fill(queue, b"lower")
    channel.fill(queue, b"high", priority=5)
    channel.ack(first.delivery_tag)
    second = channel.deliver()
    check((first.body, second.body), (b"low", b"high"))


@case()
def without_x_max_priority_the_property_has_no_effect(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for priority in (0, 9, 5):
        channel.publish("", queue, str(priority).encode(), priority=priority)
    check(channel.bodies(queue), [b"0", b"9", b"5"])


@case()
def counts_and_purge_span_all_priorities(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 10})
    for priority in range(10):
        channel.fill(queue, b"x", priority=priority)
    channel.wait_ready(queue, 10)
    check(channel.call("queue.purge", queue=queue).message_count, 10)


@case(ref="RabbitMQ: maxlength")
def a_length_limit_drops_the_head_which_is_the_highest_priority(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 5, "x-max-length": 2})
    for body, priority in ((b"high", 5), (b"low", 1), (b"middle", 3)):
        channel.publish("", queue, body, priority=priority)
    check(channel.bodies(queue), [b"middle", b"low"])


@case()
def all_255_levels_are_told_apart(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 255})
    order = [(number * 97) % 256 for number in range(256)]
    for priority in order:
        channel.publish("", queue, bytes([priority]), priority=priority)
    check(channel.bodies(queue), [bytes([priority]) for priority in range(255, -1, -1)])


@case()
def x_max_priority_0_is_a_plain_queue(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-priority": 0})
    for priority in (1, 9, 5):
        channel.publish("", queue, str(priority).encode(), priority=priority)
    check(channel.bodies(queue), [b"1", b"9", b"5"])
