"""Frames that are wrong: size, end octet, type, order of content, arguments that do not decode."""

import struct

from conformance import codec
from conformance.case import Section, Session
from conformance.codec import BODY, HEADER, HEARTBEAT, METHOD
from conformance.wire import Channel, Mismatch, check

case = Section("framing", "4.2.3")
NO_HEADER = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
NO_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
NO_METHOD = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"


def _begin_publish(session: Session) -> Channel:
    channel = session.channel()
    queue = session.queue(channel)
    channel.send("basic.publish", exchange="", routing_key=queue)
    return channel


@case()
def a_frame_over_frame_max_is_501(session: Session) -> None:
    connection = session.connect(frame_max=8192)
    connection.channel()
    connection.send(struct.pack(">BHI", BODY, 1, 9000))
    text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,9000,8184}"
    connection.expect_close(501, text)


@case()
def a_body_frame_of_exactly_frame_max_is_taken(session: Session) -> None:
    channel = session.connect(frame_max=8192).channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x" * 8184)
    check(len(channel.get(queue).body), 8184)


@case()
def a_content_header_over_frame_max_is_501(session: Session) -> None:
    connection = session.connect(frame_max=8192)
    channel = connection.channel()
    channel.send("basic.publish", exchange="", routing_key="nowhere")
    payload = codec.encode_header(0, {"headers": {"long": "x" * 9000}})
    connection.send_frame(HEADER, 1, payload)
    text = f"FRAME_ERROR - type 2, all octets = <<>>: {{frame_too_large,{len(payload)},8184}}"
    connection.expect_close(501, text)


@case()
def a_wrong_end_octet_is_501(session: Session) -> None:
    channel = session.channel()
    payload = codec.encode_method("basic.qos", {"prefetch_count": 1})
    channel.connection.send_frame(METHOD, channel.number, payload, end=0)
    shown = ",".join(str(octet) for octet in payload)
    text = f"FRAME_ERROR - type 1, all octets = <<{shown}>>: {{invalid_frame_end_marker,0}}"
    channel.connection.expect_close(501, text)


@case()
def an_unknown_frame_type_is_501(session: Session) -> None:
    channel = session.channel()
    channel.connection.send_frame(7, channel.number, b"abc")
    text = 'FRAME_ERROR - type 7, all octets = <<"abc">>: unknown_frame'
    channel.connection.expect_close(501, text)


@case(ref="4.2.7")
def a_heartbeat_with_a_payload_is_501(session: Session) -> None:
    connection = session.connect()
    connection.send_frame(HEARTBEAT, 0, b"abc")
    connection.expect_close(501, 'FRAME_ERROR - type 8, all octets = <<"abc">>: unknown_frame')


@case(ref="4.2.7")
def a_heartbeat_on_a_channel_is_505(session: Session) -> None:
    channel = session.channel()
    channel.connection.send_frame(HEARTBEAT, channel.number, b"")
    channel.connection.expect_close(505, "UNEXPECTED_FRAME - type 8, all octets = <<>>")


@case(ref="4.2.7")
def a_heartbeat_inside_content_is_fine(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.send("basic.publish", exchange="", routing_key=queue)
    channel.connection.send_frame(HEARTBEAT, 0, b"")
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(1, {}))
    channel.connection.send_frame(HEARTBEAT, 0, b"")
    channel.connection.send_frame(BODY, channel.number, b"x")
    check(channel.get(queue).body, b"x")


@case(ref="4.2.6")
def a_header_with_no_method_is_505(session: Session) -> None:
    channel = session.channel()
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(1, {}))
    channel.connection.expect_close(505, NO_METHOD)


@case(ref="4.2.6")
def a_body_with_no_method_is_505(session: Session) -> None:
    channel = session.channel()
    channel.connection.send_frame(BODY, channel.number, b"x")
    channel.connection.expect_close(505, NO_METHOD)


@case(ref="4.2.6")
def a_body_after_content_of_size_0_is_505(session: Session) -> None:
    channel = _begin_publish(session)
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(0, {}))
    channel.connection.send_frame(BODY, channel.number, b"x")
    channel.connection.expect_close(505, NO_METHOD)


@case(ref="4.2.6")
def a_body_in_place_of_the_header_is_505(session: Session) -> None:
    channel = _begin_publish(session)
    channel.connection.send_frame(BODY, channel.number, b"x")
    channel.connection.expect_close(505, NO_HEADER, 60, 40)


@case(ref="4.2.6")
def a_method_in_place_of_the_header_is_505(session: Session) -> None:
    channel = _begin_publish(session)
    channel.send("basic.qos", prefetch_count=1)
    channel.connection.expect_close(505, NO_HEADER, 60, 40)


@case(ref="4.2.6")
def a_method_in_place_of_the_body_is_505(session: Session) -> None:
    channel = _begin_publish(session)
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(5, {}))
    channel.send("basic.qos", prefetch_count=1)
    channel.connection.expect_close(505, NO_BODY, 60, 40)


@case(ref="4.2.6")
def a_second_header_in_place_of_the_body_is_505(session: Session) -> None:
    channel = _begin_publish(session)
    for _ in range(2):
        channel.connection.send_frame(HEADER, channel.number, codec.encode_header(5, {}))
    channel.connection.expect_close(505, NO_BODY, 60, 40)


@case(ref="4.2.6.1")
def a_header_of_another_class_is_505(session: Session) -> None:
    channel = _begin_publish(session)
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(1, {}, class_id=50))
    text = "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"
    channel.connection.expect_close(505, text, 60, 40)


@case(ref="4.2.6.1")
def a_header_with_a_weight_is_505(session: Session) -> None:
    channel = _begin_publish(session)
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(1, {}, weight=1))
    channel.connection.expect_close(505, NO_HEADER, 60, 40)


@case(ref="4.2.6.2")
def empty_body_frames_inside_a_body_are_fine(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.send("basic.publish", exchange="", routing_key=queue)
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(3, {}))
    for part in (b"", b"a", b"", b"", b"bc"):
        channel.connection.send_frame(BODY, channel.number, part)
    check(channel.get(queue).body, b"abc")


@case(ref="4.2.6.2")
def a_body_may_come_in_many_small_frames(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.send("basic.publish", exchange="", routing_key=queue)
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(300, {}))
    for number in range(300):
        channel.connection.send_frame(BODY, channel.number, bytes([number % 251]))
    check(channel.get(queue).body, bytes(number % 251 for number in range(300)))


@case(ref="4.2.6.2", since="4.0")
def a_body_longer_than_declared_is_501(session: Session) -> None:
    channel = _begin_publish(session)
    channel.connection.send_frame(HEADER, channel.number, codec.encode_header(2, {}))
    channel.connection.send_frame(BODY, channel.number, b"three")
    text = "FRAME_ERROR - content body frame exceeds remaining content size"
    channel.connection.expect_close(501, text, 60, 40)


@case(ref="4.2.6")
def an_empty_body_is_method_and_header_only(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"")
    check(channel.get(queue).body_frame_octets, [])


@case()
def octets_may_come_one_by_one(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    octets = codec.frame(
        METHOD, channel.number, codec.encode_method("basic.publish", {"routing_key": queue, "exchange": ""})
    )
    octets += codec.frame(HEADER, channel.number, codec.encode_header(3, {"content_type": "text/plain"}))
    octets += codec.frame(BODY, channel.number, b"abc")
    for octet in octets:
        channel.connection.send(bytes([octet]))
    check(channel.get(queue).body, b"abc")


@case()
def methods_may_come_many_in_one_write(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    octets = b"".join(
        codec.frame(METHOD, channel.number, codec.encode_method("basic.get", {"queue": queue})) for _ in range(100)
    )
    channel.connection.send(octets)
    for _ in range(100):
        channel.expect("basic.get-empty")


@case(ref="4.2.4")
def a_method_only_servers_send_is_503(session: Session) -> None:
    text = "COMMAND_INVALID - unimplemented method"
    session.channel().fatal(503, text, "queue.declare-ok", queue="q")


@case(ref="4.2.4")
def get_empty_from_a_client_is_503(session: Session) -> None:
    session.channel().fatal(503, "COMMAND_INVALID - unimplemented method", "basic.get-empty")


@case(ref="connection.close")
def connection_close_on_a_channel_is_503(session: Session) -> None:
    text = "COMMAND_INVALID - unimplemented method"
    session.channel().fatal(503, text, "connection.close", reply_code=200)


@case(ref="4.2.4")
def an_unknown_method_drops(session: Session) -> None:
    channel = session.channel()
    channel.connection.send_frame(METHOD, channel.number, struct.pack(">HH", 60, 999))
    channel.connection.expect_dropped()


@case(ref="4.2.4")
def an_unknown_class_drops(session: Session) -> None:
    channel = session.channel()
    channel.connection.send_frame(METHOD, channel.number, struct.pack(">HH", 61, 10))
    channel.connection.expect_dropped()


@case(ref="4.2.5")
def truncated_arguments_are_501(session: Session) -> None:
    channel = session.channel()
    payload = codec.encode_method("queue.declare", {"queue": "conformance"})[:10]
    channel.connection.send_frame(METHOD, channel.number, payload)
    close = channel.connection.expect_close(501, None, 50, 10)
    assert close.reply_text.startswith("FRAME_ERROR - cannot decode <<"), close


@case(ref="4.2.5")
def octets_after_the_arguments_are_501(session: Session) -> None:
    channel = session.channel()
    payload = codec.encode_method("basic.qos", {"prefetch_count": 1}) + b"more"
    channel.connection.send_frame(METHOD, channel.number, payload)
    close = channel.connection.expect_close(501, None, 60, 10)
    assert close.reply_text.startswith("FRAME_ERROR - cannot decode <<"), close


@case(ref="4.2.5.3")
def a_short_string_that_is_not_utf_8_is_501(session: Session) -> None:
    channel = session.channel()
    payload = codec.encode_method("queue.declare", {"queue": b"\xff\xfe", "exclusive": True})
    channel.connection.send_frame(METHOD, channel.number, payload)
    channel.connection.expect_close(501, "FRAME_ERROR - Malformed UTF-8 in shortstr")


def _drops_or_closes(channel: Channel) -> None:
    # RabbitMQ drops without a word; a broker that says what is wrong first is no worse.
    try:
        channel.connection.expect_dropped()
    except Mismatch as mismatch:
        if "connection.close" not in mismatch.got:
            raise


@case(ref="4.2.5.5")
def a_table_with_an_unknown_type_ends_the_connection(session: Session) -> None:
    channel = session.channel()
    table = struct.pack(">I", 4) + b"\x01k" + b"?" + b"\x00"
    payload = codec.encode_method("queue.declare", {"queue": session.queue_name(), "arguments": table})
    channel.connection.send_frame(METHOD, channel.number, payload)
    _drops_or_closes(channel)


@case(ref="4.2.5.5")
def a_truncated_table_ends_the_connection(session: Session) -> None:
    channel = session.channel()
    table = struct.pack(">I", 7) + b"\x01kS" + struct.pack(">I", 100)
    payload = codec.encode_method("queue.declare", {"queue": session.queue_name(), "arguments": table})
    channel.connection.send_frame(METHOD, channel.number, payload)
    _drops_or_closes(channel)


@case(ref="4.2.5.5")
def table_values_of_every_type_come_through_unchanged(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    values = {
        "t": True,
        "b": -5,
        "B": 200,
        "s": -300,
        "u": 60000,
        "I": -70000,
        "i": 3000000000,
        "l": -(2**60),
        "f": 0.5,
        "d": 1e300,
        "D": (2, 314),
        "S": "text",
        "A": [codec.Typed("s", 1), codec.Typed("S", "two"), codec.Typed("t", False)],
        "T": 1700000000,
        "F": {"deep": codec.Typed("F", {"deeper": codec.Typed("b", 1)})},
        "V": None,
        "x": "bytes",
    }
    headers = {f"key-{code}": codec.Typed(code, value) for code, value in values.items()}
    channel.publish("", queue, b"", headers=headers)
    got = channel.get(queue).typed_headers.value
    for key, typed in headers.items():
        check(got.get(key), typed, key)


@case(ref="4.2.5.5")
def long_strings_in_headers_need_not_be_utf_8(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"", headers={"raw": b"\xff\x00\xfe"})
    value = channel.get(queue).headers["raw"]
    check(value.encode("utf-8", "surrogateescape"), b"\xff\x00\xfe")


@case(ref="4.2.3")
def after_a_framing_error_later_input_is_ignored(session: Session) -> None:
    channel = session.channel()
    name = session.queue_name()
    channel.connection.send_frame(7, channel.number, b"")
    channel.send("queue.declare", queue=name, durable=True)
    channel.connection.zero.expect("connection.close")
    channel.send("queue.declare", queue=name, durable=True)
    channel.connection.zero.send("connection.close-ok")
    channel.connection.expect_dropped()
    session.stranger().refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)


@case(ref="4.2.4")
def each_method_that_only_servers_send_is_503(session: Session) -> None:
    for name in ("basic.recover-ok", "exchange.declare-ok", "queue.bind-ok", "tx.commit-ok", "confirm.select-ok"):
        session.stranger().fatal(503, "COMMAND_INVALID - unimplemented method", name)


@case(ref="4.2.4")
def methods_of_channels_on_channel_0_are_504(session: Session) -> None:
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    for name in ("basic.qos", "queue.declare", "exchange.delete", "tx.select"):
        session.connect().zero.fatal(504, text, name)


@case(ref="4.2.4")
def connection_methods_out_of_turn_are_504(session: Session) -> None:
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    for name in ("connection.secure-ok", "connection.blocked"):
        session.connect().zero.fatal(504, text, name)
