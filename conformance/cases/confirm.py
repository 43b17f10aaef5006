"""Publisher confirms."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("confirm", "RabbitMQ: confirms")


@case(ref="confirm.select")
def select_is_answered(session: Session) -> None:
    session.channel().call("confirm.select")


@case(ref="confirm.select")
def select_twice_is_ok_and_keeps_counting(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.call("confirm.select")
    channel.publish("", queue, b"1")
    check(channel.expect("basic.ack").delivery_tag, 1)
    channel.call("confirm.select")
    channel.publish("", queue, b"2")
    check(channel.expect("basic.ack").delivery_tag, 2)


@case(ref="confirm.select")
def select_with_nowait_is_silent(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.send("confirm.select", nowait=True)
    channel.publish("", queue, b"1")
    check(channel.expect("basic.ack").delivery_tag, 1)


@case()
def numbers_start_with_the_first_publish_after_select(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"before")
    channel.call("confirm.select")
    channel.publish("", queue, b"after")
    check(channel.expect("basic.ack").delivery_tag, 1)


@case()
def numbers_are_by_channel(session: Session) -> None:
    one, other = session.channel(), session.channel()
    queue = session.queue(one)
    for channel in (one, other):
        channel.call("confirm.select")
        channel.publish("", queue, b"x")
        check(channel.expect("basic.ack").delivery_tag, 1)


@case()
def without_select_there_are_no_confirms(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    channel.expect_silence(queue)


@case()
def every_publish_is_confirmed_once(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.call("confirm.select")
    for _ in range(200):
        channel.publish("", queue, b"x")
    check(set(channel.wait_confirms(200).values()), {"ack"})
    channel.expect_silence(queue)


@case()
def persistent_to_a_durable_queue_is_confirmed(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.call("confirm.select")
    for _ in range(50):
        channel.publish("", queue, b"x", delivery_mode=2)
    check(set(channel.wait_confirms(50).values()), {"ack"})
    channel.wait_ready(queue, 50)


@case()
def persistent_and_transient_mixed_are_all_confirmed(session: Session) -> None:
    channel = session.channel()
    durable, transient = session.shared_queue(channel), session.queue(channel)
    channel.call("confirm.select")
    for number in range(40):
        queue = durable if number % 3 else transient
        channel.publish("", queue, b"x", delivery_mode=1 + number % 2)
    check(len(channel.wait_confirms(40)), 40)


@case()
def a_publish_to_many_queues_is_confirmed_once(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    for _ in range(3):
        channel.bind(session.queue(channel), exchange)
    channel.bind(session.shared_queue(channel), exchange)
    channel.call("confirm.select")
    channel.publish(exchange, "", b"x", delivery_mode=2)
    channel.wait_confirms(1)
    channel.expect_silence()


@case()
def an_unroutable_publish_is_acked(session: Session) -> None:
    channel = session.channel()
    channel.call("confirm.select")
    channel.publish("", session.name(".missing"), b"x")
    check(channel.expect("basic.ack").delivery_tag, 1)


@case()
def a_mandatory_return_precedes_the_ack(session: Session) -> None:
    channel = session.channel()
    channel.call("confirm.select")
    channel.publish("", session.name(".missing"), b"x", mandatory=True)
    channel.expect("basic.return")
    check(channel.expect("basic.ack").delivery_tag, 1)


@case()
def a_refused_publish_is_not_confirmed(session: Session) -> None:
    channel = session.channel()
    channel.call("confirm.select")
    channel.publish_refused(404, None, session.exchange_name(), "k")


@case()
def after_a_channel_error_confirms_are_off_again(session: Session) -> None:
    channel = session.channel()
    channel.call("confirm.select")
    channel.publish_refused(404, None, session.exchange_name(), "k")
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    channel.expect_silence(queue)


@case()
def a_confirmed_message_is_in_the_queue(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.call("confirm.select")
    stranger = session.stranger()
    for number in range(20):
        channel.publish("", queue, str(number).encode())
        channel.expect("basic.ack")
        check(stranger.get(queue).body, str(number).encode())


@case()
def a_delivery_need_not_be_acked_for_the_confirm(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    worker = session.channel()
    worker.consume(queue)
    channel.call("confirm.select")
    channel.publish("", queue, b"x")
    channel.expect("basic.ack")
    worker.deliver()


@case()
def own_deliveries_and_confirms_come_on_one_channel(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, no_ack=True)
    channel.call("confirm.select")
    channel.publish("", queue, b"x")
    check(sorted(channel.next().name for _ in range(2)), ["basic.ack", "basic.deliver"])


@case()
def an_empty_body_is_confirmed(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.call("confirm.select")
    channel.publish("", queue)
    check(channel.expect("basic.ack").delivery_tag, 1)


@case()
def a_publish_to_a_queue_deleted_meanwhile_is_acked(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.call("confirm.select")
    channel.call("queue.delete", queue=queue)
    channel.publish("", queue, b"x")
    check(channel.expect("basic.ack").delivery_tag, 1)


@case(ref="tx.select")
def tx_select_after_confirm_select_is_406(session: Session) -> None:
    channel = session.channel()
    channel.call("confirm.select")
    channel.refused(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", "tx.select")


@case(ref="confirm.select")
def confirm_select_after_tx_select_is_406(session: Session) -> None:
    channel = session.channel()
    channel.call("tx.select")
    channel.refused(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", "confirm.select")


@case()
def confirms_come_in_ascending_order_per_queue(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.call("confirm.select")
    for _ in range(100):
        channel.publish("", queue, b"x")
    last = 0
    while last < 100:
        tag = channel.expect("basic.ack").delivery_tag
        assert tag > last, f"{tag} after {last}"
        last = tag


@case()
def routed_and_returned_publishes_are_all_confirmed(session: Session) -> None:
    channel = session.channel()
    queue, missing = session.queue(channel), session.name(".missing")
    channel.call("confirm.select")
    for number in range(20):
        channel.publish("", queue if number % 2 else missing, b"x", mandatory=True)
    returned = 0
    settled: set[int] = set()
    while len(settled) < 20:
        method = channel.next()
        if method.name == "basic.return":
            returned += 1
            continue
        first = 1 if method.multiple else method.delivery_tag
        settled |= set(range(first, method.delivery_tag + 1))
    check(returned, 10)


@case()
def a_consumer_that_does_not_ack_does_not_hold_up_persistent_confirms(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    worker = session.stranger()
    worker.consume(queue)
    channel.call("confirm.select")
    for _ in range(10):
        channel.publish("", queue, b"x", delivery_mode=2)
    check(len(channel.wait_confirms(10)), 10)
    check(len(worker.deliveries(10)), 10)
