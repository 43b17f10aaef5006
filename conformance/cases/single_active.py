"""x-single-active-consumer."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("single_active", "RabbitMQ: consumers")
SINGLE = {"x-single-active-consumer": True}


def _bodies(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last + 1)]


@case()
def only_the_first_consumer_gets_messages(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, SINGLE)
    for tag in ("first", "second", "third"):
        channel.consume(queue, consumer_tag=tag, no_ack=True)
    for _ in range(6):
        channel.publish("", queue, b"x")
    check({channel.deliver().consumer_tag for _ in range(6)}, {"first"})


@case()
def when_the_active_is_cancelled_the_next_takes_over(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, SINGLE)
    for tag in ("first", "second", "third"):
        channel.consume(queue, consumer_tag=tag, no_ack=True)
    for gone, active in (("first", "second"), ("second", "third")):
        channel.call("basic.cancel", consumer_tag=gone)
        channel.publish("", queue, b"x")
        check(channel.deliver().consumer_tag, active)


@case()
def when_the_actives_connection_goes_the_next_takes_over(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, SINGLE)
    first, second = session.stranger(), session.stranger()
    first.consume(queue)
    second.consume(queue)
    channel.fill(queue, b"1", b"2")
    first.deliveries(2)
    first.connection.abandon()
    check(second.deliveries(2), [b"1", b"2"])


@case()
def a_full_active_consumer_is_not_helped_by_others(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel, SINGLE)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    second.consume(queue)
    session.channel().fill(queue, b"1", b"2")
    check(channel.deliver().body, b"1")
    second.expect_silence(queue)
    channel.ack(1)
    check(channel.deliver().body, b"2")


@case()
def an_inactive_consumer_cancelled_changes_nothing(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, SINGLE)
    for tag in ("first", "second"):
        channel.consume(queue, consumer_tag=tag, no_ack=True)
    channel.call("basic.cancel", consumer_tag="second")
    channel.publish("", queue, b"x")
    check(channel.deliver().consumer_tag, "first")


@case()
def all_consumers_are_counted(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, SINGLE)
    for _ in range(3):
        channel.consume(queue)
    channel.wait_counts(queue, 0, 3)


@case()
def an_exclusive_consumer_is_403(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, SINGLE)
    text = f"ACCESS_REFUSED - {session.queue_text(queue)} in exclusive use"
    channel.refused(403, text, "basic.consume", queue=queue, exclusive=True)


@case()
def the_order_is_kept_over_the_hand_over(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, SINGLE)
    first, second = session.stranger(), session.stranger()
    for worker in (first, second):
        worker.call("basic.qos", prefetch_count=5)
        worker.consume(queue)
    channel.fill(queue, *_bodies(1, 10))
    check(first.deliveries(5), _bodies(1, 5))
    first.ack(2, multiple=True)
    first.deliveries(2)
    first.round_trip()
    first.connection.close()
    check(second.deliveries(5), _bodies(3, 7))


@case()
def false_is_a_plain_queue(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-single-active-consumer": False})
    for tag in ("first", "second"):
        channel.consume(queue, consumer_tag=tag, no_ack=True)
    for _ in range(4):
        channel.publish("", queue, b"x")
    check({channel.deliver().consumer_tag for _ in range(4)}, {"first", "second"})


@case(ref="RabbitMQ: queues")
def a_delete_cancels_active_and_waiting_consumers(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, SINGLE)
    workers = [session.stranger(), session.stranger()]
    for worker in workers:
        worker.consume(queue)
    channel.call("queue.delete", queue=queue)
    for worker in workers:
        worker.expect("basic.cancel")
