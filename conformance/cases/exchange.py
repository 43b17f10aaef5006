"""Exchange methods: declare, redeclare, delete, and what they refuse."""

from conformance.case import Section, Session

case = Section("exchange", "exchange.declare")
RESERVED = "ACCESS_REFUSED - operation not permitted on the default exchange"


@case()
def passive_declare_of_missing_is_404(session: Session) -> None:
    name = session.exchange_name()
    session.channel().refused(404, session.no_exchange(name), "exchange.declare", exchange=name, passive=True)


@case()
def passive_declare_ignores_type_flags_and_arguments(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "fanout")
    channel.call(
        "exchange.declare",
        exchange=name,
        type="no-such-type",
        passive=True,
        durable=True,
        internal=True,
        arguments={"alternate-exchange": 1},
    )


@case()
def declare_of_each_standard_type(session: Session) -> None:
    channel = session.channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        name = session.exchange(channel, kind)
        channel.call("exchange.declare", exchange=name, passive=True)


@case()
def declare_again_the_same_is_ok(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "topic", durable=True)
    channel.call("exchange.declare", exchange=name, type="topic", durable=True)


@case()
def the_standard_exchanges_exist(session: Session) -> None:
    channel = session.channel()
    for name in ("amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"):
        channel.call("exchange.declare", exchange=name, passive=True)


@case(ref="RabbitMQ: logging")
def the_log_exchange_exists_and_is_internal(session: Session) -> None:
    channel = session.channel()
    name = "amq.rabbitmq.trace"
    channel.call("exchange.declare", exchange=name, passive=True)
    text = f"ACCESS_REFUSED - cannot publish to internal {session.exchange_text(name)}"
    channel.publish_refused(403, text, name, "")


@case()
def a_standard_exchange_may_be_declared_again_as_it_is(session: Session) -> None:
    channel = session.channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        channel.call("exchange.declare", exchange=f"amq.{kind}", type=kind, durable=True)


@case()
def a_standard_exchange_declared_otherwise_is_406(session: Session) -> None:
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for {session.exchange_text('amq.direct')}: "
        "received 'false' but current is 'true'"
    )
    session.channel().refused(406, text, "exchange.declare", exchange="amq.direct", type="direct")


@case()
def a_new_name_with_the_reserved_prefix_is_403(session: Session) -> None:
    text = "ACCESS_REFUSED - exchange name 'amq.conformance' contains reserved prefix 'amq.*'"
    session.channel().refused(403, text, "exchange.declare", exchange="amq.conformance", type="direct")


@case()
def passive_declare_of_missing_reserved_name_is_404(session: Session) -> None:
    name = "amq.conformance"
    session.channel().refused(404, session.no_exchange(name), "exchange.declare", exchange=name, passive=True)


@case()
def declare_of_the_default_exchange_is_403(session: Session) -> None:
    session.channel().refused(403, RESERVED, "exchange.declare", exchange="", type="direct", durable=True)


@case()
def passive_declare_of_the_default_exchange_is_403(session: Session) -> None:
    session.channel().refused(403, RESERVED, "exchange.declare", exchange="", passive=True)


@case(ref="exchange.delete")
def delete_of_the_default_exchange_is_403(session: Session) -> None:
    session.channel().refused(403, RESERVED, "exchange.delete", exchange="")


@case(ref="queue.bind")
def bind_to_the_default_exchange_is_403(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.refused(403, RESERVED, "queue.bind", queue=queue, exchange="", routing_key="k")


@case(ref="queue.unbind")
def unbind_from_the_default_exchange_is_403(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.refused(403, RESERVED, "queue.unbind", queue=queue, exchange="", routing_key=queue)


@case(until="4.0")
def an_unknown_type_closes_the_connection(session: Session) -> None:
    text = "COMMAND_INVALID - unknown exchange type 'no-such-type'"
    name = session.exchange_name()
    session.channel().fatal(503, text, "exchange.declare", exchange=name, type="no-such-type")


@case(until="4.0")
def an_empty_type_closes_the_connection(session: Session) -> None:
    text = "COMMAND_INVALID - invalid exchange type ''"
    session.channel().fatal(503, text, "exchange.declare", exchange=session.exchange_name(), type="")


@case(since="4.0")
def an_unknown_type_is_406(session: Session) -> None:
    text = "PRECONDITION_FAILED - unknown exchange type 'no-such-type'"
    name = session.exchange_name()
    session.channel().refused(406, text, "exchange.declare", exchange=name, type="no-such-type")


def _inequivalent(session: Session, name: str, word: str, new: str, old: str) -> str:
    return (
        f"PRECONDITION_FAILED - inequivalent arg '{word}' for {session.exchange_text(name)}: "
        f"received '{new}' but current is '{old}'"
    )


@case()
def another_type_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct")
    text = _inequivalent(session, name, "type", "fanout", "direct")
    channel.refused(406, text, "exchange.declare", exchange=name, type="fanout", durable=True)


@case()
def another_durable_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct")
    text = _inequivalent(session, name, "durable", "true", "false")
    channel.refused(406, text, "exchange.declare", exchange=name, type="direct", durable=True, auto_delete=True)


@case()
def another_auto_delete_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct")
    text = _inequivalent(session, name, "auto_delete", "true", "false")
    channel.refused(406, text, "exchange.declare", exchange=name, type="direct", auto_delete=True, internal=True)


@case()
def another_internal_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct")
    text = _inequivalent(session, name, "internal", "true", "false")
    channel.refused(406, text, "exchange.declare", exchange=name, type="direct", internal=True)


@case()
def unknown_arguments_are_not_compared(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct", {"x-anything": 1})
    channel.call("exchange.declare", exchange=name, type="direct", arguments={"x-anything": "other"})


@case()
def an_existing_exchange_is_untouched_by_a_refused_redeclare(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "fanout")
    queue = session.queue(channel)
    channel.bind(queue, name)
    channel.refused(406, None, "exchange.declare", exchange=name, type="topic")
    channel.publish(name, "k", b"still fanout")
    assert channel.get(queue).body == b"still fanout"


@case()
def declare_with_nowait_is_silent(session: Session) -> None:
    channel = session.channel()
    name = session.exchange_name()
    channel.send("exchange.declare", exchange=name, type="direct", nowait=True)
    channel.expect_silence()
    channel.call("exchange.declare", exchange=name, passive=True)


@case()
def a_refused_declare_with_nowait_still_closes_the_channel(session: Session) -> None:
    name = session.exchange_name()
    session.channel().refused(
        404, session.no_exchange(name), "exchange.declare", exchange=name, passive=True, nowait=True
    )


@case(ref="exchange.delete")
def delete_removes_it(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel)
    channel.call("exchange.delete", exchange=name)
    channel.refused(404, session.no_exchange(name), "exchange.declare", exchange=name, passive=True)


@case(ref="exchange.delete")
def delete_of_missing_is_ok(session: Session) -> None:
    session.channel().call("exchange.delete", exchange=session.exchange_name())


@case(ref="exchange.delete")
def delete_of_missing_if_unused_is_ok(session: Session) -> None:
    session.channel().call("exchange.delete", exchange=session.exchange_name(), if_unused=True)


@case(ref="exchange.delete")
def delete_with_nowait_is_silent(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel)
    channel.send("exchange.delete", exchange=name, nowait=True)
    channel.expect_silence()
    channel.refused(404, session.no_exchange(name), "exchange.declare", exchange=name, passive=True)


@case(ref="exchange.delete")
def delete_of_a_standard_exchange_is_403(session: Session) -> None:
    channel = session.channel()
    for name in ("amq.direct", "amq.no-such-exchange"):
        text = f"ACCESS_REFUSED - deletion of system {session.exchange_text(name)} not allowed"
        channel.refused(403, text, "exchange.delete", exchange=name)


@case(ref="exchange.delete")
def delete_if_unused_with_a_bound_queue_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel)
    queue = session.queue(channel)
    channel.bind(queue, name, "k")
    text = f"PRECONDITION_FAILED - {session.exchange_text(name)} in use"
    channel.refused(406, text, "exchange.delete", exchange=name, if_unused=True)
    channel.call("queue.unbind", queue=queue, exchange=name, routing_key="k")
    channel.call("exchange.delete", exchange=name, if_unused=True)


@case(ref="exchange.delete")
def delete_takes_the_bindings_along(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "fanout")
    queue = session.queue(channel)
    channel.bind(queue, name)
    channel.call("exchange.delete", exchange=name)
    channel.call("exchange.declare", exchange=name, type="fanout")
    channel.publish(name, "", b"nowhere")
    channel.get_empty(queue)


@case(ref="exchange.delete")
def a_deleted_exchange_can_be_declared_with_another_type(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "fanout")
    channel.call("exchange.delete", exchange=name)
    channel.call("exchange.declare", exchange=name, type="topic")


@case()
def an_auto_delete_exchange_goes_with_its_last_binding(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct", auto_delete=True)
    queue = session.queue(channel)
    channel.bind(queue, name, "a")
    channel.bind(queue, name, "b")
    channel.call("queue.unbind", queue=queue, exchange=name, routing_key="a")
    channel.call("exchange.declare", exchange=name, passive=True)
    channel.call("queue.unbind", queue=queue, exchange=name, routing_key="b")
    channel.refused(404, session.no_exchange(name), "exchange.declare", exchange=name, passive=True)


@case()
def an_auto_delete_exchange_goes_with_its_last_queue(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct", auto_delete=True)
    queue = session.queue(channel)
    channel.bind(queue, name, "a")
    channel.call("queue.delete", queue=queue)
    channel.refused(404, session.no_exchange(name), "exchange.declare", exchange=name, passive=True)


@case()
def an_auto_delete_exchange_never_bound_stays(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct", auto_delete=True)
    channel.connection.close()
    other = session.stranger()
    other.call("exchange.declare", exchange=name, passive=True)


@case()
def an_exchange_survives_its_connection(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct")
    channel.connection.close()
    session.stranger().call("exchange.declare", exchange=name, passive=True)


@case(ref="basic.publish")
def publish_to_an_internal_exchange_is_403(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "fanout", internal=True)
    text = f"ACCESS_REFUSED - cannot publish to internal {session.exchange_text(name)}"
    channel.publish_refused(403, text, name, "k")
