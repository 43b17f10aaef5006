"""Protocol header, start, authentication and open: each step by hand."""

import time

from conformance import codec
from conformance.case import CaseFunction, Section, Session
from conformance.wire import DEADLINE_S, Connection, Mismatch, check

case = Section("handshake", "4.2.2")
# RabbitMQ delays the drop after a refusal by some seconds, to slow down guessing.
SLOW_DROP_S = 12.0


def _expect_own_header(connection: Connection) -> None:
    deadline = time.monotonic() + DEADLINE_S
    check(connection.receive_octets(8, deadline), codec.PROTOCOL_HEADER, "header")
    try:
        connection.receive_octets(1, deadline)
    except Mismatch as mismatch:
        if "dropped" not in mismatch.got:
            raise


@case()
def the_right_header_is_answered_by_start(session: Session) -> None:
    start = session.raw().say_hello()
    check((start.version_major, start.version_minor), (0, 9))


@case()
def the_header_of_0_9_is_answered_by_start(session: Session) -> None:
    connection = session.raw()
    connection.send(b"AMQP\x01\x01\x00\x09")
    connection.zero.expect("connection.start")


@case()
def the_header_may_come_octet_by_octet(session: Session) -> None:
    connection = session.raw()
    for octet in codec.PROTOCOL_HEADER:
        connection.send(bytes([octet]))
    connection.zero.expect("connection.start")


def _refused_header(header: bytes) -> CaseFunction:
    def run(session: Session) -> None:
        connection = session.raw()
        connection.send(header)
        _expect_own_header(connection)

    return run


# From 4.0 on, RabbitMQ answers what is no AMQP 0-9-1 at all with the header of AMQP 1.0.
for _name, _header, _until in (
    ("another_revision", b"AMQP\x00\x00\x09\x02", ""),
    ("another_minor_version", b"AMQP\x00\x00\x0a\x01", ""),
    ("http", b"GET / HT", "4.0"),
    ("octets_of_no_meaning", b"\xff" * 8, "4.0"),
):
    _title = f"the_header_of_{_name}_is_answered_by_ours_and_the_end"
    case.add(_title, _refused_header(_header), until=_until)


@case(until="4.0")
def the_header_of_amqp_1_0_is_answered_by_ours_and_the_end(session: Session) -> None:
    _refused_header(b"AMQP\x00\x01\x00\x00")(session)


@case()
def a_connection_without_octets_is_taken_in_peace(session: Session) -> None:
    session.raw().abandon()
    session.connect().close()


@case(slow=True, ref="RabbitMQ: networking")
def a_silent_peer_is_dropped(session: Session) -> None:
    session.raw().expect_dropped(within_s=16)


@case(slow=True, ref="RabbitMQ: networking")
def half_a_header_and_silence_is_dropped(session: Session) -> None:
    connection = session.raw()
    connection.send(b"AMQP")
    connection.expect_dropped(within_s=16)


@case(slow=True, ref="RabbitMQ: networking")
def a_peer_silent_after_start_is_dropped(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.expect_dropped(within_s=16)


@case(ref="connection.start")
def start_offers_plain_and_amqplain_and_en_us(session: Session) -> None:
    start = session.raw().say_hello()
    mechanisms = start.mechanisms.split()
    assert {"PLAIN", "AMQPLAIN"} <= set(mechanisms), mechanisms
    assert "en_US" in start.locales.split(), start.locales


@case(ref="connection.start")
def start_says_what_the_server_is(session: Session) -> None:
    properties = session.raw().say_hello().server_properties
    for key in ("capabilities", "cluster_name", "copyright", "information", "platform", "product", "version"):
        assert key in properties, key


@case(ref="RabbitMQ: consumer-cancel")
def start_announces_the_capabilities(session: Session) -> None:
    capabilities = session.raw().say_hello().server_properties["capabilities"]
    for key in (
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ):
        check(capabilities.get(key), True, key)


@case(ref="RabbitMQ: access-control")
def plain_logs_in(session: Session) -> None:
    session.connect().close()


@case(ref="RabbitMQ: access-control")
def amqplain_logs_in(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    table = codec.encode_table({"LOGIN": session.address.user, "PASSWORD": session.address.password})
    connection.send_start_ok(mechanism="AMQPLAIN", response=table[4:])
    connection.zero.expect("connection.tune")


@case(ref="connection.start-ok")
def the_clients_locale_is_not_checked(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(locale="xx_YY")
    connection.zero.expect("connection.tune")


@case(ref="connection.start-ok")
def empty_client_properties_are_fine(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    response = f"\0{session.address.user}\0{session.address.password}"
    connection.zero.send("connection.start-ok", mechanism="PLAIN", response=response, locale="en_US")
    connection.zero.expect("connection.tune")


@case(ref="RabbitMQ: auth-notification")
def a_wrong_password_is_403_to_clients_that_asked(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(password="no such password")
    close = connection.zero.expect("connection.close")
    text = (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
    )
    check(
        (close.reply_code, close.reply_text, close.class_id, close.method_id),
        (403, text, 0, 0),
    )


@case(ref="RabbitMQ: auth-notification")
def an_unknown_user_is_refused_as_a_wrong_password_is(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(user="no such user")
    close = connection.zero.expect("connection.close")
    check(close.reply_code, 403)
    assert close.reply_text.startswith("ACCESS_REFUSED - Login was refused"), close


@case(ref="RabbitMQ: access-control")
def a_wrong_amqplain_password_is_403(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    table = codec.encode_table({"LOGIN": session.address.user, "PASSWORD": "wrong"})
    connection.send_start_ok(mechanism="AMQPLAIN", response=table[4:])
    close = connection.zero.expect("connection.close")
    check(close.reply_code, 403)
    assert "mechanism AMQPLAIN" in close.reply_text, close


@case(ref="RabbitMQ: access-control")
def a_blank_password_is_refused(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(password="")
    check(connection.zero.expect("connection.close").reply_code, 403)


@case(ref="RabbitMQ: auth-notification", slow=True)
def a_wrong_password_just_drops_clients_that_did_not_ask(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(password="no such password", capabilities={})
    connection.expect_dropped(within_s=SLOW_DROP_S)


@case(ref="connection.start-ok", slow=True)
def an_unknown_mechanism_drops(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(mechanism="NO-SUCH-MECHANISM")
    connection.expect_dropped(within_s=SLOW_DROP_S)


@case(ref="connection.start-ok", slow=True)
def a_mechanism_in_lower_case_drops(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(mechanism="plain")
    connection.expect_dropped(within_s=SLOW_DROP_S)


@case(ref="connection.start-ok", slow=True)
def a_malformed_plain_response_drops(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok(response="guest guest")
    connection.expect_dropped(within_s=SLOW_DROP_S)


@case(slow=True)
def open_before_start_ok_drops(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.zero.send("connection.open", virtual_host="/")
    connection.expect_dropped(within_s=SLOW_DROP_S)


@case(slow=True)
def a_channel_before_open_drops(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok()
    connection.zero.expect("connection.tune")
    connection.unopened(1).send("channel.open")
    connection.expect_dropped(within_s=SLOW_DROP_S)


def _until_open(session: Session) -> Connection:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok()
    tune = connection.zero.expect("connection.tune")
    connection.zero.send("connection.tune-ok", channel_max=tune.channel_max, frame_max=tune.frame_max, heartbeat=0)
    return connection


def _refused_vhost(session: Session, name: str) -> None:
    # Rarely, and only under load, RabbitMQ 3.10 finds the missing permission before the missing vhost.
    connection = _until_open(session)
    connection.zero.send("connection.open", virtual_host=name)
    close = connection.expect_close(530, None, 10, 40)
    user = session.address.user
    usual, rare = f"vhost {name} not found", f"access to vhost '{name}' refused for user '{user}'"
    if close.reply_text != f"NOT_ALLOWED - {rare}":
        check(close.reply_text, f"NOT_ALLOWED - {usual}")


@case(ref="connection.open")
def open_of_a_missing_vhost_is_530(session: Session) -> None:
    _refused_vhost(session, "no-such-vhost")


@case(ref="connection.open")
def open_of_an_empty_vhost_is_530(session: Session) -> None:
    _refused_vhost(session, "")


@case(ref="connection.open")
def open_ok_carries_an_empty_string(session: Session) -> None:
    connection = _until_open(session)
    opened = connection.zero.call("connection.open", virtual_host=session.address.vhost)
    check(opened.reserved_1, "")


@case(ref="connection.open")
def open_may_follow_tune_ok_in_one_write(session: Session) -> None:
    connection = session.raw()
    connection.say_hello()
    connection.send_start_ok()
    tune = connection.zero.expect("connection.tune")
    octets = b""
    fields = {"channel_max": tune.channel_max, "frame_max": tune.frame_max, "heartbeat": 0}
    octets += codec.frame(codec.METHOD, 0, codec.encode_method("connection.tune-ok", fields))
    opening = codec.encode_method("connection.open", {"virtual_host": session.address.vhost})
    octets += codec.frame(codec.METHOD, 0, opening)
    channel = connection.unopened(1)
    octets += codec.frame(codec.METHOD, 1, codec.encode_method("channel.open", {}))
    connection.send(octets)
    connection.zero.expect("connection.open-ok")
    channel.expect("channel.open-ok")


@case(ref="connection.open")
def open_twice_is_504(session: Session) -> None:
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    session.connect().zero.fatal(504, text, "connection.open", virtual_host="/")


@case(ref="connection.start-ok")
def start_ok_when_running_is_504(session: Session) -> None:
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    session.connect().zero.fatal(504, text, "connection.start-ok", mechanism="PLAIN")


@case(ref="RabbitMQ: oauth2")
def update_secret_is_answered(session: Session) -> None:
    connection = session.connect()
    connection.zero.call("connection.update-secret", new_secret=session.address.password, reason="test")
    connection.channel().round_trip()
