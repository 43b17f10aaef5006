"""When several things are wrong at once: which one is told."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("precedence", "basic.publish")


@case()
def a_missing_exchange_before_a_bad_expiration_cc_and_user_id(session: Session) -> None:
    name = session.exchange_name()
    properties = {"expiration": "soon", "user_id": "nobody"}
    session.channel().publish_refused(
        404, session.no_exchange(name), name, "k", headers={"CC": "no array"}, **properties
    )


@case()
def an_internal_exchange_before_a_bad_expiration(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "fanout", internal=True)
    text = f"ACCESS_REFUSED - cannot publish to internal {session.exchange_text(name)}"
    channel.publish_refused(403, text, name, "k", expiration="soon")


@case()
def a_bad_expiration_before_a_bad_cc(session: Session) -> None:
    text = "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"
    session.channel().publish_refused(406, text, "", "k", expiration="soon", headers={"CC": "no array"})


@case()
def a_bad_user_id_before_a_bad_expiration(session: Session) -> None:
    user = session.address.user
    text = f"PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was '{user}'"
    session.channel().publish_refused(406, text, "", "k", expiration="soon", user_id="nobody")


@case()
def a_bad_user_id_before_a_bad_cc(session: Session) -> None:
    user = session.address.user
    text = f"PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was '{user}'"
    session.channel().publish_refused(406, text, "", "k", user_id="nobody", headers={"CC": "no array"})


@case()
def immediate_before_a_missing_exchange(session: Session) -> None:
    channel = session.channel()
    channel.publish(session.exchange_name(), "k", b"x", immediate=True)
    channel.connection.expect_close(540, "NOT_IMPLEMENTED - immediate=true", 60, 40)


@case(ref="queue.declare")
def a_locked_queue_before_other_differences(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    session.stranger().refused(
        405,
        session.locked(queue),
        "queue.declare",
        queue=queue,
        durable=True,
        auto_delete=True,
        arguments={"x-max-length": 1},
    )


@case(ref="queue.declare")
def an_existing_queues_difference_before_a_bad_argument(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    arguments = {"x-max-length": -1}
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for {session.queue_text(queue)}: "
        "received the value '-1' of type 'signedint' but current is none"
    )
    channel.refused(406, text, "queue.declare", queue=queue, exclusive=True, arguments=arguments)


@case(ref="queue.declare")
def a_reserved_name_before_a_bad_argument(session: Session) -> None:
    text = "ACCESS_REFUSED - queue name 'amq.conformance' contains reserved prefix 'amq.*'"
    arguments = {"x-max-length": -1}
    session.channel().refused(403, text, "queue.declare", queue="amq.conformance", exclusive=True, arguments=arguments)


@case(ref="exchange.declare", until="4.0")
def an_unknown_type_before_a_difference(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct")
    text = "COMMAND_INVALID - unknown exchange type 'no-such-type'"
    channel.fatal(503, text, "exchange.declare", exchange=name, type="no-such-type")


@case(ref="queue.delete")
def not_empty_before_in_use(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    channel.fill(queue, b"1", b"2")
    channel.deliver()
    text = f"PRECONDITION_FAILED - {session.queue_text(queue)} not empty"
    channel.refused(406, text, "queue.delete", queue=queue, if_unused=True, if_empty=True)


@case(ref="basic.consume")
def a_used_tag_before_a_missing_queue(session: Session) -> None:
    channel = session.channel()
    channel.consume(session.queue(channel), consumer_tag="t")
    text = "NOT_ALLOWED - attempt to reuse consumer tag 't'"
    channel.fatal(530, text, "basic.consume", queue=session.queue_name(), consumer_tag="t")


@case(ref="basic.consume")
def no_queue_declared_before_a_used_tag(session: Session) -> None:
    queue, channel = session.queue(session.channel()), session.channel()
    channel.consume(queue, consumer_tag="t")
    channel.refused(404, "NOT_FOUND - no previously declared queue", "basic.consume", queue="", consumer_tag="t")


@case(ref="basic.consume")
def a_bad_priority_before_exclusive_use(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.consume(queue, exclusive=True)
    arguments = {"x-priority": "high"}
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for {session.queue_text(queue)}: "
        '"expected integer, got longstr"'
    )
    channel.refused(406, text, "basic.consume", queue=queue, arguments=arguments)


@case(ref="queue.bind")
def a_missing_exchange_before_a_locked_queue(session: Session) -> None:
    queue, missing = session.queue(session.channel()), session.name(".missing")
    stranger = session.stranger()
    stranger.refused(404, session.no_exchange(missing), "queue.bind", queue=queue, exchange=missing)


@case(ref="queue.bind")
def a_bad_x_match_before_a_locked_queue(session: Session) -> None:
    queue = session.queue(session.channel())
    stranger = session.stranger()
    text = 'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x'
    arguments = {"x-match": "some"}
    stranger.refused(406, text, "queue.bind", queue=queue, exchange="amq.headers", arguments=arguments)


@case(ref="exchange.delete")
def the_default_exchange_before_if_unused(session: Session) -> None:
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    session.channel().refused(403, text, "exchange.delete", exchange="", if_unused=True)


@case(ref="basic.qos")
def a_prefetch_size_with_a_count_changes_nothing_before_it_fails(session: Session) -> None:
    channel = session.channel()
    channel.fatal(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)", "basic.qos", prefetch_size=1, prefetch_count=1)


@case(ref="basic.recover")
def the_first_of_two_errors_in_one_write_is_told(session: Session) -> None:
    channel = session.channel()
    queue = session.queue_name()
    channel.send("queue.declare", queue=queue, passive=True)
    channel.send("basic.ack", delivery_tag=9)
    close = channel.expect("channel.close")
    check((close.reply_code, close.class_id), (404, 50))
    channel.send("channel.close-ok")
    channel.call("channel.open")
    channel.round_trip()
