"""basic.consume, deliver and cancel: tags, exclusivity, order, turns."""

import re

from conformance.case import Section, Session
from conformance.wire import check

case = Section("consume", "basic.consume")


@case()
def of_a_missing_queue_is_404(session: Session) -> None:
    queue = session.queue_name()
    session.channel().refused(404, session.no_queue(queue), "basic.consume", queue=queue)


@case()
def the_given_tag_comes_back_and_on_deliveries(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    check(channel.consume(queue, consumer_tag="my tag"), "my tag")
    channel.publish("", queue, b"x")
    check(channel.deliver().consumer_tag, "my tag")


@case()
def an_empty_tag_makes_one(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    first, second = channel.consume(queue), channel.consume(queue)
    for tag in (first, second):
        assert re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", tag), tag
    assert first != second


@case()
def a_tag_in_use_on_the_channel_is_530(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, consumer_tag="t")
    text = "NOT_ALLOWED - attempt to reuse consumer tag 't'"
    channel.fatal(530, text, "basic.consume", queue=queue, consumer_tag="t")


@case()
def a_tag_may_be_used_on_two_channels(session: Session) -> None:
    one, other = session.channel(), session.channel()
    queue = session.queue(one)
    one.consume(queue, consumer_tag="t")
    other.consume(queue, consumer_tag="t")
    one.wait_counts(queue, 0, 2)


@case()
def a_cancelled_tag_may_be_used_again(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for _ in range(2):
        channel.consume(queue, consumer_tag="t")
        channel.call("basic.cancel", consumer_tag="t")
    channel.wait_counts(queue, 0, 0)


@case()
def with_an_empty_queue_name_is_the_last_declared(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume("")
    channel.wait_counts(queue, 0, 1)


@case()
def consume_ok_precedes_the_first_delivery(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"a", b"b")
    channel.send("basic.consume", queue=queue, no_ack=True)
    channel.expect("basic.consume-ok")
    check(channel.deliveries(2), [b"a", b"b"])


@case()
def with_nowait_there_is_no_consume_ok(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    channel.send("basic.consume", queue=queue, consumer_tag="t", nowait=True, no_ack=True)
    check(channel.deliver().consumer_tag, "t")


@case()
def with_nowait_and_no_tag_one_is_made(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    channel.send("basic.consume", queue=queue, nowait=True, no_ack=True)
    assert channel.deliver().consumer_tag.startswith("amq.ctag-")


@case()
def no_local_is_ignored(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, no_local=True, no_ack=True)
    channel.publish("", queue, b"own")
    check(channel.deliver().body, b"own")


@case()
def an_exclusive_consumer_where_another_is_is_403(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    stranger = session.stranger()
    channel.consume(queue)
    text = f"ACCESS_REFUSED - {session.queue_text(queue)} in exclusive use"
    stranger.refused(403, text, "basic.consume", queue=queue, exclusive=True)


@case()
def another_consumer_beside_an_exclusive_one_is_403(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    stranger = session.stranger()
    channel.consume(queue, exclusive=True)
    text = f"ACCESS_REFUSED - {session.queue_text(queue)} in exclusive use"
    stranger.refused(403, text, "basic.consume", queue=queue)
    channel.wait_counts(queue, 0, 1)


@case()
def get_still_works_beside_an_exclusive_consumer(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue, exclusive=True)
    stranger = session.stranger()
    stranger.fill(queue, b"a", b"b")
    check(channel.deliver().body, b"a")
    check(stranger.get(queue).body, b"b")


@case(ref="basic.cancel")
def after_an_exclusive_consumer_is_cancelled_others_may_come(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    tag = channel.consume(queue, exclusive=True)
    channel.call("basic.cancel", consumer_tag=tag)
    session.stranger().consume(queue)


@case(ref="basic.cancel")
def cancel_of_an_unknown_tag_is_ok(session: Session) -> None:
    check(session.channel().call("basic.cancel", consumer_tag="no such tag").consumer_tag, "no such tag")


@case(ref="basic.cancel")
def cancel_with_nowait_is_silent(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    tag = channel.consume(queue)
    channel.send("basic.cancel", consumer_tag=tag, nowait=True)
    channel.expect_silence(queue)
    channel.wait_counts(queue, 0, 0)


@case(ref="basic.cancel")
def after_cancel_ok_nothing_is_delivered(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    tag = channel.consume(queue)
    channel.call("basic.cancel", consumer_tag=tag)
    channel.publish("", queue, b"x")
    channel.expect_silence(queue)
    channel.wait_counts(queue, 1, 0)


@case(ref="basic.cancel")
def after_cancel_unacked_stay_unacked_and_can_be_acked(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    tag = channel.consume(queue)
    channel.publish("", queue, b"x")
    delivered = channel.deliver()
    channel.call("basic.cancel", consumer_tag=tag)
    channel.wait_counts(queue, 0, 0)
    channel.ack(delivered.delivery_tag)
    channel.expect_silence(queue)


@case(ref="basic.deliver")
def delivery_tags_count_from_1_over_all_consumers_and_gets(session: Session) -> None:
    channel = session.channel()
    one, other = session.queue(channel), session.queue(channel)
    channel.consume(one)
    channel.publish("", one, b"a")
    check(channel.deliver().delivery_tag, 1)
    channel.publish("", other, b"b")
    check(channel.get(other).delivery_tag, 2)
    channel.publish("", one, b"c")
    check(channel.deliver().delivery_tag, 3)


@case(ref="basic.deliver")
def a_first_delivery_is_not_redelivered(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue)
    channel.publish("", queue, b"x")
    check(channel.deliver().redelivered, False)


@case(ref="RabbitMQ: consumers")
def consumers_take_strict_turns(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    tags = [channel.consume(queue, no_ack=True) for _ in range(3)]
    for number in range(12):
        channel.publish("", queue, str(number).encode())
    turns = [channel.deliver().consumer_tag for _ in range(12)]
    first = tags.index(turns[0])
    check(turns, [tags[(first + number) % 3] for number in range(12)])


@case(ref="RabbitMQ: consumers")
def consumers_of_two_connections_share_evenly(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    workers = [session.stranger(), session.stranger()]
    for worker in workers:
        worker.consume(queue, no_ack=True)
    for number in range(10):
        channel.publish("", queue, str(number).encode())
    taken = [worker.deliveries(5) for worker in workers]
    check(sorted(int(body) for bodies in taken for body in bodies), list(range(10)))


@case()
def a_message_goes_to_one_consumer_only(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for _ in range(3):
        channel.consume(queue, no_ack=True)
    channel.publish("", queue, b"x")
    channel.deliver()
    channel.expect_silence(queue)


@case()
def two_queues_are_consumed_on_one_channel(session: Session) -> None:
    channel = session.channel()
    queues = [session.queue(channel) for _ in range(2)]
    tags = [channel.consume(queue, no_ack=True) for queue in queues]
    for queue, tag in zip(queues, tags, strict=True):
        channel.publish("", queue, queue.encode())
        message = channel.deliver()
        check((message.consumer_tag, message.body), (tag, queue.encode()))


@case()
def a_backlog_is_delivered_in_order(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    bodies = [str(number).encode() for number in range(200)]
    channel.fill(queue, *bodies)
    channel.consume(queue, no_ack=True)
    check(channel.deliveries(200), bodies)
    channel.wait_counts(queue, 0, 1)


@case()
def no_ack_deliveries_are_settled_at_once(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel)
    second.consume(queue, no_ack=True)
    channel.publish("", queue, b"x")
    second.deliver()
    second.call("channel.close", reply_code=200)
    channel.wait_consumers(queue, 0)
    channel.get_empty(queue)


@case()
def unknown_consumer_arguments_are_ignored(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, arguments={"x-anything": 1})


@case(ref="RabbitMQ: consumer-cancel")
def a_cancel_from_the_server_ends_the_consumer(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    stranger = session.stranger()
    stranger.consume(queue, consumer_tag="t")
    channel.call("queue.delete", queue=queue)
    stranger.expect("basic.cancel")
    other = session.queue(stranger)
    stranger.consume(other, consumer_tag="t")


@case(ref="RabbitMQ: consumer-cancel")
def a_cancel_from_the_server_needs_no_cancel_ok(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue)
    channel.call("queue.delete", queue=queue)
    channel.expect("basic.cancel")
    channel.round_trip()


@case()
def a_consumer_of_a_dead_connection_gets_nothing_lost(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    worker = session.stranger()
    worker.consume(queue)
    channel.fill(queue, b"a", b"b")
    worker.deliveries(2)
    worker.connection.abandon()
    channel.wait_ready(queue, 2)
    messages = [channel.get(queue) for _ in range(2)]
    check([(m.body, m.redelivered) for m in messages], [(b"a", True), (b"b", True)])


@case(ref="RabbitMQ: consumers")
def turns_go_on_where_they_stopped(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    tags = [channel.consume(queue, no_ack=True) for _ in range(3)]
    turns = []
    for number in range(7):
        channel.publish("", queue, str(number).encode())
        turns.append(channel.deliver().consumer_tag)
    first = tags.index(turns[0])
    check(turns, [tags[(first + number) % 3] for number in range(7)])


@case(ref="RabbitMQ: consumers")
def a_new_consumer_joins_the_turns(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    first = channel.consume(queue, no_ack=True)
    channel.publish("", queue, b"x")
    check(channel.deliver().consumer_tag, first)
    second = channel.consume(queue, no_ack=True)
    turns = []
    for _ in range(4):
        channel.publish("", queue, b"x")
        turns.append(channel.deliver().consumer_tag)
    check(sorted(turns), sorted([first, second] * 2))
    check(turns[:2], turns[2:])


@case(ref="RabbitMQ: consumers")
def a_backlog_is_shared_in_turns_by_prefetch(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.fill(queue, *(str(number).encode() for number in range(6)))
    workers = [session.stranger() for _ in range(2)]
    for worker in workers:
        worker.call("basic.qos", prefetch_count=3)
        worker.consume(queue)
    check([worker.deliveries(3) for worker in workers], [[b"0", b"1", b"2"], [b"3", b"4", b"5"]])


@case()
def ten_thousand_messages_come_in_order_and_once(session: Session) -> None:
    channel, publisher = session.channel(), session.channel()
    queue = session.queue(channel)
    channel.call("basic.qos", prefetch_count=100)
    channel.consume(queue)
    publisher.call("confirm.select")
    for start in range(0, 10000, 1000):
        for number in range(start, start + 1000):
            publisher.publish("", queue, number.to_bytes(4, "big"))
        for number in range(start, start + 1000):
            message = channel.deliver()
            check((int.from_bytes(message.body, "big"), message.redelivered), (number, False))
            if number % 50 == 49:
                channel.ack(message.delivery_tag, multiple=True)
    channel.expect_silence(queue)
    channel.wait_ready(queue, 0)


@case(ref="basic.cancel")
def cancel_after_the_servers_cancel_is_ok(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    tag = channel.consume(queue)
    channel.call("queue.delete", queue=queue)
    channel.expect("basic.cancel")
    check(channel.call("basic.cancel", consumer_tag=tag).consumer_tag, tag)
