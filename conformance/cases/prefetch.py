"""basic.qos."""

from conformance.case import Section, Session
from conformance.wire import Channel, check

case = Section("prefetch", "basic.qos")


def _numbers(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last + 1)]


def _filled(session: Session, count: int) -> tuple[Channel, str]:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, *_numbers(1, count))
    return channel, queue


@case()
def a_consumer_gets_no_more_than_its_prefetch(session: Session) -> None:
    channel, queue = _filled(session, 10)
    channel.call("basic.qos", prefetch_count=3)
    channel.consume(queue)
    check(channel.deliveries(3), _numbers(1, 3))
    channel.expect_silence(queue)
    channel.wait_ready(queue, 7)


@case()
def each_ack_brings_one_more(session: Session) -> None:
    channel, queue = _filled(session, 5)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    for number in range(1, 6):
        message = channel.deliver()
        check(message.body, str(number).encode())
        channel.expect_silence(queue)
        channel.ack(message.delivery_tag)


@case()
def an_ack_multiple_brings_as_many(session: Session) -> None:
    channel, queue = _filled(session, 10)
    channel.call("basic.qos", prefetch_count=4)
    channel.consume(queue)
    channel.deliveries(4)
    channel.ack(3, multiple=True)
    check(channel.deliveries(3), _numbers(5, 7))
    channel.expect_silence(queue)


@case(ref="basic.reject")
def a_reject_brings_one_more(session: Session) -> None:
    channel, queue = _filled(session, 2)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    channel.reject(channel.deliver().delivery_tag, requeue=False)
    check(channel.deliver().body, b"2")


@case(ref="basic.nack")
def a_requeue_brings_the_message_again(session: Session) -> None:
    channel, queue = _filled(session, 2)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    channel.nack(channel.deliver().delivery_tag)
    again = channel.deliver()
    check((again.body, again.redelivered), (b"1", True))
    channel.expect_silence(queue)


@case()
def prefetch_0_is_no_limit(session: Session) -> None:
    channel, queue = _filled(session, 300)
    channel.call("basic.qos", prefetch_count=0)
    channel.consume(queue)
    check(channel.deliveries(300), _numbers(1, 300))


@case(ref="RabbitMQ: consumer-prefetch")
def each_consumer_has_a_prefetch_of_its_own(session: Session) -> None:
    channel, queue = _filled(session, 10)
    channel.call("basic.qos", prefetch_count=2)
    first, second = channel.consume(queue), None
    check([channel.deliver().consumer_tag for _ in range(2)], [first] * 2)
    second = channel.consume(queue)
    check([channel.deliver().consumer_tag for _ in range(2)], [second] * 2)
    channel.expect_silence(queue)


@case(ref="RabbitMQ: consumer-prefetch")
def qos_holds_for_later_consumers_only(session: Session) -> None:
    channel, queue = _filled(session, 10)
    channel.call("basic.qos", prefetch_count=1)
    first = channel.consume(queue)
    check(channel.deliver().consumer_tag, first)
    channel.call("basic.qos", prefetch_count=3)
    channel.expect_silence(queue)
    second = channel.consume(queue)
    check([channel.deliver().consumer_tag for _ in range(3)], [second] * 3)
    channel.expect_silence(queue)


@case(ref="RabbitMQ: consumer-prefetch", until="4.3")
def a_global_qos_is_shared_by_the_channels_consumers(session: Session) -> None:
    channel, queue = _filled(session, 10)
    channel.call("basic.qos", prefetch_count=3, global_=True)
    channel.consume(queue)
    check(channel.deliveries(3), _numbers(1, 3))
    channel.consume(queue)
    channel.expect_silence(queue)
    channel.ack(1)
    check(channel.deliver().body, b"4")
    channel.expect_silence(queue)


@case(ref="RabbitMQ: consumer-prefetch", until="4.3")
def raising_a_global_qos_acts_at_once(session: Session) -> None:
    channel, queue = _filled(session, 10)
    channel.call("basic.qos", prefetch_count=1, global_=True)
    channel.consume(queue)
    channel.deliveries(1)
    channel.expect_silence(queue)
    channel.send("basic.qos", prefetch_count=4, global_=True)
    names = sorted(channel.next().name for _ in range(4))
    check(names, ["basic.deliver"] * 3 + ["basic.qos-ok"])
    channel.expect_silence(queue)


@case(ref="RabbitMQ: consumer-prefetch", until="4.3")
def a_global_qos_spans_the_queues_of_the_channel(session: Session) -> None:
    channel = session.channel()
    one, other = session.queue(channel), session.queue(channel)
    channel.fill(one, b"1", b"2")
    channel.fill(other, b"3", b"4")
    channel.call("basic.qos", prefetch_count=2, global_=True)
    channel.consume(one)
    check(channel.deliveries(2), [b"1", b"2"])
    channel.consume(other)
    channel.expect_silence(one, other)
    channel.ack(1)
    check(channel.deliver().body, b"3")


@case(ref="RabbitMQ: consumer-prefetch", until="4.3")
def per_consumer_and_global_limits_both_hold(session: Session) -> None:
    channel, queue = _filled(session, 10)
    channel.call("basic.qos", prefetch_count=2)
    channel.call("basic.qos", prefetch_count=3, global_=True)
    first = channel.consume(queue)
    check([channel.deliver().consumer_tag for _ in range(2)], [first] * 2)
    second = channel.consume(queue)
    check(channel.deliver().consumer_tag, second)
    channel.expect_silence(queue)


@case()
def a_no_ack_consumer_is_not_limited(session: Session) -> None:
    channel, queue = _filled(session, 20)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue, no_ack=True)
    check(channel.deliveries(20), _numbers(1, 20))


@case(ref="basic.get")
def what_was_got_does_not_use_the_consumers_prefetch(session: Session) -> None:
    channel, queue = _filled(session, 5)
    channel.get(queue, no_ack=False)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    check(channel.deliver().body, b"2")
    channel.expect_silence(queue)


@case()
def a_prefetch_size_is_540(session: Session) -> None:
    text = "NOT_IMPLEMENTED - prefetch_size!=0 (1024)"
    session.channel().fatal(540, text, "basic.qos", prefetch_size=1024)


@case()
def prefetch_is_kept_by_channel(session: Session) -> None:
    channel, queue = _filled(session, 5)
    channel.call("basic.qos", prefetch_count=1)
    other = session.channel()
    other.consume(queue)
    check(other.deliveries(5), _numbers(1, 5))


@case(ref="RabbitMQ: consumers")
def a_full_consumer_is_passed_over(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    second.call("basic.qos", prefetch_count=3)
    second.consume(queue)
    session.channel().fill(queue, *_numbers(1, 6))
    channel.deliver()
    check(len(second.deliveries(3)), 3)
    channel.expect_silence(queue)
    second.expect_silence(queue)


@case(ref="RabbitMQ: tutorials")
def with_prefetch_1_the_idle_worker_gets_the_next(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    slow, quick = session.stranger(), session.stranger()
    for worker in (slow, quick):
        worker.call("basic.qos", prefetch_count=1)
        worker.consume(queue)
    channel.fill(queue, *_numbers(1, 6))
    slow.deliver()
    for _ in range(5):
        quick.ack(quick.deliver().delivery_tag)
    slow.expect_silence(queue)


@case(ref="basic.cancel")
def a_cancelled_consumers_messages_do_not_hold_up_the_next(session: Session) -> None:
    channel, queue = _filled(session, 4)
    channel.call("basic.qos", prefetch_count=2)
    tag = channel.consume(queue)
    channel.deliveries(2)
    channel.call("basic.cancel", consumer_tag=tag)
    channel.consume(queue)
    check(channel.deliveries(2), [b"3", b"4"])
