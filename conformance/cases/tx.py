"""Transactions."""

from conformance.case import Section, Session
from conformance.wire import Channel, check

case = Section("tx", "tx.select")
NOT_TX = "PRECONDITION_FAILED - channel is not transactional"


def _transactional(session: Session) -> tuple[Channel, str]:
    channel = session.channel()
    queue = session.queue(channel)
    channel.call("tx.select")
    return channel, queue


@case()
def select_twice_is_ok(session: Session) -> None:
    channel = session.channel()
    channel.call("tx.select")
    channel.call("tx.select")


@case(ref="tx.commit")
def commit_without_select_is_406(session: Session) -> None:
    session.channel().refused(406, NOT_TX, "tx.commit")


@case(ref="tx.rollback")
def rollback_without_select_is_406(session: Session) -> None:
    session.channel().refused(406, NOT_TX, "tx.rollback")


@case(ref="tx.commit")
def an_empty_commit_is_ok(session: Session) -> None:
    channel, _ = _transactional(session)
    channel.call("tx.commit")
    channel.call("tx.rollback")


@case(ref="tx.commit")
def publishes_appear_at_commit(session: Session) -> None:
    channel, queue = _transactional(session)
    for body in (b"a", b"b"):
        channel.publish("", queue, body)
    channel.wait_ready(queue, 0)
    channel.call("tx.commit")
    check(channel.bodies(queue), [b"a", b"b"])


@case(ref="tx.rollback")
def publishes_vanish_at_rollback(session: Session) -> None:
    channel, queue = _transactional(session)
    channel.publish("", queue, b"a")
    channel.call("tx.rollback")
    channel.publish("", queue, b"b")
    channel.call("tx.commit")
    check(channel.bodies(queue), [b"b"])


@case(ref="tx.commit")
def a_second_transaction_follows_the_first(session: Session) -> None:
    channel, queue = _transactional(session)
    for body in (b"a", b"b", b"c"):
        channel.publish("", queue, body)
        channel.call("tx.commit")
    check(channel.bodies(queue), [b"a", b"b", b"c"])


@case(ref="channel.close")
def publishes_vanish_with_the_channel(session: Session) -> None:
    channel, queue = _transactional(session)
    channel.publish("", queue, b"a")
    channel.call("channel.close", reply_code=200)
    other = session.channel()
    other.wait_ready(queue, 0)


@case(ref="tx.commit")
def persistent_messages_are_committed(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.call("tx.select")
    for number in range(20):
        channel.publish("", queue, str(number).encode(), delivery_mode=2)
    channel.call("tx.commit")
    session.stranger().wait_ready(queue, 20)


@case(ref="tx.commit")
def acks_take_effect_at_commit(session: Session) -> None:
    channel, queue = _transactional(session)
    other = session.channel()
    other.fill(queue, b"a", b"b")
    channel.ack(channel.get(queue, no_ack=False).delivery_tag)
    channel.call("tx.commit")
    channel.ack(channel.get(queue, no_ack=False).delivery_tag)
    channel.call("channel.close", reply_code=200)
    other.wait_ready(queue, 1)
    check(other.bodies(queue), [b"b"])


@case(ref="tx.rollback")
def acks_are_taken_back_at_rollback(session: Session) -> None:
    channel, queue = _transactional(session)
    other = session.channel()
    other.fill(queue, b"a")
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.ack(tag)
    channel.call("tx.rollback")
    channel.wait_ready(queue, 0)
    channel.ack(tag)
    channel.call("tx.commit")
    channel.call("channel.close", reply_code=200)
    other.wait_ready(queue, 0)


@case(ref="tx.commit")
def a_requeue_takes_effect_at_commit(session: Session) -> None:
    channel, queue = _transactional(session)
    session.channel().fill(queue, b"a")
    channel.nack(channel.get(queue, no_ack=False).delivery_tag)
    channel.wait_ready(queue, 0)
    channel.call("tx.commit")
    message = channel.get(queue)
    check((message.body, message.redelivered), (b"a", True))


@case(ref="tx.rollback")
def a_requeue_is_taken_back_at_rollback(session: Session) -> None:
    channel, queue = _transactional(session)
    session.channel().fill(queue, b"a")
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.nack(tag)
    channel.call("tx.rollback")
    channel.wait_ready(queue, 0)
    channel.ack(tag)
    channel.call("tx.commit")


@case(ref="basic.ack")
def an_unknown_tag_is_406_before_commit(session: Session) -> None:
    channel, _ = _transactional(session)
    text = "PRECONDITION_FAILED - unknown delivery tag 5"
    channel.refused(406, text, "basic.ack", delivery_tag=5)


@case(ref="basic.ack")
def a_tag_acked_twice_in_a_transaction_is_406_at_once(session: Session) -> None:
    channel, queue = _transactional(session)
    session.channel().fill(queue, b"a")
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.ack(tag)
    text = f"PRECONDITION_FAILED - unknown delivery tag {tag}"
    channel.refused(406, text, "basic.ack", delivery_tag=tag)


@case(ref="basic.publish")
def a_missing_exchange_is_404_before_commit(session: Session) -> None:
    channel, _ = _transactional(session)
    name = session.exchange_name()
    channel.publish_refused(404, session.no_exchange(name), name, "k")


@case(ref="tx.commit")
def a_mandatory_return_comes_at_commit_before_commit_ok(session: Session) -> None:
    channel, _ = _transactional(session)
    channel.publish("", session.name(".missing"), b"x", mandatory=True)
    channel.expect_silence()
    channel.send("tx.commit")
    channel.expect("basic.return")
    channel.expect("tx.commit-ok")


@case(ref="tx.rollback")
def a_mandatory_return_vanishes_at_rollback(session: Session) -> None:
    channel, _ = _transactional(session)
    channel.publish("", session.name(".missing"), b"x", mandatory=True)
    channel.call("tx.rollback")
    channel.call("tx.commit")


@case(ref="tx.commit")
def routing_is_done_at_the_publish_not_at_commit(session: Session) -> None:
    channel, queue = _transactional(session)
    exchange = session.exchange(channel, "direct")
    channel.publish(exchange, "k", b"before the binding")
    channel.bind(queue, exchange, "k")
    channel.publish(exchange, "k", b"after it")
    channel.call("tx.commit")
    check(channel.bodies(queue), [b"after it"])


@case(ref="tx.commit")
def a_commit_of_publishes_and_acks_does_both(session: Session) -> None:
    channel, queue = _transactional(session)
    other = session.channel()
    out = session.queue(other)
    other.fill(queue, b"in")
    message = channel.get(queue, no_ack=False)
    channel.publish("", out, b"out")
    channel.ack(message.delivery_tag)
    channel.call("tx.commit")
    channel.call("channel.close", reply_code=200)
    check((other.ready_count(queue), other.bodies(out)), (0, [b"out"]))


@case(ref="tx.select")
def other_channels_are_not_transactional(session: Session) -> None:
    _channel, queue = _transactional(session)
    other = session.channel()
    other.publish("", queue, b"x")
    check(other.get(queue).body, b"x")


@case(ref="basic.consume")
def deliveries_come_inside_a_transaction(session: Session) -> None:
    channel, queue = _transactional(session)
    channel.consume(queue, no_ack=True)
    session.channel().fill(queue, b"x")
    check(channel.deliver().body, b"x")
