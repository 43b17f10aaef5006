"""The x-arguments of queue.declare: types, ranges, allowed sets, comparison."""

from typing import Any

from conformance.case import CaseFunction, Section, Session
from conformance.codec import Typed
from conformance.wire import check

case = Section("queue_arguments", "RabbitMQ: queues")

TEN_YEARS_MS = 315360000000
INTEGERS = {
    "x_message_ttl": "RabbitMQ: ttl",
    "x_expires": "RabbitMQ: ttl",
    "x_max_length": "RabbitMQ: maxlength",
    "x_max_length_bytes": "RabbitMQ: maxlength",
    "x_max_priority": "RabbitMQ: priority",
}


def _refuses(argument: str, value: Any, detail: str) -> CaseFunction:
    """Return a case: a declare with this argument is 406, and nothing is declared."""

    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue_name()
        text = f"PRECONDITION_FAILED - invalid arg '{argument}' for {session.queue_text(name)}: {detail}"
        channel.refused(406, text, "queue.declare", queue=name, exclusive=True, arguments={argument: value})
        channel.refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)

    return run


def _accepts(arguments: dict[str, Any]) -> CaseFunction:
    """Return a case: a declare with these arguments is ok, twice, and the queue works."""

    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue_name()
        for _ in range(2):
            channel.call("queue.declare", queue=name, exclusive=True, arguments=arguments)

    return run


for _argument, _ref in INTEGERS.items():
    _key = _argument.replace("_", "-")
    case.add(f"{_argument}_as_a_string_is_406", _refuses(_key, "1000", '"expected integer, got longstr"'), ref=_ref)
    case.add(f"{_argument}_as_a_boolean_is_406", _refuses(_key, True, '"expected integer, got bool"'), ref=_ref)
    case.add(f"{_argument}_as_a_float_is_406", _refuses(_key, 1.5, '"expected integer, got double"'), ref=_ref)
    case.add(f"{_argument}_below_0_is_406", _refuses(_key, -1, "{value_negative,-1}"), ref=_ref)

for _argument in ("x_message_ttl", "x_expires"):
    _key = _argument.replace("_", "-")
    _over = TEN_YEARS_MS + 1
    case.add(
        f"{_argument}_over_ten_years_is_406",
        _refuses(_key, _over, f"{{value_too_large,{_over}}}"),
        ref="RabbitMQ: ttl",
    )
    case.add(f"{_argument}_of_ten_years_is_taken", _accepts({_key: TEN_YEARS_MS}), ref="RabbitMQ: ttl")

case.add("x_message_ttl_0_is_taken", _accepts({"x-message-ttl": 0}), ref="RabbitMQ: ttl")
case.add("x_expires_0_is_406", _refuses("x-expires", 0, "{value_zero,0}"), ref="RabbitMQ: ttl")
case.add("x_max_length_0_is_taken", _accepts({"x-max-length": 0}), ref="RabbitMQ: maxlength")
case.add("x_max_priority_0_is_taken", _accepts({"x-max-priority": 0}), ref="RabbitMQ: priority")
case.add("x_max_priority_255_is_taken", _accepts({"x-max-priority": 255}), ref="RabbitMQ: priority")
case.add(
    "x_max_priority_256_is_406",
    _refuses("x-max-priority", 256, "{max_value_exceeded,256}"),
    ref="RabbitMQ: priority",
)
case.add(
    "x_dead_letter_routing_key_without_exchange_is_406",
    _refuses("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
    ref="RabbitMQ: dlx",
)
case.add(
    "x_overflow_of_no_meaning_is_406",
    _refuses("x-overflow", "explode", "invalid_overflow"),
    ref="RabbitMQ: maxlength",
)
case.add(
    "x_overflow_as_a_number_is_406",
    _refuses("x-overflow", 1, "{unacceptable_type,signedint}"),
    ref="RabbitMQ: maxlength",
)
for _overflow in ("drop-head", "reject-publish", "reject-publish-dlx"):
    case.add(
        f"x_overflow_{_overflow.replace('-', '_')}_is_taken",
        _accepts({"x-overflow": _overflow, "x-max-length": 10}),
        ref="RabbitMQ: maxlength",
    )
case.add(
    "x_single_active_consumer_as_a_string_is_406",
    _refuses("x-single-active-consumer", "true", "{unacceptable_type,longstr}"),
    ref="RabbitMQ: consumers",
)
case.add(
    "x_queue_type_of_no_meaning_is_406",
    _refuses("x-queue-type", "priority", "\"unsupported queue type 'priority'\""),
)
case.add("x_queue_type_as_a_number_is_406", _refuses("x-queue-type", 1, "{unacceptable_type,signedint}"))
case.add("x_queue_type_classic_is_taken", _accepts({"x-queue-type": "classic"}))
case.add("x_queue_mode_lazy_is_taken", _accepts({"x-queue-mode": "lazy"}))
case.add("x_queue_mode_default_is_taken", _accepts({"x-queue-mode": "default"}))
case.add(
    "x_queue_mode_of_no_meaning_is_406",
    _refuses("x-queue-mode", "eager", "\"unsupported queue mode 'eager'\""),
    until="4.0",
)
case.add("x_queue_version_2_is_taken", _accepts({"x-queue-version": 2}))
case.add("x_queue_version_1_is_taken", _accepts({"x-queue-version": 1}), until="4.0")
case.add("x_queue_version_3_is_406", _refuses("x-queue-version", 3, "\"unsupported queue version '3'\""))
case.add("x_queue_master_locator_is_taken", _accepts({"x-queue-master-locator": "min-masters"}), until="4.0")
case.add("unknown_arguments_are_taken", _accepts({"x-anything": [1, {"deep": None}], "no-x": "y", "": 1}))
case.add("x_ha_policy_is_taken", _accepts({"x-ha-policy": "all"}))


def _of_another_type(argument: str, value: Any) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue_name()
        text = (
            f"PRECONDITION_FAILED - invalid arg '{argument}' for {session.queue_text(name)} "
            "of queue type rabbit_classic_queue"
        )
        channel.refused(406, text, "queue.declare", queue=name, exclusive=True, arguments={argument: value})

    return run


case.add("x_delivery_limit_on_a_classic_queue_is_406", _of_another_type("x-delivery-limit", 5))
case.add("x_max_age_on_a_classic_queue_is_406", _of_another_type("x-max-age", "1h"))
case.add("x_quorum_initial_group_size_on_a_classic_queue_is_406", _of_another_type("x-quorum-initial-group-size", 1))
case.add(
    "x_stream_max_segment_size_bytes_on_a_classic_queue_is_406",
    _of_another_type("x-stream-max-segment-size-bytes", 1000),
)


@case(ref="RabbitMQ: dlx")
def x_dead_letter_exchange_as_a_number_is_406(session: Session) -> None:
    name = session.queue_name()
    text = (
        f"PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in {session.queue_text(name)}"
    )
    arguments = {"x-dead-letter-exchange": 5}
    session.channel().refused(406, text, "queue.declare", queue=name, exclusive=True, arguments=arguments)


@case(ref="RabbitMQ: dlx")
def x_dead_letter_routing_key_as_a_number_is_406(session: Session) -> None:
    name = session.queue_name()
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for {session.queue_text(name)}: "
        "{unacceptable_type,signedint}"
    )
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": 5}
    session.channel().refused(406, text, "queue.declare", queue=name, exclusive=True, arguments=arguments)


@case(ref="RabbitMQ: dlx")
def x_dead_letter_exchange_may_be_missing(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-dead-letter-exchange": session.name(".missing")})
    channel.publish("", queue, b"x")
    channel.reject(channel.get(queue, no_ack=False).delivery_tag, requeue=False)
    channel.expect_silence(queue)


@case()
def numbers_are_compared_by_value_across_widths(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, {"x-max-length": Typed("b", 100)})
    for code in ("b", "s", "I", "l"):
        arguments = {"x-max-length": Typed(code, 100)}
        channel.call("queue.declare", queue=name, exclusive=True, arguments=arguments)


@case()
def unsigned_numbers_are_numbers(session: Session) -> None:
    channel = session.channel()
    for code in ("B", "u", "i"):
        session.queue(channel, {"x-max-length": Typed(code, 200)})


@case()
def unknown_arguments_are_not_compared(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel, {"x-anything": 1})
    channel.call("queue.declare", queue=name, exclusive=True, arguments={"x-anything": "other"})
    channel.call("queue.declare", queue=name, exclusive=True)


@case()
def x_queue_type_classic_equals_none(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    channel.call("queue.declare", queue=name, exclusive=True, arguments={"x-queue-type": "classic"})


def _compared(argument: str, first: Any, second: Any, shown: tuple[str, str], **others: Any) -> CaseFunction:
    """Return a case: the redeclare with ``second`` is 406 and shows both values."""

    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue(channel, {**others, argument: first})
        text = (
            f"PRECONDITION_FAILED - inequivalent arg '{argument}' for {session.queue_text(name)}: "
            f"received '{shown[0]}' but current is '{shown[1]}'"
        )
        arguments = {**others, argument: second}
        channel.refused(406, text, "queue.declare", queue=name, exclusive=True, arguments=arguments)

    return run


for _key, _first, _second in (
    ("x-message-ttl", 1000, 2000),
    ("x-expires", 100000, 200000),
    ("x-max-length", 5, 6),
    ("x-max-length-bytes", 500, 600),
    ("x-max-priority", 5, 6),
    ("x-dead-letter-exchange", "one", "other"),
    ("x-overflow", "drop-head", "reject-publish"),
    ("x-queue-mode", "default", "lazy"),
):
    case.add(
        f"another_{_key.replace('-', '_')}_is_406",
        _compared(_key, _first, _second, (str(_second), str(_first))),
    )
case.add(
    "another_x_dead_letter_routing_key_is_406",
    _compared("x-dead-letter-routing-key", "a", "b", ("b", "a"), **{"x-dead-letter-exchange": ""}),
)
case.add(
    "another_x_single_active_consumer_is_406",
    _compared("x-single-active-consumer", True, False, ("false", "true")),
)


def _none_text(session: Session, name: str, argument: str, value: str, kind: str) -> str:
    return (
        f"PRECONDITION_FAILED - inequivalent arg '{argument}' for {session.queue_text(name)}: "
        f"received the value '{value}' of type '{kind}' but current is none"
    )


@case()
def a_new_argument_of_each_type_is_shown_with_its_type(session: Session) -> None:
    channel = session.channel()
    name = session.queue(channel)
    for argument, value, shown, kind in (
        ("x-max-length", 5, "5", "signedint"),
        ("x-max-length", Typed("l", 5), "5", "long"),
        ("x-max-length", Typed("s", 5), "5", "short"),
        ("x-max-length", Typed("b", 5), "5", "byte"),
        ("x-overflow", "drop-head", "drop-head", "longstr"),
        ("x-single-active-consumer", True, "true", "bool"),
    ):
        text = _none_text(session, name, argument, shown, kind)
        arguments = {argument: value}
        channel.refused(406, text, "queue.declare", queue=name, exclusive=True, arguments=arguments)


@case()
def duplicate_keys_are_taken(session: Session) -> None:
    channel = session.channel()
    one = b"\x01aI\x00\x00\x00\x01"
    table = (len(one) * 2).to_bytes(4, "big") + one * 2
    name = session.queue_name()
    check(channel.call("queue.declare", queue=name, exclusive=True, arguments=table).queue, name)
