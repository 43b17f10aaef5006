"""basic.publish: what is checked, what is carried, what is refused."""

from typing import Any

from conformance import codec
from conformance.case import Section, Session
from conformance.wire import check

case = Section("publish", "basic.publish")


@case()
def to_a_missing_exchange_is_404(session: Session) -> None:
    name = session.exchange_name()
    session.channel().publish_refused(404, session.no_exchange(name), name, "k")


@case()
def to_amq_default_by_name_is_404(session: Session) -> None:
    session.channel().publish_refused(404, session.no_exchange("amq.default"), "amq.default", "k")


@case()
def to_a_queue_that_is_not_there_is_silent(session: Session) -> None:
    channel = session.channel()
    channel.publish("", session.name(".missing"), b"x")
    channel.expect_silence()


@case()
def immediate_is_540(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x", immediate=True)
    channel.connection.expect_close(540, "NOT_IMPLEMENTED - immediate=true", 60, 40)


@case()
def every_property_comes_through(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    properties: dict[str, Any] = {
        "content_type": "application/json",
        "content_encoding": "gzip",
        "headers": {"a": 1, "b": "two"},
        "delivery_mode": 2,
        "priority": 7,
        "correlation_id": "corr-1",
        "reply_to": "somewhere",
        "expiration": "60000",
        "message_id": "id-1",
        "timestamp": 1700000000,
        "type": "kind",
        "user_id": session.address.user,
        "app_id": "suite",
        "cluster_id": "cluster",
    }
    channel.publish("", queue, b"body", **properties)
    check(channel.get(queue).properties, properties)


@case()
def no_property_stays_no_property(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"body")
    check(channel.get(queue).properties, {})


@case(until="4.0")
def the_content_header_comes_through_octet_for_octet(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    headers = {"z": codec.Typed("s", 1), "a": codec.Typed("d", 0.1), "m": codec.Typed("f", 0.25)}
    properties: dict[str, Any] = {"headers": headers, "priority": 0, "app_id": "", "timestamp": 2**40}
    channel.publish("", queue, b"abc", **properties)
    check(channel.get(queue).header_octets, codec.encode_header(3, properties))


@case()
def properties_may_be_present_and_empty(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"", content_type="", correlation_id="", headers={})
    check(channel.get(queue).properties, {"content_type": "", "correlation_id": "", "headers": {}})


@case(until="4.0")
def an_unknown_delivery_mode_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}"
    channel.publish_refused(406, text, "", queue, delivery_mode=3)


@case()
def any_octets_are_a_body(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    body = bytes(range(256)) * 3
    channel.publish("", queue, body)
    check(channel.get(queue).body, body)


@case()
def a_body_of_many_frames_comes_through(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    body = bytes(range(251)) * 4000
    channel.publish("", queue, body)
    message = channel.get(queue)
    check(message.body == body, True, "the body whole:")
    check(message.body_frame_octets[0], channel.connection.frame_max - 8)


@case()
def messages_keep_the_order_of_publishing(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    bodies = [str(number).encode() for number in range(500)]
    for body in bodies:
        channel.publish("", queue, body)
    channel.consume(queue, no_ack=True)
    check(channel.deliveries(500), bodies)


@case()
def the_delivery_names_exchange_and_key_of_the_publish(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    exchange = session.exchange(channel, "fanout")
    channel.bind(queue, exchange, "binding key")
    channel.publish(exchange, "publish key", b"x")
    message = channel.get(queue)
    check((message.exchange, message.routing_key), (exchange, "publish key"))


@case()
def through_the_default_exchange_the_delivery_names_none(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x")
    message = channel.get(queue)
    check((message.exchange, message.routing_key), ("", queue))


@case()
def a_refused_publish_leaves_earlier_ones_in_place(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"before")
    channel.publish_refused(404, None, session.exchange_name(), "k")
    channel.wait_ready(queue, 1)
    check(channel.bodies(queue), [b"before"])


@case()
def a_refused_publish_with_a_body_is_read_to_its_end(session: Session) -> None:
    channel = session.channel()
    channel.publish_refused(404, None, session.exchange_name(), "k", body=b"x" * 300000)


def _invalid_expiration(session: Session, expiration: str, detail: str) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = f"PRECONDITION_FAILED - invalid expiration '{expiration}': {detail}"
    channel.publish_refused(406, text, "", queue, expiration=expiration)
    channel.get_empty(queue)


@case(ref="RabbitMQ: ttl")
def an_expiration_that_is_no_number_is_406(session: Session) -> None:
    _invalid_expiration(session, "soon", "no_integer")


@case(ref="RabbitMQ: ttl")
def an_empty_expiration_is_406(session: Session) -> None:
    _invalid_expiration(session, "", "no_integer")


@case(ref="RabbitMQ: ttl")
def an_expiration_with_a_unit_is_406(session: Session) -> None:
    _invalid_expiration(session, "10s", '{leftover_string,"s"}')


@case(ref="RabbitMQ: ttl")
def a_negative_expiration_is_406(session: Session) -> None:
    _invalid_expiration(session, "-1", "{value_negative,-1}")


@case(ref="RabbitMQ: ttl")
def an_expiration_over_ten_years_is_406(session: Session) -> None:
    _invalid_expiration(session, "315360000001", "{value_too_large,315360000001}")


@case(ref="RabbitMQ: ttl")
def the_expiration_is_carried(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x", expiration="60000")
    check(channel.get(queue).properties, {"expiration": "60000"})


@case()
def the_ticket_is_ignored(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.send("basic.publish", ticket=99, exchange="", routing_key=queue)
    channel.connection.send_frame(codec.HEADER, channel.number, codec.encode_header(0, {}))
    check(channel.get(queue).body, b"")
