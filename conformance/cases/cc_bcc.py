"""The CC and BCC headers."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("cc_bcc", "RabbitMQ: sender-selected")


@case()
def cc_routes_to_more_queues(session: Session) -> None:
    channel = session.channel()
    one, other, third = (session.queue(channel) for _ in range(3))
    channel.publish("", one, b"x", headers={"CC": [other, third]})
    for queue in (one, other, third):
        message = channel.get(queue)
        check((message.routing_key, message.headers), (one, {"CC": [other, third]}))


@case()
def bcc_routes_and_is_removed(session: Session) -> None:
    channel = session.channel()
    one, other = session.queue(channel), session.queue(channel)
    channel.publish("", one, b"x", headers={"BCC": [other], "kept": 1})
    for queue in (one, other):
        message = channel.get(queue)
        check((message.routing_key, message.headers), (one, {"kept": 1}))


@case()
def cc_and_bcc_go_together(session: Session) -> None:
    channel = session.channel()
    one, other, third = (session.queue(channel) for _ in range(3))
    channel.publish("", one, b"x", headers={"CC": [other], "BCC": [third]})
    check([channel.get(queue).headers for queue in (one, other, third)], [{"CC": [other]}] * 3)


@case()
def the_same_queue_twice_gets_one_copy(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x", headers={"CC": [queue, queue], "BCC": [queue]})
    check(channel.bodies(queue), [b"x"])


@case()
def the_first_key_need_not_route(session: Session) -> None:
    channel = session.channel()
    queue, missing = session.queue(channel), session.name(".missing")
    channel.publish("", missing, b"x", headers={"CC": [queue]}, mandatory=True)
    check(channel.get(queue).routing_key, missing)
    channel.expect_silence(queue)


@case()
def keys_go_through_the_exchange_of_the_publish(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "topic")
    one, other = session.queue(channel), session.queue(channel)
    channel.bind(one, exchange, "a.*")
    channel.bind(other, exchange, "b.#")
    channel.publish(exchange, "a.x", b"x", headers={"CC": ["b.y", "c.z"]})
    check((channel.bodies(one), channel.bodies(other)), ([b"x"], [b"x"]))


@case()
def other_headers_do_not_disturb(session: Session) -> None:
    channel = session.channel()
    one, other = session.queue(channel), session.queue(channel)
    channel.publish("", one, b"1", headers={"cc": [other], "Bcc": [other]})
    channel.publish("", one, b"2", headers={"CC": []})
    check((channel.bodies(one), channel.bodies(other)), ([b"1", b"2"], []))


@case()
def items_that_are_no_strings_are_ignored(session: Session) -> None:
    channel = session.channel()
    one, other = session.queue(channel), session.queue(channel)
    channel.publish("", one, b"x", headers={"CC": [1, other, True, None]})
    check((channel.bodies(one), channel.bodies(other)), ([b"x"], [b"x"]))


@case()
def cc_that_is_no_array_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}'
    channel.publish_refused(406, text, "", queue, headers={"CC": "a string"})


@case()
def bcc_that_is_no_array_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",signedint}'
    channel.publish_refused(406, text, "", queue, headers={"BCC": 5})


@case(ref="basic.return")
def a_return_shows_cc_and_not_bcc(session: Session) -> None:
    channel = session.channel()
    missing = session.name(".missing")
    headers = {"CC": [missing + "1"], "BCC": [missing + "2"], "kept": 1}
    channel.publish("", missing, b"x", mandatory=True, headers=headers)
    back = channel.expect("basic.return")
    check((back.routing_key, back.headers), (missing, {"CC": [missing + "1"], "kept": 1}))


@case()
def a_headers_property_of_bcc_alone_becomes_empty(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x", headers={"BCC": [queue]}, correlation_id="c")
    check(channel.get(queue).properties, {"headers": {}, "correlation_id": "c"})


@case(ref="RabbitMQ: confirms")
def a_publish_with_copies_is_confirmed_once(session: Session) -> None:
    channel = session.channel()
    one, other = session.queue(channel), session.queue(channel)
    channel.call("confirm.select")
    channel.publish("", one, b"x", headers={"CC": [other]})
    check(channel.expect("basic.ack").delivery_tag, 1)
    channel.expect_silence(one, other)
