"""basic.get."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("get", "basic.get")


@case()
def of_an_empty_queue_is_get_empty(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.send("basic.get", queue=queue)
    check(channel.expect("basic.get-empty").reserved_1, "")


@case()
def of_a_missing_queue_is_404(session: Session) -> None:
    queue = session.queue_name()
    session.channel().refused(404, session.no_queue(queue), "basic.get", queue=queue)


@case()
def counts_the_messages_left(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"a", b"b", b"c")
    check([channel.get(queue, no_ack=False).message_count for _ in range(3)], [2, 1, 0])


@case()
def with_an_empty_name_is_the_last_declared(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    check(channel.get("").body, b"x")


@case()
def with_ack_holds_the_message_until_it_is_settled(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.get_empty(queue)
    channel.nack(tag)
    message = channel.get(queue, no_ack=False)
    check((message.body, message.redelivered, message.delivery_tag), (b"x", True, tag + 1))
    channel.ack(message.delivery_tag)
    channel.get_empty(queue)


@case()
def with_no_ack_settles_at_once(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    tag = channel.get(queue).delivery_tag
    channel.refused(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}", "basic.ack", delivery_tag=tag)


@case()
def an_empty_get_uses_no_tag(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.get_empty(queue)
    channel.publish("", queue, b"x")
    check(channel.get(queue).delivery_tag, 1)


@case()
def is_not_limited_by_prefetch(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.call("basic.qos", prefetch_count=1)
    channel.fill(queue, b"a", b"b", b"c")
    check([channel.get(queue, no_ack=False).body for _ in range(3)], [b"a", b"b", b"c"])


@case()
def does_not_count_as_a_consumer(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    channel.get(queue, no_ack=False)
    channel.wait_counts(queue, 0, 0)


@case()
def carries_properties_and_body(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x" * 200000, correlation_id="c", headers={"h": 1})
    message = channel.get(queue)
    check((len(message.body), message.properties), (200000, {"correlation_id": "c", "headers": {"h": 1}}))
