"""queue.declare: creation, passive, redeclare and its refusals, exclusive and auto-delete queues."""

import re

from conformance.case import Section, Session
from conformance.wire import check

case = Section("queue_declare", "queue.declare")


def _inequivalent(session: Session, name: str, word: str, new: str, old: str) -> str:
    return (
        f"PRECONDITION_FAILED - inequivalent arg '{word}' for {session.queue_text(name)}: "
        f"received '{new}' but current is '{old}'"
    )


@case()
def a_new_queue_is_empty(session: Session) -> None:
    channel = session.channel()
    name = session.queue_name()
    declared = channel.call("queue.declare", queue=name, exclusive=True)
    check((declared.queue, declared.message_count, declared.consumer_count), (name, 0, 0))


@case()
def declare_ok_counts_ready_messages_and_consumers(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    for body in (b"a", b"b", b"c"):
        channel.publish("", name, body)
    channel.get(name, no_ack=False)
    declared = channel.call("queue.declare", queue=name, exclusive=True)
    check((declared.message_count, declared.consumer_count), (2, 0))
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(name)
    channel.deliver()
    channel.wait_counts(name, 1, 1)


@case()
def passive_of_missing_is_404(session: Session) -> None:
    name = session.queue_name()
    session.channel().refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)


@case()
def passive_ignores_flags_and_arguments(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, {"x-max-length": 5})
    channel.call(
        "queue.declare",
        queue=name,
        passive=True,
        durable=True,
        auto_delete=True,
        arguments={"x-max-length": "no number"},
    )


@case()
def passive_with_an_empty_name_is_404_whatever_was_declared(session: Session) -> None:
    channel = session.channel()
    channel.refused(404, session.no_queue(""), "queue.declare", queue="", passive=True)
    session.queue(channel)
    channel.refused(404, session.no_queue(""), "queue.declare", queue="", passive=True)


@case()
def an_empty_name_makes_a_server_named_queue(session: Session) -> None:
    channel = session.channel()
    first = channel.call("queue.declare", queue="", exclusive=True).queue
    second = channel.call("queue.declare", queue="", exclusive=True).queue
    for name in (first, second):
        assert re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name), name
    assert first != second


@case()
def a_server_named_queue_can_be_used_by_its_name(session: Session) -> None:
    channel = session.channel()
    name = channel.call("queue.declare", queue="", exclusive=True).queue
    channel.publish("", name, b"x")
    check(channel.get(name).body, b"x")
    check(channel.call("queue.declare", queue=name, passive=True).queue, name)


@case()
def declaring_a_server_named_queue_again_is_403(session: Session) -> None:
    channel = session.channel()
    name = channel.call("queue.declare", queue="", exclusive=True).queue
    text = f"ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'"
    channel.refused(403, text, "queue.declare", queue=name, exclusive=True)


@case()
def a_new_name_with_the_reserved_prefix_is_403(session: Session) -> None:
    text = "ACCESS_REFUSED - queue name 'amq.conformance' contains reserved prefix 'amq.*'"
    session.channel().refused(403, text, "queue.declare", queue="amq.conformance", exclusive=True)


@case()
def declare_with_nowait_is_silent(session: Session) -> None:
    channel = session.channel()
    name = session.queue_name()
    channel.send("queue.declare", queue=name, exclusive=True, nowait=True)
    channel.round_trip()
    channel.wait_counts(name, 0, 0)


@case()
def a_refused_declare_with_nowait_still_closes_the_channel(session: Session) -> None:
    name = session.queue_name()
    session.channel().refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True, nowait=True)


@case()
def declare_again_the_same_is_ok_and_keeps_messages(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, auto_delete=True)
    channel.publish("", name, b"kept")
    channel.call("queue.declare", queue=name, exclusive=True, auto_delete=True)
    check(channel.get(name).body, b"kept")


@case()
def another_durable_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.shared_queue(channel)
    channel.refused(
        406,
        _inequivalent(session, name, "durable", "false", "true"),
        "queue.declare",
        queue=name,
        auto_delete=True,
        arguments={"x-max-length": 1},
    )


@case()
def another_auto_delete_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    channel.refused(
        406,
        _inequivalent(session, name, "auto_delete", "true", "false"),
        "queue.declare",
        queue=name,
        exclusive=True,
        auto_delete=True,
        arguments={"x-max-length": 1},
    )


@case()
def another_argument_value_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, {"x-max-length": 5})
    channel.refused(
        406,
        _inequivalent(session, name, "x-max-length", "6", "5"),
        "queue.declare",
        queue=name,
        exclusive=True,
        arguments={"x-max-length": 6},
    )


@case()
def an_argument_where_none_was_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for {session.queue_text(name)}: "
        "received the value 'dlx' of type 'longstr' but current is none"
    )
    channel.refused(
        406,
        text,
        "queue.declare",
        queue=name,
        exclusive=True,
        arguments={"x-dead-letter-exchange": "dlx"},
    )


@case()
def no_argument_where_one_was_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, {"x-message-ttl": 60000})
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for {session.queue_text(name)}: "
        "received none but current is the value '60000' of type 'signedint'"
    )
    channel.refused(406, text, "queue.declare", queue=name, exclusive=True)


@case()
def a_refused_redeclare_leaves_the_queue_alone(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, {"x-max-length": 5})
    channel.publish("", name, b"kept")
    channel.refused(406, None, "queue.declare", queue=name, exclusive=True)
    check(channel.get(name).body, b"kept")


@case()
def an_exclusive_queue_is_locked_to_others(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    stranger = session.stranger()
    locked = session.locked(name)
    stranger.refused(405, locked, "queue.declare", queue=name, exclusive=True)
    stranger.refused(405, locked, "queue.declare", queue=name, passive=True)
    stranger.refused(405, locked, "basic.consume", queue=name)
    stranger.refused(405, locked, "basic.get", queue=name)
    stranger.refused(405, locked, "queue.purge", queue=name)
    stranger.refused(405, locked, "queue.delete", queue=name)
    stranger.refused(405, locked, "queue.bind", queue=name, exchange="amq.direct", routing_key=name)
    channel.wait_counts(name, 0, 0)


@case()
def an_exclusive_queue_is_open_to_other_channels_of_its_connection(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    second = session.channel()
    second.publish("", name, b"x")
    check(second.get(name).body, b"x")


@case(ref="basic.publish")
def anyone_may_publish_to_an_exclusive_queue(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    stranger = session.stranger()
    stranger.call("confirm.select")
    stranger.publish("", name, b"from outside")
    stranger.wait_confirms(1)
    check(channel.get(name).body, b"from outside")


@case(ref="queue.unbind")
def an_exclusive_queues_binding_is_locked_to_others(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    stranger = session.stranger()
    stranger.call("queue.unbind", queue=name, exchange="amq.direct", routing_key="never bound")
    channel.bind(name, "amq.direct", name)
    stranger.refused(405, session.locked(name), "queue.unbind", queue=name, exchange="amq.direct", routing_key=name)


@case()
def the_owner_redeclaring_it_not_exclusive_is_405(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    channel.refused(405, session.locked(name), "queue.declare", queue=name)


@case()
def asking_exclusive_for_a_shared_queue_is_405(session: Session) -> None:
    channel = session.channel()
    name = session.shared_queue(channel)
    channel.refused(405, session.locked(name), "queue.declare", queue=name, durable=True, exclusive=True)


@case()
def an_exclusive_queue_is_gone_when_close_ok_comes(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    stranger = session.stranger()
    channel.connection.close()
    stranger.refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)


@case()
def an_exclusive_queue_goes_when_its_socket_breaks(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    stranger = session.stranger()
    channel.connection.abandon()

    def is_gone() -> bool:
        stranger.send("queue.declare", queue=name, passive=True)
        close = stranger.expect("channel.close")
        stranger.send("channel.close-ok")
        stranger.call("channel.open")
        return bool(close.reply_code == 404)

    stranger.wait_until(is_gone, True, "the queue being gone:")


@case()
def an_exclusive_queue_survives_its_channel(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    second = session.channel()
    channel.call("channel.close", reply_code=200)
    second.wait_counts(name, 0, 0)


@case()
def an_exclusive_queue_may_be_durable(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, durable=True)
    channel.call("queue.declare", queue=name, durable=True, exclusive=True)
    session.stranger().refused(405, session.locked(name), "queue.declare", queue=name, passive=True)


@case()
def an_auto_delete_queue_goes_with_its_last_consumer(session: Session) -> None:
    channel = session.channel()
    name = session.shared_queue(channel, auto_delete=True)
    first, second = channel.consume(name), channel.consume(name)
    channel.call("basic.cancel", consumer_tag=first)
    channel.wait_counts(name, 0, 1)
    channel.call("basic.cancel", consumer_tag=second)
    channel.refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)


@case()
def an_auto_delete_queue_goes_when_the_consumers_channel_closes(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    name = session.queue(channel, auto_delete=True)
    second.consume(name)
    second.call("channel.close", reply_code=200)
    channel.refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)


@case()
def an_auto_delete_queue_never_consumed_stays(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, auto_delete=True)
    channel.publish("", name, b"x")
    channel.get(name)
    channel.wait_counts(name, 0, 0)


@case()
def a_shared_queue_survives_its_connection(session: Session) -> None:
    channel = session.channel()
    name = session.shared_queue(channel)
    channel.call("confirm.select")
    channel.publish("", name, b"kept", delivery_mode=2)
    channel.wait_confirms(1)
    channel.connection.close()
    check(session.stranger().get(name).body, b"kept")


@case(until="4.3")
def a_transient_shared_queue_is_allowed(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, exclusive=False)
    session.stranger().wait_counts(name, 0, 0)


@case(ref="1.4.1.1")
def a_queue_is_bound_to_the_default_exchange_by_its_name(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    channel.publish("", name, b"by name", mandatory=True)
    check(channel.get(name).body, b"by name")


@case()
def the_last_declared_queue_is_kept_by_channel(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    session.queue(channel)
    second.refused(404, "NOT_FOUND - no previously declared queue", "basic.get", queue="")
