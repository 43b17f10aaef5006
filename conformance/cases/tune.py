"""Negotiation of channel_max, frame_max and heartbeat, and what comes of it."""

from conformance.case import CaseFunction, Section, Session
from conformance.wire import Connection, Method, Mismatch, check

case = Section("tune", "connection.tune")
SLOW_DROP_S = 12.0


def _tuned(session: Session) -> tuple[Connection, Method]:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok()
    return connection, connection.zero.expect("connection.tune")


@case()
def the_offer_is_rabbitmqs(session: Session) -> None:
    _, tune = _tuned(session)
    check((tune.channel_max, tune.frame_max, tune.heartbeat), (2047, 131072, 60))


def _refused(session: Session, **changes: int) -> None:
    connection, tune = _tuned(session)
    fields = {"channel_max": tune.channel_max, "frame_max": tune.frame_max, "heartbeat": 0, **changes}
    connection.zero.send("connection.tune-ok", **fields)
    connection.zero.send("connection.open", virtual_host=session.address.vhost)
    connection.expect_dropped(within_s=SLOW_DROP_S)


@case(slow=True)
def channel_max_0_is_dropped(session: Session) -> None:
    _refused(session, channel_max=0)


@case(slow=True)
def channel_max_above_the_offer_is_dropped(session: Session) -> None:
    _refused(session, channel_max=65535)


@case(slow=True)
def frame_max_0_is_dropped(session: Session) -> None:
    _refused(session, frame_max=0)


@case(slow=True)
def frame_max_above_the_offer_is_dropped(session: Session) -> None:
    _refused(session, frame_max=131073)


@case(slow=True)
def frame_max_under_the_minimum_is_dropped(session: Session) -> None:
    _refused(session, frame_max=4095)


@case()
def a_frame_max_of_8192_is_taken(session: Session) -> None:
    channel = session.connect(frame_max=8192).channel()
    queue = session.queue(channel)
    body = bytes(range(256)) * 100
    channel.publish("", queue, body)
    message = channel.get(queue)
    check(message.body == body, True, "the body whole:")
    check(message.body_frame_octets, [8184, 8184, 8184, 1048])


@case(until="4.0")
def a_frame_max_of_4096_is_taken(session: Session) -> None:
    channel = session.connect(frame_max=4096).channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x" * 5000)
    check(channel.get(queue).body_frame_octets, [4088, 912])


@case()
def bodies_are_cut_by_the_consumers_frame_max(session: Session) -> None:
    small = session.connect(frame_max=8192).channel()
    large = session.stranger()
    queue = session.shared_queue(large)
    small.consume(queue, no_ack=True)
    large.publish("", queue, b"y" * 20000)
    check(small.deliver().body_frame_octets, [8184, 8184, 3632])


@case()
def headers_are_not_cut_by_the_consumers_frame_max(session: Session) -> None:
    small = session.connect(frame_max=8192).channel()
    large = session.stranger()
    queue = session.shared_queue(large)
    small.consume(queue, no_ack=True)
    large.publish("", queue, b"", headers={"long": "y" * 20000})
    check(small.deliver().headers, {"long": "y" * 20000})


@case()
def heartbeat_above_the_offer_is_taken(session: Session) -> None:
    session.connect(heartbeat=600).channel().round_trip()


@case(ref="RabbitMQ: channels")
def channels_over_channel_max_are_530(session: Session) -> None:
    connection = session.connect(channel_max=2)
    connection.channel(10)
    connection.channel(20)
    connection.unopened(30).send("channel.open")
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    connection.expect_close(530, text)


@case(ref="RabbitMQ: channels")
def closing_a_channel_makes_room_under_channel_max(session: Session) -> None:
    connection = session.connect(channel_max=1)
    channel = connection.channel(5)
    channel.call("channel.close", reply_code=200)
    connection.channel(6).round_trip()


@case(ref="RabbitMQ: channels")
def channel_max_counts_channels_not_numbers(session: Session) -> None:
    session.connect(channel_max=1).channel(65535).round_trip()


@case(ref="connection.tune-ok")
def tune_ok_when_running_is_504(session: Session) -> None:
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    session.connect().zero.fatal(504, text, "connection.tune-ok", channel_max=1, frame_max=8192)


@case(ref="RabbitMQ: networking")
def start_ok_of_4000_octets_is_taken(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(capabilities={"padding": "x" * 3500})
    connection.zero.expect("connection.tune")


@case(ref="RabbitMQ: networking", slow=True)
def a_huge_start_ok_is_dropped(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(capabilities={"padding": "x" * 70000})
    try:
        connection.expect_dropped(within_s=SLOW_DROP_S)
    except Mismatch as mismatch:
        if "connection.close" not in mismatch.got:
            raise


def _body_of(octets: int, frames: list[int]) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.connect(frame_max=8192).channel()
        queue = session.queue(channel)
        body = bytes(number % 251 for number in range(octets))
        channel.publish("", queue, body)
        message = channel.get(queue)
        check(message.body == body, True, "the body whole:")
        check(message.body_frame_octets, frames)

    return run


for _octets, _frames in (
    (1, [1]),
    (8183, [8183]),
    (8184, [8184]),
    (8185, [8184, 1]),
    (16367, [8184, 8183]),
    (16368, [8184, 8184]),
    (16369, [8184, 8184, 1]),
):
    case.add(f"a_body_of_{_octets}_octets_is_cut_as_needed", _body_of(_octets, _frames), ref="4.2.6.2")
