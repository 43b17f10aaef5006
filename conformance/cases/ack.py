"""basic.ack, nack and reject: each disposition once, multiple, requeue and its order."""

from conformance.case import Section, Session
from conformance.wire import Channel, check

case = Section("ack", "basic.ack")


def _unknown(tag: int) -> str:
    return f"PRECONDITION_FAILED - unknown delivery tag {tag}"


def _held(session: Session, count: int) -> tuple[Channel, str]:
    """Return a channel that holds tags 1..count of a queue, bodies ``1``..``count``."""
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, *(str(number).encode() for number in range(1, count + 1)))
    channel.consume(queue, consumer_tag="holder")
    channel.deliveries(count)
    return channel, queue


def _requeued(session: Session, channel: Channel, queue: str) -> list[bytes]:
    """Close the channel; return what was still unacked on it, in the queue's order."""
    other = session.channel()
    channel.call("channel.close", reply_code=200)
    other.wait_consumers(queue, 0)
    return other.bodies(queue)


@case()
def ack_settles_one(session: Session) -> None:
    channel, queue = _held(session, 3)
    channel.ack(2)
    check(_requeued(session, channel, queue), [b"1", b"3"])


@case()
def ack_multiple_settles_all_up_to_the_tag(session: Session) -> None:
    channel, queue = _held(session, 5)
    channel.ack(3, multiple=True)
    check(_requeued(session, channel, queue), [b"4", b"5"])


@case()
def ack_multiple_of_0_settles_all(session: Session) -> None:
    channel, queue = _held(session, 3)
    channel.ack(0, multiple=True)
    check(_requeued(session, channel, queue), [])


@case()
def ack_multiple_of_0_with_nothing_open_is_fine(session: Session) -> None:
    channel = session.channel()
    channel.ack(0, multiple=True)
    channel.expect_silence()


@case(ref="basic.nack")
def nack_multiple_of_0_with_nothing_open_is_fine(session: Session) -> None:
    channel = session.channel()
    channel.nack(0, multiple=True)
    channel.expect_silence()


@case()
def ack_multiple_settles_only_what_is_still_open(session: Session) -> None:
    channel, queue = _held(session, 5)
    channel.ack(2)
    channel.nack(1, requeue=False)
    channel.ack(4, multiple=True)
    check(_requeued(session, channel, queue), [b"5"])


@case()
def acks_may_come_in_any_order(session: Session) -> None:
    channel, queue = _held(session, 5)
    for tag in (4, 1, 5, 3):
        channel.ack(tag)
    check(_requeued(session, channel, queue), [b"2"])


@case()
def an_unknown_tag_is_406(session: Session) -> None:
    session.channel().refused(406, _unknown(5), "basic.ack", delivery_tag=5)


@case()
def ack_twice_is_406(session: Session) -> None:
    channel, _ = _held(session, 2)
    channel.ack(1)
    channel.refused(406, _unknown(1), "basic.ack", delivery_tag=1)


@case()
def ack_of_tag_0_alone_is_406(session: Session) -> None:
    channel, _ = _held(session, 1)
    channel.refused(406, _unknown(0), "basic.ack", delivery_tag=0)


@case()
def ack_multiple_beyond_all_open_is_406(session: Session) -> None:
    channel, _ = _held(session, 2)
    channel.refused(406, _unknown(9), "basic.ack", delivery_tag=9, multiple=True)


@case()
def ack_multiple_up_to_a_settled_tag_is_406(session: Session) -> None:
    channel, _ = _held(session, 3)
    channel.ack(2)
    channel.refused(406, _unknown(2), "basic.ack", delivery_tag=2, multiple=True)


@case()
def ack_of_a_no_ack_delivery_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, no_ack=True)
    channel.publish("", queue, b"x")
    tag = channel.deliver().delivery_tag
    channel.refused(406, _unknown(tag), "basic.ack", delivery_tag=tag)


@case()
def a_tag_of_another_channel_is_unknown(session: Session) -> None:
    channel, queue = _held(session, 1)
    other = session.channel()
    other.refused(406, _unknown(1), "basic.ack", delivery_tag=1)
    check(_requeued(session, channel, queue), [b"1"])


@case()
def tags_before_a_close_are_unknown_after_it(session: Session) -> None:
    channel, _ = _held(session, 1)
    channel.call("channel.close", reply_code=200)
    channel.call("channel.open")
    channel.refused(406, _unknown(1), "basic.ack", delivery_tag=1)


@case(ref="basic.nack")
def nack_of_an_unknown_tag_is_406(session: Session) -> None:
    session.channel().refused(406, _unknown(5), "basic.nack", delivery_tag=5)


@case(ref="basic.reject")
def reject_of_an_unknown_tag_is_406(session: Session) -> None:
    session.channel().refused(406, _unknown(5), "basic.reject", delivery_tag=5)


@case(ref="basic.nack")
def nack_after_ack_is_406(session: Session) -> None:
    channel, _ = _held(session, 1)
    channel.ack(1)
    channel.refused(406, _unknown(1), "basic.nack", delivery_tag=1)


@case(ref="basic.reject")
def reject_after_reject_is_406(session: Session) -> None:
    channel, _ = _held(session, 1)
    channel.reject(1, requeue=False)
    channel.refused(406, _unknown(1), "basic.reject", delivery_tag=1)


@case(ref="basic.reject")
def reject_without_requeue_drops(session: Session) -> None:
    channel, queue = _held(session, 2)
    channel.reject(1, requeue=False)
    check(_requeued(session, channel, queue), [b"2"])


@case(ref="basic.nack")
def nack_without_requeue_drops(session: Session) -> None:
    channel, queue = _held(session, 3)
    channel.nack(2, multiple=True, requeue=False)
    check(_requeued(session, channel, queue), [b"3"])


@case(ref="basic.reject")
def reject_with_requeue_delivers_again(session: Session) -> None:
    channel, _ = _held(session, 1)
    channel.reject(1, requeue=True)
    again = channel.deliver()
    check((again.delivery_tag, again.redelivered, again.body), (2, True, b"1"))


@case(ref="basic.nack")
def nack_with_requeue_delivers_again(session: Session) -> None:
    channel, _ = _held(session, 1)
    channel.nack(1)
    again = channel.deliver()
    check((again.delivery_tag, again.redelivered, again.body), (2, True, b"1"))


@case(ref="basic.nack")
def nack_multiple_with_requeue_keeps_the_order(session: Session) -> None:
    channel, _ = _held(session, 4)
    channel.nack(0, multiple=True)
    check(channel.deliveries(4), [b"1", b"2", b"3", b"4"])


def _four_got(session: Session) -> tuple[Channel, str, list[int]]:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"0", b"1", b"2", b"3", b"4")
    tags = [channel.get(queue, no_ack=False).delivery_tag for _ in range(3)]
    return channel, queue, tags


@case(ref="RabbitMQ: nack")
def a_requeued_message_returns_to_its_place(session: Session) -> None:
    channel, queue, tags = _four_got(session)
    channel.nack(tags[1])
    check(channel.bodies(queue), [b"1", b"3", b"4"])


@case(ref="RabbitMQ: nack")
def requeueing_in_any_order_restores_the_order(session: Session) -> None:
    channel, queue, tags = _four_got(session)
    for at in (2, 0, 1):
        channel.reject(tags[at], requeue=True)
    check(channel.bodies(queue), [b"0", b"1", b"2", b"3", b"4"])


@case(ref="RabbitMQ: nack")
def only_requeued_messages_are_redelivered(session: Session) -> None:
    channel, queue, tags = _four_got(session)
    channel.nack(tags[2], multiple=True)
    messages = [channel.get(queue) for _ in range(5)]
    check([message.redelivered for message in messages], [True, True, True, False, False])


@case(ref="RabbitMQ: nack")
def a_requeued_message_may_go_to_another_consumer(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.fill(queue, b"x")
    tag = channel.get(queue, no_ack=False).delivery_tag
    stranger = session.stranger()
    stranger.consume(queue)
    channel.nack(tag)
    message = stranger.deliver()
    check((message.body, message.redelivered), (b"x", True))


@case()
def settling_on_one_queue_leaves_the_other_alone(session: Session) -> None:
    channel = session.channel()
    one, other = session.queue(channel), session.queue(channel)
    for body in (b"1", b"2"):
        channel.publish("", one, body)
        channel.publish("", other, body)
    for _ in range(2):
        channel.get(one, no_ack=False)
        channel.get(other, no_ack=False)
    channel.ack(2, multiple=True)
    channel.nack(0, multiple=True)
    check((channel.bodies(one), channel.bodies(other)), ([b"2"], [b"2"]))


@case()
def a_refused_ack_settles_nothing(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"1", b"2")
    for _ in range(2):
        channel.get(queue, no_ack=False)
    channel.refused(406, _unknown(7), "basic.ack", delivery_tag=7, multiple=True)
    channel.wait_ready(queue, 2)
    check(channel.bodies(queue), [b"1", b"2"])


@case()
def acks_of_a_thousand_one_by_one(session: Session) -> None:
    channel, queue = _held(session, 1000)
    for tag in range(1, 1001):
        channel.ack(tag)
    channel.expect_silence(queue)
    check(_requeued(session, channel, queue), [])


@case(ref="RabbitMQ: nack")
def requeued_by_one_consumer_and_closed_by_another_the_order_is_restored(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    one, other = session.channel(), session.channel()
    for worker in (one, other):
        worker.call("basic.qos", prefetch_count=3)
        worker.consume(queue)
    channel.fill(queue, *(str(number).encode() for number in range(6)))
    one.deliveries(3)
    other.deliveries(3)
    for worker in (one, other):
        worker.call("channel.close", reply_code=200)
    channel.wait_counts(queue, 6, 0)
    check(channel.bodies(queue), [str(number).encode() for number in range(6)])


@case(ref="basic.reject")
def a_message_is_redelivered_each_time_it_is_requeued(session: Session) -> None:
    channel, _ = _held(session, 1)
    for tag in range(1, 6):
        channel.reject(tag, requeue=True)
        message = channel.deliver()
        check((message.delivery_tag, message.redelivered), (tag + 1, True))


@case(ref="basic.nack")
def nack_multiple_up_to_a_tag_leaves_the_later_ones(session: Session) -> None:
    channel, queue = _held(session, 4)
    channel.call("basic.cancel", consumer_tag="holder")
    channel.nack(2, multiple=True)
    channel.wait_ready(queue, 2)
    check(channel.bodies(queue), [b"1", b"2"])
    channel.ack(4, multiple=True)
    channel.expect_silence(queue)


@case()
def acks_of_gets_and_deliveries_mix(session: Session) -> None:
    channel = session.channel()
    got, consumed = session.queue(channel), session.queue(channel)
    channel.fill(got, b"g1", b"g2")
    channel.get(got, no_ack=False)
    channel.consume(consumed)
    channel.fill(consumed, b"c1", b"c2")
    channel.deliveries(2)
    channel.get(got, no_ack=False)
    channel.ack(3, multiple=True)
    channel.nack(4)
    channel.wait_ready(got, 1)
    check(channel.bodies(got), [b"g2"])
