"""queue.bind, unbind, purge and delete."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("queue_methods", "queue.bind")
NO_PREVIOUS = "NOT_FOUND - no previously declared queue"


@case()
def bind_to_a_missing_exchange_is_404(session: Session) -> None:
    channel = session.channel()
    queue, exchange = session.queue(channel), session.exchange_name()
    channel.refused(404, session.no_exchange(exchange), "queue.bind", queue=queue, exchange=exchange, routing_key="k")


@case()
def bind_of_a_missing_queue_is_404(session: Session) -> None:
    queue = session.queue_name()
    session.channel().refused(
        404, session.no_queue(queue), "queue.bind", queue=queue, exchange="amq.direct", routing_key="k"
    )


@case()
def bind_with_both_missing_names_the_exchange(session: Session) -> None:
    queue, exchange = session.queue_name(), session.exchange_name()
    session.channel().refused(
        404, session.no_exchange(exchange), "queue.bind", queue=queue, exchange=exchange, routing_key="k"
    )


@case()
def bind_twice_is_one_binding(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "direct")
    channel.bind(queue, exchange, "k")
    channel.bind(queue, exchange, "k")
    channel.publish(exchange, "k", b"x")
    check(channel.bodies(queue), [b"x"])
    channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key="k")
    channel.publish(exchange, "k", b"y")
    check(channel.bodies(queue), [])


@case()
def bindings_with_other_arguments_are_others(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "direct")
    channel.bind(queue, exchange, "k", {"a": 1})
    channel.bind(queue, exchange, "k", {"a": 2})
    channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key="k", arguments={"a": 1})
    channel.publish(exchange, "k", b"x")
    check(channel.bodies(queue), [b"x"])
    channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key="k", arguments={"a": 2})
    channel.publish(exchange, "k", b"y")
    check(channel.bodies(queue), [])


@case()
def bind_with_nowait_is_silent(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "fanout")
    channel.send("queue.bind", queue=queue, exchange=exchange, nowait=True)
    channel.expect_silence()
    channel.publish(exchange, "", b"x")
    check(channel.get(queue).body, b"x")


@case()
def bind_with_an_empty_name_is_the_last_declared(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "direct")
    channel.bind("", exchange, "k")
    channel.publish(exchange, "k", b"x")
    check(channel.get(queue).body, b"x")


@case()
def bind_with_empty_name_and_key_uses_the_queues_name_as_key(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "direct")
    channel.bind("", exchange, "")
    channel.publish(exchange, queue, b"by name")
    channel.publish(exchange, "", b"by empty key")
    check(channel.bodies(queue), [b"by name"])


@case()
def bind_with_a_name_and_an_empty_key_keeps_the_empty_key(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "direct")
    channel.bind(queue, exchange, "")
    channel.publish(exchange, queue, b"by name")
    channel.publish(exchange, "", b"by empty key")
    check(channel.bodies(queue), [b"by empty key"])


@case()
def an_empty_name_with_nothing_declared_is_404(session: Session) -> None:
    channel = session.channel()
    channel.refused(404, NO_PREVIOUS, "queue.bind", queue="", exchange="amq.direct", routing_key="k")
    channel.refused(404, NO_PREVIOUS, "queue.unbind", queue="", exchange="amq.direct", routing_key="k")
    channel.refused(404, NO_PREVIOUS, "queue.purge", queue="")
    channel.refused(404, NO_PREVIOUS, "queue.delete", queue="")
    channel.refused(404, NO_PREVIOUS, "basic.consume", queue="")
    channel.refused(404, NO_PREVIOUS, "basic.get", queue="")


@case(ref="queue.unbind")
def unbind_of_anything_missing_is_ok(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "direct")
    missing = session.name(".missing")
    channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key="never bound")
    channel.call("queue.unbind", queue=missing, exchange=exchange, routing_key="k")
    channel.call("queue.unbind", queue=queue, exchange=missing, routing_key="k")


@case(ref="queue.unbind")
def unbind_with_other_arguments_removes_nothing(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "direct")
    channel.bind(queue, exchange, "k", {"a": 1})
    channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key="k")
    channel.publish(exchange, "k", b"x")
    check(channel.bodies(queue), [b"x"])


@case(ref="queue.unbind")
def unbind_leaves_the_other_keys(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "direct")
    for key in "abc":
        channel.bind(queue, exchange, key)
    channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key="b")
    for key in "abc":
        channel.publish(exchange, key, key.encode())
    check(channel.bodies(queue), [b"a", b"c"])


@case(ref="queue.purge")
def purge_counts_and_removes_ready_messages_only(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for body in (b"a", b"b", b"c"):
        channel.publish("", queue, body)
    held = channel.get(queue, no_ack=False)
    check(channel.call("queue.purge", queue=queue).message_count, 2)
    channel.get_empty(queue)
    channel.nack(held.delivery_tag)
    check(channel.get(queue).body, b"a")


@case(ref="queue.purge")
def an_ack_after_the_purge_is_fine(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"a")
    held = channel.get(queue, no_ack=False)
    check(channel.call("queue.purge", queue=queue).message_count, 0)
    channel.ack(held.delivery_tag)
    channel.expect_silence(queue)


@case(ref="queue.purge")
def purge_of_missing_is_404(session: Session) -> None:
    queue = session.queue_name()
    session.channel().refused(404, session.no_queue(queue), "queue.purge", queue=queue)


@case(ref="queue.purge")
def purge_with_nowait_is_silent(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"a")
    channel.send("queue.purge", queue=queue, nowait=True)
    channel.expect_silence(queue)
    channel.get_empty(queue)


@case(ref="queue.purge")
def purge_with_an_empty_name_is_the_last_declared(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"a")
    check(channel.call("queue.purge", queue="").message_count, 1)


@case(ref="queue.delete")
def delete_counts_ready_messages(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for body in (b"a", b"b", b"c"):
        channel.publish("", queue, body)
    channel.get(queue, no_ack=False)
    check(channel.call("queue.delete", queue=queue).message_count, 2)
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)


@case(ref="queue.delete")
def delete_of_missing_is_ok_with_count_0(session: Session) -> None:
    channel = session.channel()
    check(channel.call("queue.delete", queue=session.queue_name()).message_count, 0)


@case(ref="queue.delete")
def delete_if_unused_with_a_consumer_is_406(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel)
    tag = second.consume(queue)
    text = f"PRECONDITION_FAILED - {session.queue_text(queue)} in use"
    channel.refused(406, text, "queue.delete", queue=queue, if_unused=True)
    second.call("basic.cancel", consumer_tag=tag)
    channel.call("queue.delete", queue=queue, if_unused=True)


@case(ref="queue.delete")
def delete_if_empty_with_messages_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    text = f"PRECONDITION_FAILED - {session.queue_text(queue)} not empty"
    channel.refused(406, text, "queue.delete", queue=queue, if_empty=True)
    channel.get(queue)
    channel.call("queue.delete", queue=queue, if_empty=True)


@case(ref="queue.delete")
def delete_if_empty_overlooks_unacked_messages(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    channel.get(queue, no_ack=False)
    channel.call("queue.delete", queue=queue, if_empty=True)


@case(ref="queue.delete")
def delete_with_nowait_is_silent(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.send("queue.delete", queue=queue, nowait=True)
    channel.expect_silence()
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)


@case(ref="queue.delete")
def delete_with_an_empty_name_is_the_last_declared(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    check(channel.call("queue.delete", queue="").message_count, 1)
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)


@case(ref="queue.delete")
def delete_takes_the_bindings_along(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.bind(queue, "amq.direct", queue)
    channel.call("queue.delete", queue=queue)
    channel.call("queue.declare", queue=queue, exclusive=True)
    channel.publish("amq.direct", queue, b"x")
    channel.get_empty(queue)


@case(ref="RabbitMQ: consumer-cancel")
def delete_cancels_the_consumers(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    stranger = session.stranger()
    tag = stranger.consume(queue)
    channel.call("queue.delete", queue=queue)
    cancel = stranger.expect("basic.cancel")
    check((cancel.consumer_tag, cancel.nowait), (tag, True))


@case(ref="RabbitMQ: consumer-cancel")
def delete_says_nothing_to_clients_that_did_not_ask(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    quiet = session.connect(capabilities={}).channel()
    quiet.consume(queue)
    channel.call("queue.delete", queue=queue)
    other = session.queue(quiet)
    quiet.expect_silence(other)


@case(ref="RabbitMQ: consumer-cancel")
def on_the_deleting_channel_delete_ok_precedes_the_cancel(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    tag = channel.consume(queue)
    channel.call("queue.delete", queue=queue)
    check(channel.expect("basic.cancel").consumer_tag, tag)


@case(ref="queue.delete")
def settling_after_the_delete_is_ignored(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for _ in range(3):
        channel.publish("", queue, b"x")
    tags = [channel.get(queue, no_ack=False).delivery_tag for _ in range(3)]
    channel.call("queue.delete", queue=queue)
    channel.ack(tags[0])
    channel.nack(tags[1])
    channel.reject(tags[2], requeue=False)
    channel.expect_silence()


@case(ref="queue.delete")
def a_deleted_queue_declared_again_is_empty(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    channel.call("queue.delete", queue=queue)
    check(channel.call("queue.declare", queue=queue, exclusive=True).message_count, 0)
