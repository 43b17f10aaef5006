"""Octets that come in pieces: a broker may not depend on where one read ends and the next begins."""

import time

from conformance import codec
from conformance.case import Section, Session
from conformance.codec import BODY, HEADER, HEARTBEAT, METHOD
from conformance.wire import Channel, check

case = Section("segments", "4.2.3")
PAUSE_S = 0.004


def _publish(channel: Channel, queue: str, body: bytes) -> bytes:
    method = codec.encode_method("basic.publish", {"exchange": "", "routing_key": queue})
    octets = codec.frame(METHOD, channel.number, method)
    octets += codec.frame(HEADER, channel.number, codec.encode_header(len(body), {"priority": 1}))
    return octets + codec.frame(BODY, channel.number, body)


def _send_cut(channel: Channel, octets: bytes, at: int) -> None:
    # The pause is what makes two reads of it at the other end; the case is right without it too.
    channel.connection.send(octets[:at])
    time.sleep(PAUSE_S)
    channel.connection.send(octets[at:])


@case()
def a_publish_cut_anywhere_comes_through(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    length = len(_publish(channel, queue, b"000"))
    for at in range(1, length):
        _send_cut(channel, _publish(channel, queue, b"%03d" % at), at)
    check(channel.bodies(queue), [b"%03d" % at for at in range(1, length)])


@case()
def two_publishes_cut_anywhere_come_through(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    length = 2 * len(_publish(channel, queue, b"000"))
    for at in range(1, length, 3):
        octets = _publish(channel, queue, b"%03d" % at) + _publish(channel, queue, b"and")
        _send_cut(channel, octets, at)
    wanted = [body for at in range(1, length, 3) for body in (b"%03d" % at, b"and")]
    check(channel.bodies(queue), wanted)


@case()
def an_ack_cut_anywhere_settles(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    ack = codec.frame(METHOD, channel.number, codec.encode_method("basic.ack", {"delivery_tag": 1}))
    channel.fill(queue, *(b"x" for _ in range(len(ack))))
    channel.consume(queue)
    channel.deliveries(len(ack))
    for tag in range(1, len(ack)):
        payload = codec.encode_method("basic.ack", {"delivery_tag": tag})
        _send_cut(channel, codec.frame(METHOD, channel.number, payload), tag)
    channel.round_trip()
    channel.call("channel.close", reply_code=200)
    other = session.channel()
    other.wait_counts(queue, 1, 0)


@case()
def a_method_cut_anywhere_is_answered(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    octets = codec.frame(METHOD, channel.number, codec.encode_method("basic.get", {"queue": queue}))
    for at in range(1, len(octets)):
        _send_cut(channel, octets, at)
        channel.expect("basic.get-empty")


@case()
def a_heartbeat_cut_anywhere_is_fine(session: Session) -> None:
    channel = session.channel()
    for at in range(1, 8):
        _send_cut(channel, codec.frame(HEARTBEAT, 0, b""), at)
        channel.round_trip()


@case(ref="4.2.6")
def other_channels_are_served_between_a_publish_and_its_header(session: Session) -> None:
    channel, other = session.channel(), session.channel()
    queue = session.queue(channel)
    channel.send("basic.publish", exchange="", routing_key=queue)
    time.sleep(0.05)
    other.call("tx.select")
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(1, {}))
    channel.connection.send_frame(BODY, channel.number, b"x")
    check(channel.get(queue).body, b"x")


@case(ref="4.2.6")
def other_channels_are_served_between_a_header_and_its_body(session: Session) -> None:
    channel, other = session.channel(), session.channel()
    queue = session.queue(channel)
    channel.send("basic.publish", exchange="", routing_key=queue)
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(40, {}))
    time.sleep(0.05)
    other.call("tx.select")
    channel.connection.send_frame(BODY, channel.number, b"y" * 10)
    time.sleep(0.05)
    other.call("tx.commit")
    channel.connection.send_frame(BODY, channel.number, b"y" * 30)
    check(channel.get(queue).body, b"y" * 40)


@case(ref="4.2.6")
def a_body_long_after_the_publish_is_505(session: Session) -> None:
    channel = session.channel()
    channel.send("basic.publish", exchange="", routing_key="k")
    time.sleep(0.05)
    channel.connection.send_frame(BODY, channel.number, b"x")
    text = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
    channel.connection.expect_close(505, text, 60, 40)


@case(ref="4.2.6")
def a_method_long_after_the_header_is_505(session: Session) -> None:
    channel = session.channel()
    channel.send("basic.publish", exchange="", routing_key="k")
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(5, {}))
    time.sleep(0.05)
    channel.send("tx.select")
    text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
    channel.connection.expect_close(505, text, 60, 40)


@case()
def a_large_frame_in_many_pieces_comes_through(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    body = bytes(number % 251 for number in range(100000))
    octets = _publish(channel, queue, body)
    for at in range(0, len(octets), 3001):
        channel.connection.send(octets[at : at + 3001])
    check(channel.get(queue).body == body, True, "the body whole:")


@case()
def a_thousand_publishes_in_one_write_come_through(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.connection.send(b"".join(_publish(channel, queue, b"%d" % number) for number in range(1000)))
    check(channel.bodies(queue), [b"%d" % number for number in range(1000)])


@case()
def publishes_acks_and_gets_in_one_write_are_done_in_order(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    get = codec.frame(METHOD, channel.number, codec.encode_method("basic.get", {"queue": queue}))
    octets = b""
    for tag in range(1, 51):
        ack = codec.encode_method("basic.ack", {"delivery_tag": tag})
        octets += _publish(channel, queue, b"%d" % tag) + get + codec.frame(METHOD, channel.number, ack)
    channel.connection.send(octets)
    check([channel.expect("basic.get-ok").body for _ in range(50)], [b"%d" % tag for tag in range(1, 51)])
    channel.expect_silence(queue)
