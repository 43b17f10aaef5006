"""The life of a channel: open, flow, close, and methods where there is none."""

from conformance import codec
from conformance.case import Section, Session
from conformance.wire import check

case = Section("channel", "channel.open")


@case()
def open_twice_is_504(session: Session) -> None:
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    session.channel().fatal(504, text, "channel.open")


@case()
def open_ok_carries_an_empty_long_string(session: Session) -> None:
    channel = session.connect().unopened(1)
    check(channel.call("channel.open").reserved_1, "")


@case()
def a_method_on_an_unopened_channel_is_504(session: Session) -> None:
    channel = session.connect().unopened(7)
    channel.fatal(504, "CHANNEL_ERROR - expected 'channel.open'", "queue.declare", queue="", exclusive=True)


@case(ref="channel.close")
def close_of_an_unopened_channel_is_504(session: Session) -> None:
    channel = session.connect().unopened(7)
    channel.fatal(504, "CHANNEL_ERROR - expected 'channel.open'", "channel.close", reply_code=200)


@case(ref="channel.close")
def a_method_on_a_closed_channel_is_504(session: Session) -> None:
    channel = session.channel()
    channel.call("channel.close", reply_code=200)
    channel.fatal(504, "CHANNEL_ERROR - expected 'channel.open'", "basic.qos", prefetch_count=1)


@case()
def channels_may_have_any_number(session: Session) -> None:
    connection = session.connect()
    for number in (65535, 3000, 1):
        connection.channel(number).round_trip()


@case(ref="channel.close")
def a_closed_channels_number_can_be_opened_again(session: Session) -> None:
    channel = session.channel()
    for _ in range(3):
        channel.call("channel.close", reply_code=200)
        channel.call("channel.open")
    channel.round_trip()


@case(ref="channel.close")
def other_channels_live_on_after_a_channel_error(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(second)
    second.consume(queue, no_ack=True)
    channel.refused(404, None, "queue.declare", queue=session.queue_name(), passive=True)
    second.publish("", queue, b"x")
    check(second.deliver().body, b"x")


@case(ref="channel.close")
def methods_after_a_channel_error_have_no_effect(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(second)
    name = session.queue_name()
    channel.send("queue.declare", queue=name, passive=True)
    channel.publish("", queue, b"too late")
    channel.send("queue.declare", queue=name, exclusive=True)
    channel.expect("channel.close")
    channel.send("channel.close-ok")
    channel.call("channel.open")
    channel.expect_silence(queue)
    second.get_empty(queue)
    second.refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)


@case(ref="channel.close")
def crossing_closes_are_both_answered(session: Session) -> None:
    channel = session.channel()
    channel.send("queue.declare", queue=session.queue_name(), passive=True)
    channel.send("channel.close", reply_code=200)
    channel.expect("channel.close")
    channel.expect("channel.close-ok")
    channel.send("channel.close-ok")
    channel.call("channel.open")
    channel.round_trip()


@case(ref="channel.close")
def open_before_close_ok_is_504(session: Session) -> None:
    channel = session.channel()
    channel.send("queue.declare", queue=session.queue_name(), passive=True)
    channel.expect("channel.close")
    channel.fatal(504, "CHANNEL_ERROR - second 'channel.open' seen", "channel.open")


@case(ref="channel.close-ok")
def an_unsolicited_close_ok_is_503(session: Session) -> None:
    session.channel().fatal(503, "COMMAND_INVALID - unimplemented method", "channel.close-ok")


@case(ref="channel.flow")
def flow_true_is_answered(session: Session) -> None:
    check(session.channel().call("channel.flow", active=True).active, True)


@case(ref="channel.flow")
def flow_false_is_540(session: Session) -> None:
    session.channel().fatal(540, "NOT_IMPLEMENTED - active=false", "channel.flow", active=False)


@case(ref="channel.close")
def close_requeues_what_is_unacked(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"a", b"b", b"c")
    second.consume(queue)
    second.deliveries(3)
    second.call("channel.close", reply_code=200)
    channel.wait_ready(queue, 3)
    messages = [channel.get(queue) for _ in range(3)]
    check([(message.body, message.redelivered) for message in messages], [(b, True) for b in (b"a", b"b", b"c")])


@case(ref="channel.close")
def close_ends_the_consumers(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel)
    second.consume(queue)
    channel.wait_counts(queue, 0, 1)
    second.call("channel.close", reply_code=200)
    channel.wait_consumers(queue, 0)


@case(ref="channel.close")
def a_channel_error_requeues_what_is_unacked(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"a")
    second.get(queue, no_ack=False)
    second.refused(404, None, "queue.declare", queue=session.queue_name(), passive=True)
    channel.wait_ready(queue, 1)
    check(channel.get(queue).redelivered, True)


@case(ref="channel.close")
def delivery_tags_start_again_on_a_reopened_channel(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for body in (b"a", b"b"):
        channel.publish("", queue, body)
    check(channel.get(queue).delivery_tag, 1)
    channel.call("channel.close", reply_code=200)
    channel.call("channel.open")
    check(channel.get(queue).delivery_tag, 1)


@case(ref="access.request")
def access_request_is_still_answered(session: Session) -> None:
    granted = session.channel().call("access.request", realm="/data", active=True, read=True, write=True)
    check(granted.ticket, 1)


@case()
def a_channel_method_on_channel_0_is_504(session: Session) -> None:
    connection = session.connect()
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    connection.zero.fatal(504, text, "channel.open")


@case()
def many_channels_at_once(session: Session) -> None:
    connection = session.connect()
    channels = [connection.unopened(number) for number in range(1, 201)]
    for channel in channels:
        channel.send("channel.open")
    for channel in channels:
        channel.expect("channel.open-ok")
    channels[-1].round_trip()


@case(ref="4.2.6")
def content_on_two_channels_may_interleave(session: Session) -> None:
    one, other = session.channel(), session.channel()
    queue = session.queue(one)
    method = codec.encode_method("basic.publish", {"exchange": "", "routing_key": queue})
    for kind, payload in (
        (codec.METHOD, method),
        (codec.HEADER, codec.encode_header(2, {})),
        (codec.BODY, b"x"),
        (codec.BODY, b"y"),
    ):
        for channel in (one, other):
            one.connection.send_frame(kind, channel.number, payload)
    other.round_trip()
    one.wait_ready(queue, 2)
    check(one.bodies(queue), [b"xy", b"xy"])
