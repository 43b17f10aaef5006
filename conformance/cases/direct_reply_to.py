"""Direct reply-to: the pseudo-queue amq.rabbitmq.reply-to."""

from conformance.case import Section, Session
from conformance.wire import Channel, check

case = Section("direct_reply_to", "RabbitMQ: direct-reply-to")
QUEUE = "amq.rabbitmq.reply-to"


def _asked(session: Session) -> tuple[Channel, str, str]:
    """Return a requester's channel, its consumer tag, and the reply-to that a server saw."""
    channel = session.channel()
    requests = session.shared_queue(channel)
    tag = channel.consume(QUEUE, no_ack=True)
    channel.publish("", requests, b"question", reply_to=QUEUE, correlation_id="7")
    channel.wait_ready(requests, 1)
    reply_to: str = channel.get(requests).properties["reply_to"]
    return channel, tag, reply_to


@case()
def a_reply_comes_back(session: Session) -> None:
    channel, tag, reply_to = _asked(session)
    session.stranger().publish("", reply_to, b"answer", correlation_id="7")
    message = channel.deliver()
    check((message.consumer_tag, message.body), (tag, b"answer"))
    check((message.exchange, message.routing_key, message.redelivered), ("", reply_to, False))
    check(message.properties, {"correlation_id": "7"})


@case()
def the_reply_to_is_rewritten_to_a_token(session: Session) -> None:
    _, _, reply_to = _asked(session)
    assert reply_to.startswith(f"{QUEUE}."), reply_to
    assert len(reply_to) > len(QUEUE) + 10, reply_to


@case()
def other_properties_of_the_request_are_kept(session: Session) -> None:
    channel = session.channel()
    requests = session.queue(channel)
    channel.consume(QUEUE, no_ack=True)
    channel.publish("", requests, b"q", reply_to=QUEUE, headers={"a": 1}, message_id="m", priority=2)
    properties = channel.get(requests).properties
    properties.pop("reply_to")
    check(properties, {"headers": {"a": 1}, "message_id": "m", "priority": 2})


@case()
def many_replies_come_in_order(session: Session) -> None:
    channel, _, reply_to = _asked(session)
    server = session.stranger()
    for number in range(20):
        server.publish("", reply_to, str(number).encode())
    check(channel.deliveries(20), [str(number).encode() for number in range(20)])


@case()
def two_requesters_get_their_own(session: Session) -> None:
    one, _, reply_to_one = _asked(session)
    requests = session.shared_queue(one)
    other = session.stranger()
    other.consume(QUEUE, no_ack=True)
    other.publish("", requests, b"question", reply_to=QUEUE)
    one.wait_ready(requests, 1)
    reply_to_other = one.get(requests).properties["reply_to"]
    server = session.stranger()
    server.publish("", reply_to_other, b"for other")
    server.publish("", reply_to_one, b"for one")
    check((one.deliver().body, other.deliver().body), (b"for one", b"for other"))


@case()
def a_consumer_that_acks_is_406(session: Session) -> None:
    text = "PRECONDITION_FAILED - reply consumer cannot acknowledge"
    session.channel().refused(406, text, "basic.consume", queue=QUEUE, no_ack=False)


@case()
def a_second_consumer_on_the_channel_is_406(session: Session) -> None:
    channel = session.channel()
    channel.consume(QUEUE, no_ack=True)
    text = "PRECONDITION_FAILED - reply consumer already set"
    channel.refused(406, text, "basic.consume", queue=QUEUE, no_ack=True)


@case()
def each_channel_may_have_one(session: Session) -> None:
    for _ in range(2):
        session.channel().consume(QUEUE, no_ack=True)


@case()
def a_request_without_a_consumer_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = "PRECONDITION_FAILED - fast reply consumer does not exist"
    channel.publish_refused(406, text, "", queue, reply_to=QUEUE)


@case()
def a_request_on_another_channel_is_406(session: Session) -> None:
    session.channel().consume(QUEUE, no_ack=True)
    other = session.channel()
    queue = session.queue(other)
    text = "PRECONDITION_FAILED - fast reply consumer does not exist"
    other.publish_refused(406, text, "", queue, reply_to=QUEUE)


@case()
def after_cancel_a_new_consumer_may_come(session: Session) -> None:
    channel = session.channel()
    tag = channel.consume(QUEUE, no_ack=True)
    check(channel.call("basic.cancel", consumer_tag=tag).consumer_tag, tag)
    channel.consume(QUEUE, no_ack=True)


@case()
def the_given_consumer_tag_is_used(session: Session) -> None:
    check(session.channel().consume(QUEUE, no_ack=True, consumer_tag="replies"), "replies")


@case(until="4.0")
def a_mandatory_reply_to_one_who_left_is_returned(session: Session) -> None:
    channel, _, reply_to = _asked(session)
    server = session.stranger()
    channel.connection.close()
    server.publish("", reply_to, b"too late", mandatory=True)
    check(server.expect("basic.return").routing_key, reply_to)


@case()
def a_reply_to_one_who_left_is_dropped(session: Session) -> None:
    channel, _, reply_to = _asked(session)
    server = session.stranger()
    channel.connection.close()
    server.publish("", reply_to, b"too late")
    server.expect_silence()


@case()
def a_reply_through_another_exchange_goes_nowhere(session: Session) -> None:
    channel, _, reply_to = _asked(session)
    channel.publish("amq.direct", reply_to, b"x", mandatory=True)
    channel.expect("basic.return")


@case()
def declare_of_the_bare_name_is_ok(session: Session) -> None:
    channel = session.channel()
    for passive in (True, False):
        declared = channel.call("queue.declare", queue=QUEUE, passive=passive)
        check((declared.queue, declared.message_count, declared.consumer_count), (QUEUE, 0, 1))


@case()
def declare_of_a_living_token_is_ok(session: Session) -> None:
    _, _, reply_to = _asked(session)
    declared = session.stranger().call("queue.declare", queue=reply_to, passive=True)
    check((declared.message_count, declared.consumer_count), (0, 1))


@case()
def declare_of_a_dead_token_is_404(session: Session) -> None:
    channel, _, reply_to = _asked(session)
    server = session.stranger()
    channel.connection.close()
    server.refused(404, session.no_queue(reply_to), "queue.declare", queue=reply_to, passive=True)


@case()
def get_and_bind_on_it_are_404(session: Session) -> None:
    channel = session.channel()
    channel.refused(404, session.no_queue(QUEUE), "basic.get", queue=QUEUE)
    channel.refused(404, session.no_queue(QUEUE), "queue.bind", queue=QUEUE, exchange="amq.direct", routing_key="k")


@case(ref="RabbitMQ: confirms")
def a_reply_is_confirmed(session: Session) -> None:
    channel, _, reply_to = _asked(session)
    server = session.stranger()
    server.call("confirm.select")
    server.publish("", reply_to, b"answer")
    check(server.expect("basic.ack").delivery_tag, 1)
    check(channel.deliver().body, b"answer")


@case(ref="queue.purge")
def purge_of_it_is_404_and_delete_is_ok(session: Session) -> None:
    channel = session.channel()
    channel.refused(404, session.no_queue(QUEUE), "queue.purge", queue=QUEUE)
    check(channel.call("queue.delete", queue=QUEUE).message_count, 0)


@case(ref="basic.consume")
def consume_of_a_token_is_404(session: Session) -> None:
    token = f"{QUEUE}.no-such-token"
    session.channel().refused(404, session.no_queue(token), "basic.consume", queue=token, no_ack=True)
