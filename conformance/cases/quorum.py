"""x-queue-type "quorum": what it refuses, how it counts and orders what comes back, how messages die in it."""

from typing import Any

from conformance.case import CaseFunction, Section, Session
from conformance.wire import Channel, Method, check

case = Section("quorum", "RabbitMQ: quorum-queues")
QUORUM = {"x-queue-type": "quorum"}


def _queue(session: Session, channel: Channel, **arguments: Any) -> str:
    """Declare a quorum queue; ``delivery_limit=2`` stands for ``x-delivery-limit``."""
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return session.shared_queue(channel, QUORUM | table)


def _dying(session: Session, channel: Channel, **arguments: Any) -> tuple[str, str]:
    """Return a quorum queue and the queue that gets its dead messages."""
    dead = session.shared_queue(channel)
    return _queue(session, channel, dead_letter_exchange="", dead_letter_routing_key=dead, **arguments), dead


def _take(channel: Channel, queue: str) -> Method:
    """Get a message that may still be on its way back."""
    channel.wait_ready(queue, 1)
    return channel.get(queue, no_ack=False)


def _counts(messages: list[Method]) -> list[tuple[bytes, bool, object]]:
    return [(message.body, message.redelivered, message.headers.get("x-delivery-count")) for message in messages]


# Declaring


def _refuses_property(wrong: str, **properties: Any) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue_name()
        text = f"PRECONDITION_FAILED - invalid property '{wrong}' for {session.queue_text(name)}"
        channel.refused(406, text, "queue.declare", queue=name, arguments=QUORUM, **properties)
        channel.refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)

    return run


case.add("a_transient_one_is_406", _refuses_property("non-durable"))
case.add("an_exclusive_one_is_406", _refuses_property("exclusive-owner", durable=True, exclusive=True))
case.add("an_auto_delete_one_is_406", _refuses_property("auto-delete", durable=True, auto_delete=True))
case.add("auto_delete_is_told_first", _refuses_property("auto-delete", exclusive=True, auto_delete=True))


@case()
def a_server_named_one_is_406(session: Session) -> None:
    text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
    session.channel().refused(406, text, "queue.declare", queue="", durable=True, arguments=QUORUM)


def _refuses_argument(argument: str, value: object, detail: str) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue_name()
        text = f"PRECONDITION_FAILED - invalid arg '{argument}' for {session.queue_text(name)}{detail}"
        arguments = QUORUM | {argument: value}
        channel.refused(406, text, "queue.declare", queue=name, durable=True, arguments=arguments)

    return run


for _argument in (
    "x-max-priority",
    "x-queue-mode",
    "x-queue-version",
    "x-queue-master-locator",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
):
    case.add(
        f"{_argument.replace('-', '_')}_is_406", _refuses_argument(_argument, 1, " of queue type rabbit_quorum_queue")
    )

case.add("a_group_of_0_is_406", _refuses_argument("x-quorum-initial-group-size", 0, ": {value_zero,0}"))
case.add("a_negative_group_is_406", _refuses_argument("x-quorum-initial-group-size", -1, ": {value_negative,-1}"))
case.add("a_negative_memory_limit_is_406", _refuses_argument("x-max-in-memory-length", -1, ": {value_negative,-1}"))
case.add("an_unknown_strategy_is_406", _refuses_argument("x-dead-letter-strategy", "thrice", ": invalid_dlx_strategy"))
case.add(
    "an_unknown_leader_locator_is_406",
    _refuses_argument("x-queue-leader-locator", "there", ": invalid_queue_locator_arg"),
)


def _accepts(arguments: dict[str, Any]) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        queue = session.queue_name()
        for _ in range(2):
            channel.call("queue.declare", queue=queue, durable=True, arguments=QUORUM | arguments)
        channel.consume(queue, no_ack=True)
        channel.fill(queue, b"x")
        check(channel.deliver().body, b"x")

    return run


for _argument, _value in (
    ("x-delivery-limit", 3),
    ("x-quorum-initial-group-size", 3),
    ("x-max-in-memory-length", 10),
    ("x-max-in-memory-bytes", 0),
    ("x-queue-leader-locator", "balanced"),
    ("x-dead-letter-strategy", "at-most-once"),
    ("x-single-active-consumer", True),
    ("x-message-ttl", 60_000),
    ("x-expires", 60_000),
    ("x-overflow", "reject-publish"),
    ("x-ha-policy", "all"),
):
    case.add(f"{_argument.replace('-', '_')}_is_accepted", _accepts({_argument: _value}))


@case()
def at_least_once_dead_lettering_is_accepted(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel, dead_letter_strategy="at-least-once", overflow="reject-publish")
    channel.fill(queue, b"x")
    channel.reject(channel.get(queue, no_ack=False).delivery_tag, requeue=False)
    channel.wait_ready(dead, 1)
    check(channel.get(dead).headers["x-death"][0]["reason"], "rejected")


@case(ref="queue.declare")
def another_type_is_406(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    inequivalent = f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for {session.queue_text(queue)}: "
    for arguments, text in (
        ({}, "received none but current is the value 'quorum' of type 'longstr'"),
        ({"x-queue-type": "stream"}, "received 'stream' but current is 'quorum'"),
    ):
        channel.refused(406, inequivalent + text, "queue.declare", queue=queue, durable=True, arguments=arguments)


@case(ref="queue.declare")
def another_delivery_limit_is_406(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel, delivery_limit=3)
    arguments = QUORUM | {"x-delivery-limit": 4}
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for {session.queue_text(queue)}: "
        "received '4' but current is '3'"
    )
    channel.refused(406, text, "queue.declare", queue=queue, durable=True, arguments=arguments)


# Consuming


@case()
def a_shared_prefetch_is_540(session: Session) -> None:
    channel = session.stranger()
    queue = _queue(session, channel)
    channel.call("basic.qos", prefetch_count=3, global_=True)
    text = f"NOT_IMPLEMENTED - {session.queue_text(queue)} does not support global qos"
    channel.fatal(540, text, "basic.consume", queue=queue)


@case()
def exclusive_consumers_are_not_alone(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    for exclusive in (True, False, True):
        channel.consume(queue, exclusive=exclusive)
    channel.wait_consumers(queue, 3)


@case()
def a_stream_offset_is_406(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for {session.queue_text(queue)} "
        "of queue type rabbit_quorum_queue"
    )
    channel.refused(406, text, "basic.consume", queue=queue, arguments={"x-stream-offset": "first"})


@case()
def the_single_active_consumer_hands_over(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel, single_active_consumer=True)
    for tag in ("first", "second"):
        channel.consume(queue, consumer_tag=tag, no_ack=True)
    channel.fill(queue, b"1")
    check(channel.deliver().consumer_tag, "first")
    channel.call("basic.cancel", consumer_tag="first")
    channel.fill(queue, b"2")
    check(channel.deliver().consumer_tag, "second")


@case()
def get_beside_a_single_active_consumer_is_405(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel, single_active_consumer=True)
    text = (
        f"RESOURCE_LOCKED - cannot obtain access to locked {session.queue_text(queue)}. "
        "basic.get operations are not supported by quorum queues with single active consumer"
    )
    channel.refused(405, text, "basic.get", queue=queue)


@case()
def consumers_of_higher_priority_are_filled_first(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.call("basic.qos", prefetch_count=2)
    channel.consume(queue, consumer_tag="low")
    channel.consume(queue, consumer_tag="high", arguments={"x-priority": 3})
    channel.fill(queue, b"1", b"2", b"3", b"4")
    check([channel.deliver().consumer_tag for _ in range(4)], ["high", "high", "low", "low"])


@case(until="4.0")
def messages_have_no_priority(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    for priority in (1, 9, 5):
        channel.fill(queue, b"%d" % priority, priority=priority)
    check(channel.bodies(queue), [b"1", b"9", b"5"])


# What comes back


@case()
def the_first_delivery_to_a_consumer_has_no_count(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.fill(queue, b"x", headers={"mine": 1})
    channel.consume(queue)
    check(channel.deliver().headers, {"mine": 1})


@case(until="4.0")
def the_first_get_has_a_count_of_0(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.fill(queue, b"x")
    headers = channel.get(queue).typed_headers.value
    check((headers["x-delivery-count"].code, headers["x-delivery-count"].value), ("l", 0))


def _counts_returns(give_back: str) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        queue = _queue(session, channel)
        channel.fill(queue, b"x", headers={"mine": 1})
        for count in range(4):
            message = _take(channel, queue)
            if count:
                check((message.redelivered, message.headers), (True, {"mine": 1, "x-delivery-count": count}))
            if give_back == "reject":
                channel.reject(message.delivery_tag, requeue=True)
            elif give_back == "nack":
                channel.nack(message.delivery_tag)
            elif give_back == "recover":
                channel.call("basic.recover", requeue=True)
            else:
                channel.send("channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
                channel.expect("channel.close-ok")
                channel.call("channel.open")

    return run


for _way in ("reject", "nack", "recover", "channel_close"):
    # RabbitMQ 4.3 counts failures alone: not a nack.
    case.add(f"a_{_way}_counts", _counts_returns(_way), until="4.0")


@case()
def a_lost_connection_counts(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.fill(queue, b"x")
    worker = session.stranger()
    worker.get(queue, no_ack=False)
    worker.connection.abandon()
    message = _take(channel, queue)
    check((message.redelivered, message.headers["x-delivery-count"]), (True, 1))


@case()
def a_delivery_to_a_consumer_has_the_count(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.fill(queue, b"x")
    channel.consume(queue)
    channel.reject(channel.deliver().delivery_tag, requeue=True)
    message = channel.deliver()
    check(_counts([message]), [(b"x", True, 1)])


@case(until="4.0")
def without_a_limit_returns_go_to_the_tail(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.fill(queue, b"0", b"1", b"2", b"3", b"4")
    for _ in range(4):
        channel.get(queue, no_ack=False)
    for tag in (3, 1):
        channel.nack(tag)
        channel.round_trip()
    channel.wait_ready(queue, 3)
    check(_counts([channel.get(queue) for _ in range(3)]), [(b"4", False, 0), (b"2", True, 1), (b"0", True, 1)])


@case(until="4.0")
def with_a_limit_returns_come_first(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel, delivery_limit=10)
    channel.fill(queue, b"0", b"1", b"2", b"3", b"4")
    for _ in range(4):
        channel.get(queue, no_ack=False)
    for tag in (3, 1):
        channel.nack(tag)
        channel.round_trip()
    channel.wait_ready(queue, 3)
    check(_counts([channel.get(queue) for _ in range(3)]), [(b"2", True, 1), (b"0", True, 1), (b"4", False, 0)])


@case()
def nack_multiple_returns_in_order(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel, delivery_limit=10)
    channel.fill(queue, b"0", b"1", b"2")
    for _ in range(3):
        channel.get(queue, no_ack=False)
    channel.nack(0, multiple=True)
    channel.wait_ready(queue, 3)
    check([channel.get(queue).body for _ in range(3)], [b"0", b"1", b"2"])


@case()
def a_returned_message_comes_before_others_under_a_limit(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel, delivery_limit=10)
    channel.fill(queue, b"0", b"1", b"2")
    channel.call("basic.qos", prefetch_count=1)
    channel.consume(queue)
    channel.reject(channel.deliver().delivery_tag, requeue=True)
    check(channel.deliver().body, b"0")


# Death


def _dies_at(limit: int) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        queue, dead = _dying(session, channel, delivery_limit=limit)
        channel.fill(queue, b"x")
        for _ in range(limit + 1):
            channel.reject(_take(channel, queue).delivery_tag, requeue=True)
        channel.wait_ready(dead, 1)
        message = channel.get(dead)
        death = message.headers["x-death"][0]
        check((death["reason"], death["queue"], death["count"]), ("delivery_limit", queue, 1))
        check((message.redelivered, "x-delivery-count" in message.headers), (False, False))
        channel.get_empty(queue)

    return run


for _limit in (0, 1, 3):
    case.add(f"a_limit_of_{_limit}_is_kept", _dies_at(_limit), until="4.3" if _limit == 0 else "")


@case()
def without_a_dead_letter_exchange_it_is_dropped(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel, delivery_limit=1)
    channel.fill(queue, b"x")
    for _ in range(2):
        channel.reject(_take(channel, queue).delivery_tag, requeue=True)
    channel.wait_ready(queue, 0)


@case()
def a_rejected_one_dies_without_its_count(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.fill(queue, b"x")
    channel.reject(channel.get(queue, no_ack=False).delivery_tag, requeue=True)
    channel.reject(_take(channel, queue).delivery_tag, requeue=False)
    channel.wait_ready(dead, 1)
    message = channel.get(dead)
    check((message.headers["x-death"][0]["reason"], "x-delivery-count" in message.headers), ("rejected", False))


@case(ref="RabbitMQ: ttl")
def messages_expire(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel, message_ttl=30)
    channel.fill(queue, b"x")
    channel.wait_ready(dead, 1)
    check(channel.get(dead).headers["x-death"][0]["reason"], "expired")


def _drops_head(**arguments: Any) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        queue, dead = _dying(session, channel, **arguments)
        channel.fill(queue, *[b"%d" % number * 10 for number in range(5)])
        channel.wait_ready(dead, 3)
        check(channel.bodies(queue), [b"3" * 10, b"4" * 10])
        check([channel.get(dead).headers["x-death"][0]["reason"] for _ in range(3)], ["maxlen"] * 3)

    return run


case.add("max_length_drops_the_head", _drops_head(max_length=2), ref="RabbitMQ: maxlength")
case.add("max_length_bytes_drops_the_head", _drops_head(max_length_bytes=20), ref="RabbitMQ: maxlength")
case.add(
    "reject_publish_dlx_drops_the_head",
    _drops_head(max_length=2, overflow="reject-publish-dlx"),
    ref="RabbitMQ: maxlength",
)


@case(ref="RabbitMQ: maxlength")
def reject_publish_nacks_when_it_is_full(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel, max_length=2, overflow="reject-publish")
    channel.call("confirm.select")
    # A quorum queue may take some more before it refuses.
    answers = []
    for _ in range(500):
        channel.publish("", queue, b"x")
        answers.append(channel.expect("basic.ack", "basic.nack").name)
        if answers[-1] == "basic.nack":
            break
    check((answers[:2], answers[-1]), (["basic.ack"] * 2, "basic.nack"))


# The rest


@case(ref="queue.purge")
def purge_counts_ready_messages_alone(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.fill(queue, b"1", b"2", b"3")
    tag = channel.get(queue, no_ack=False).delivery_tag
    check(channel.call("queue.purge", queue=queue).message_count, 2)
    channel.reject(tag, requeue=True)
    check(_take(channel, queue).body, b"1")


def _refuses_delete(flag: str) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.stranger()
        queue = _queue(session, channel)
        text = (
            f"NOT_IMPLEMENTED - cannot delete {session.queue_text(queue)}. queue.delete operations with "
            f"{flag.replace('_', '-')} flag set are not supported by quorum queues"
        )
        flags: dict[str, Any] = {flag: True}
        channel.fatal(540, text, "queue.delete", queue=queue, **flags)

    return run


case.add("delete_if_unused_is_540", _refuses_delete("if_unused"), ref="queue.delete")
case.add("delete_if_empty_is_540", _refuses_delete("if_empty"), ref="queue.delete")


@case(ref="RabbitMQ: confirms")
def transient_messages_are_confirmed_and_kept(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.fill(queue, b"x", delivery_mode=1)
    message = channel.get(queue)
    check((message.body, message.properties["delivery_mode"]), (b"x", 1))


@case(ref="RabbitMQ: semantics")
def a_transaction_publishes(session: Session) -> None:
    channel = session.channel()
    queue = _queue(session, channel)
    channel.call("tx.select")
    channel.publish("", queue, b"x")
    channel.call("tx.commit")
    session.channel().wait_ready(queue, 1)
