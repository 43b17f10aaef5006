"""The handshake as scripts: what the client sends, what it gets, and how it ends."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.base import Frame
from pamqp.commands import Basic, Channel, Connection

from protocol.constants import PROTOCOL_HEADER, PROTOCOL_HEADER_0_9
from protocol.errors import (
    AmqpError,
    ChannelFault,
    ConnectionDropped,
    FrameError,
    LoginRefused,
    NotAllowed,
    SyntaxFault,
    UnexpectedFrame,
)
from protocol.handshake import (
    CAPABILITIES,
    MECHANISMS,
    UNLIMITED_FRAME_OCTETS,
    Challenge,
    Credentials,
    Handshake,
    Negotiated,
    Offer,
    external,
)
from protocol.methods import build, decode_method, encode_method
from protocol.tables import FieldTable, encode_fields

OFFER = Offer()
CAN_BE_TOLD: FieldTable = {
    "product": "test",
    "capabilities": {"authentication_failure_close": True, "basic.nack": False},
}
LOGIN = b"\0guest\0secret"


def new_handshake(offer: Offer = OFFER, *, may_enter: bool = True) -> Handshake:
    return Handshake(
        offer,
        authenticate=lambda user, password: (user, password) == ("guest", b"secret"),
        has_vhost=lambda vhost: vhost in ("/", "größer"),
        may_enter=lambda user, vhost: may_enter,
    )


def send(handshake: Handshake, method: Frame, channel: int = 0) -> Frame | None:
    """Give ``method`` as a client's octets; the method of the reply, None if there is none."""
    octets = handshake.receive(channel, encode_method(channel, method)[7:-1])
    if not octets:
        return None
    assert octets[:3] == b"\x01\x00\x00"
    assert len(octets) == 8 + int.from_bytes(octets[3:7])
    return decode_method(octets[7:-1], from_server=True)


def start_ok(response: bytes = LOGIN, mechanism: str = "PLAIN", properties: FieldTable = CAN_BE_TOLD) -> Frame:
    return build(
        Connection.StartOk,
        client_properties=properties,
        mechanism=mechanism,
        response=response,
        locale="en_US",
    )


def tune_ok(channel_max: int = 2047, frame_max: int = 131_072, heartbeat: int = 60) -> Frame:
    return Connection.TuneOk(channel_max, frame_max, heartbeat)


def open_(vhost: str = "/") -> Frame:
    return build(Connection.Open, virtual_host=vhost)


def started(offer: Offer = OFFER, *, may_enter: bool = True) -> Handshake:
    handshake = new_handshake(offer, may_enter=may_enter)
    handshake.receive_header(PROTOCOL_HEADER)
    return handshake


def logged_in(offer: Offer = OFFER, *, may_enter: bool = True) -> Handshake:
    handshake = started(offer, may_enter=may_enter)
    assert isinstance(send(handshake, start_ok()), Connection.Tune)
    return handshake


def tuned(*, may_enter: bool = True) -> Handshake:
    handshake = logged_in(may_enter=may_enter)
    assert send(handshake, tune_ok()) is None
    return handshake


def opened() -> Handshake:
    handshake = tuned()
    assert isinstance(send(handshake, open_()), Connection.OpenOk)
    return handshake


def negotiated(channel_max: int, frame_max: int, heartbeat: int, offer: Offer = OFFER) -> Negotiated:
    handshake = logged_in(offer)
    send(handshake, tune_ok(channel_max, frame_max, heartbeat))
    send(handshake, open_())
    assert handshake.result is not None
    return handshake.result


@pytest.mark.spec("2.2.4")
def test_a_client_gets_from_header_to_open() -> None:
    handshake = new_handshake()

    start = decode_method(handshake.receive_header(PROTOCOL_HEADER)[7:-1], from_server=True)
    tune = send(handshake, start_ok())
    nothing = send(handshake, tune_ok(100, 8192, 20))
    open_ok = send(handshake, open_("größer"))

    assert isinstance(start, Connection.Start)
    assert (start.version_major, start.version_minor) == (0, 9)
    assert (start.mechanisms, start.locales) == ("PLAIN AMQPLAIN", "en_US")
    assert isinstance(tune, Connection.Tune)
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131_072, 60)
    assert nothing is None
    assert isinstance(open_ok, Connection.OpenOk)
    assert open_ok.known_hosts == ""
    assert handshake.is_authenticated
    assert not handshake.is_closed
    assert handshake.result == Negotiated(
        user="guest",
        vhost="größer",
        channel_max=100,
        frame_max=8192,
        heartbeat_s=20,
        client_properties=CAN_BE_TOLD,
        capabilities=frozenset({"authentication_failure_close"}),
        mechanism="PLAIN",
    )


def test_start_announces_what_clients_look_for() -> None:
    offer = replace(OFFER, version="9.8.7", cluster_name="hutch")

    start = decode_method(new_handshake(offer).receive_header(PROTOCOL_HEADER)[7:-1], from_server=True)

    assert isinstance(start, Connection.Start)
    properties = start.server_properties
    assert list(properties) == [
        "capabilities",
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
    ]
    assert properties["capabilities"] == dict.fromkeys(CAPABILITIES, True)
    assert (properties["product"], properties["version"]) == ("RabbitMQ", "9.8.7")
    assert properties["cluster_name"] == "hutch"


def test_the_start_frame_fits_what_clients_take_before_tuning() -> None:
    assert len(new_handshake().receive_header(PROTOCOL_HEADER)) < 4096


@pytest.mark.spec("4.2.2")
def test_the_header_of_0_9_is_served_too() -> None:
    start = decode_method(new_handshake().receive_header(PROTOCOL_HEADER_0_9)[7:-1], from_server=True)

    assert isinstance(start, Connection.Start)


@pytest.mark.spec("4.2.2")
@pytest.mark.parametrize(
    "header",
    [
        b"AMQP\x00\x00\x09\x00",
        b"AMQP\x00\x00\x0a\x01",
        b"AMQP\x01\x01\x08\x00",
        b"AMQP\x03\x01\x00\x00",
        b"AMQP\x00\x01\x00\x00",
        b"GET / HT",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        bytes(8),
        b"",
    ],
)
def test_any_other_header_is_answered_by_ours_and_the_end(header: bytes) -> None:
    handshake = new_handshake()

    assert handshake.receive_header(header) == PROTOCOL_HEADER
    assert handshake.is_closed
    assert handshake.result is None
    with pytest.raises(ConnectionDropped):
        send(handshake, start_ok())


def amqplain(**fields: object) -> bytes:
    return encode_fields(dict(fields))


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b"\0guest\0secret"),
        ("AMQPLAIN", amqplain(LOGIN="guest", PASSWORD="secret")),
        ("AMQPLAIN", amqplain(PASSWORD="secret", LOGIN="guest", MORE=1)),
    ],
)
def test_each_mechanism_logs_in(mechanism: str, response: bytes) -> None:
    handshake = started()

    assert isinstance(send(handshake, start_ok(response, mechanism)), Connection.Tune)
    assert handshake.user == "guest"
    assert handshake.is_authenticated


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [("PLAIN", b"\0u\0\xff\xfe"), ("AMQPLAIN", amqplain(LOGIN="u", PASSWORD=b"\xff\xfe"))],
)
def test_a_password_need_not_be_utf8(mechanism: str, response: bytes) -> None:
    asked: list[tuple[str, bytes | None]] = []

    def authenticate(user: str, password: bytes | None) -> bool:
        asked.append((user, password))
        return True

    handshake = Handshake(
        OFFER, authenticate=authenticate, has_vhost=lambda vhost: True, may_enter=lambda user, vhost: True
    )
    handshake.receive_header(PROTOCOL_HEADER)
    send(handshake, start_ok(response, mechanism))

    assert asked == [("u", b"\xff\xfe")]


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b"\0guest\0wrong"),
        ("PLAIN", b"\0guest\0"),
        ("PLAIN", b"\0\0secret"),
        ("AMQPLAIN", amqplain(LOGIN="guest", PASSWORD="wrong")),
        ("AMQPLAIN", amqplain(LOGIN="guest", PASSWORD="")),
    ],
)
def test_wrong_credentials_are_told_to_clients_that_announce_it(mechanism: str, response: bytes) -> None:
    handshake = started()

    with pytest.raises(LoginRefused) as caught:
        send(handshake, start_ok(response, mechanism))

    assert caught.value.reply_text == (
        f"ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. "
        "For details see the broker logfile."
    )
    assert (caught.value.class_id, caught.value.method_id) == (0, 0)
    assert not handshake.is_authenticated


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"capabilities": {}},
        {"capabilities": {"authentication_failure_close": False}},
        {"capabilities": {"authentication_failure_close": 1}},
        {"capabilities": "authentication_failure_close"},
    ],
)
def test_wrong_credentials_end_in_silence_for_other_clients(properties: FieldTable) -> None:
    handshake = started()

    with pytest.raises(ConnectionDropped, match="login of user 'guest' refused"):
        send(handshake, start_ok(b"\0guest\0wrong", properties=properties))
    assert handshake.user == "guest"


def test_external_is_who_the_certificate_says_without_a_password() -> None:
    asked: list[tuple[str, bytes | None]] = []

    def authenticate(user: str, password: bytes | None) -> bool:
        asked.append((user, password))
        return True

    handshake = Handshake(
        OFFER,
        authenticate=authenticate,
        has_vhost=lambda vhost: True,
        may_enter=lambda user, vhost: True,
        mechanisms={"EXTERNAL": external("client")},
    )
    handshake.receive_header(PROTOCOL_HEADER)
    handshake.receive_method(start_ok(b"whatever", mechanism="EXTERNAL"))
    assert asked == [("client", None)]
    assert handshake.user == "client"


def test_an_empty_password_is_refused_unasked() -> None:
    handshake = Handshake(
        OFFER,
        authenticate=lambda user, password: True,
        has_vhost=lambda vhost: True,
        may_enter=lambda user, vhost: True,
    )
    handshake.receive_header(PROTOCOL_HEADER)

    with pytest.raises(LoginRefused):
        send(handshake, start_ok(b"\0guest\0"))


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b""),
        ("PLAIN", b"guest"),
        ("PLAIN", b"guest\0secret"),
        ("PLAIN", b"guest\0guest\0secret"),
        ("PLAIN", b"\0guest\0secret\0"),
        ("PLAIN", b"\0\xff\0secret"),
        ("AMQPLAIN", b""),
        ("AMQPLAIN", b"\xff\xff"),
        ("AMQPLAIN", amqplain(LOGIN="guest")),
        ("AMQPLAIN", amqplain(LOGIN="guest", PASSWORD=5)),
        ("AMQPLAIN", amqplain(LOGIN=b"\xff", PASSWORD="secret")),
        ("AMQPLAIN", LOGIN),
    ],
)
def test_a_malformed_response_ends_in_silence(mechanism: str, response: bytes) -> None:
    with pytest.raises(ConnectionDropped, match=f"malformed {mechanism} response"):
        send(started(), start_ok(response, mechanism))


@pytest.mark.parametrize("mechanism", ["plain", "EXTERNAL", "", "ANONYMOUS"])
def test_a_mechanism_that_was_not_offered_ends_in_silence(mechanism: str) -> None:
    with pytest.raises(ConnectionDropped, match="unknown authentication mechanism"):
        send(started(), start_ok(mechanism=mechanism))


def test_a_mechanism_may_ask_again() -> None:
    def ask(response: bytes) -> Challenge:
        return Challenge(b"\xffpassword?", lambda password: Credentials(response.decode(), password))

    handshake = Handshake(
        OFFER,
        authenticate=lambda user, password: (user, password) == ("guest", b"secret"),
        has_vhost=lambda vhost: True,
        may_enter=lambda user, vhost: True,
        mechanisms={**MECHANISMS, "ASK": ask},
    )
    start = decode_method(handshake.receive_header(PROTOCOL_HEADER)[7:-1], from_server=True)
    secure = send(handshake, start_ok(b"guest", "ASK"))

    assert isinstance(start, Connection.Start)
    assert start.mechanisms == "PLAIN AMQPLAIN ASK"
    assert isinstance(secure, Connection.Secure)
    assert dict(secure)["challenge"] == b"\xffpassword?"
    assert not handshake.is_authenticated
    assert isinstance(send(handshake, build(Connection.SecureOk, response="secret")), Connection.Tune)
    assert handshake.is_authenticated


UNLIMITED = Offer(channel_max=0, frame_max=0, heartbeat_s=0)


@pytest.mark.parametrize(
    ("offer", "asked", "agreed"),
    [
        (OFFER, (2047, 131_072, 60), (2047, 131_072, 60)),
        (OFFER, (1, 4096, 1), (1, 4096, 1)),
        (OFFER, (0, 0, 0), (2047, 131_072, 0)),
        (OFFER, (10, 4097, 65_535), (10, 4097, 65_535)),
        (UNLIMITED, (0, 0, 0), (65_535, UNLIMITED_FRAME_OCTETS, 0)),
        (UNLIMITED, (65_535, 1 << 20, 30), (65_535, 1 << 20, 30)),
    ],
)
def test_tuning_takes_the_clients_values_and_zero_as_our_limit(
    offer: Offer, asked: tuple[int, int, int], agreed: tuple[int, int, int]
) -> None:
    result = negotiated(*asked, offer=offer)

    assert (result.channel_max, result.frame_max, result.heartbeat_s) == agreed


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ((2048, 0), "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)"),
        ((0, 131_073), "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"),
        ((0, 4095), "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"),
        ((0, 1), "negotiated frame_max = 1 is lower than the minimum allowed value (4096)"),
    ],
)
def test_tuning_out_of_bounds_is_told(asked: tuple[int, int], text: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        send(logged_in(), tune_ok(*asked))

    assert caught.value.detail == f"failed to negotiate connection parameters: {text}"
    assert (caught.value.class_id, caught.value.method_id) == (10, 31)


@pytest.mark.parametrize(
    ("vhost", "text"),
    [("nope", "NOT_ALLOWED - vhost nope not found"), ("", "NOT_ALLOWED - vhost  not found")],
)
def test_a_missing_vhost_is_not_allowed(vhost: str, text: str) -> None:
    handshake = tuned()

    with pytest.raises(NotAllowed) as caught:
        send(handshake, open_(vhost))

    assert caught.value.reply_text == text
    assert (caught.value.class_id, caught.value.method_id) == (10, 40)
    assert handshake.result is None


def test_a_vhost_without_permission_is_not_allowed() -> None:
    with pytest.raises(NotAllowed) as caught:
        send(tuned(may_enter=False), open_())

    assert caught.value.reply_text == "NOT_ALLOWED - access to vhost '/' refused for user 'guest'"
    assert (caught.value.class_id, caught.value.method_id) == (10, 40)


def test_a_limit_that_a_callback_raises_goes_through() -> None:
    def may_enter(user: str, vhost: str) -> bool:
        raise NotAllowed(f"connection refused for user '{user}': user connection limit (0) is reached")

    handshake = Handshake(
        OFFER, authenticate=lambda user, password: True, has_vhost=lambda vhost: True, may_enter=may_enter
    )
    handshake.receive_header(PROTOCOL_HEADER)
    send(handshake, start_ok())
    send(handshake, tune_ok())

    with pytest.raises(NotAllowed, match="user connection limit"):
        send(handshake, open_())


STEPS: dict[str, tuple[Callable[[], Handshake], type[Frame] | None]] = {
    "before the header": (new_handshake, None),
    "started": (started, Connection.StartOk),
    "logged in": (logged_in, Connection.TuneOk),
}
CLIENTS: list[Frame] = [
    start_ok(),
    build(Connection.SecureOk),
    tune_ok(),
    open_(),
    build(Connection.CloseOk),
    Connection.Start(),
    build(Connection.Blocked),
    build(Channel.Open),
    build(Basic.Publish),
]


OUT_OF_ORDER = [
    pytest.param(reach, method, id=f"{step}: {method.name}")
    for step, (reach, expected) in STEPS.items()
    for method in CLIENTS
    if expected is None or not isinstance(method, expected)
]


@pytest.mark.parametrize(("reach", "method"), OUT_OF_ORDER)
def test_a_method_out_of_order_ends_in_silence(reach: Callable[[], Handshake], method: Frame) -> None:
    with pytest.raises(ConnectionDropped, match="out of order"):
        send(reach(), method)


@pytest.mark.parametrize("method", [m for m in CLIENTS if not isinstance(m, Connection.Open)], ids=lambda m: m.name)
def test_a_method_in_place_of_open_is_a_channel_fault(method: Frame) -> None:
    with pytest.raises(ChannelFault) as caught:
        send(tuned(), method)

    assert caught.value.detail == "unexpected method in connection state opening"
    assert (caught.value.class_id, caught.value.method_id) == (method.index >> 16, method.index & 0xFFFF)


@pytest.mark.parametrize("reach", [logged_in, tuned])
def test_a_client_may_close_once_it_is_logged_in(reach: Callable[[], Handshake]) -> None:
    handshake = reach()

    assert isinstance(send(handshake, build(Connection.Close, reply_code=200)), Connection.CloseOk)
    assert handshake.is_closed
    assert handshake.result is None


def test_a_stranger_gets_no_answer_to_a_close() -> None:
    with pytest.raises(ConnectionDropped):
        send(started(), build(Connection.Close, reply_code=200))


def test_after_open_the_handshake_takes_nothing_more() -> None:
    with pytest.raises(ConnectionDropped):
        send(opened(), open_())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05P",
        b"\x00\x0a\x00\x63",
        b"\x00\x32\x00\x0b\x00" + bytes(8),
        encode_method(0, build(Connection.StartOk, mechanism=b"\xff"))[7:-1],
        encode_method(0, build(Connection.StartOk, client_properties={"k": 1}))[7:-1].replace(
            b"l" + bytes(7), b"q" + bytes(7)
        ),
    ],
)
def test_malformed_methods_of_strangers_end_in_silence(payload: bytes) -> None:
    with pytest.raises(ConnectionDropped, match="during the handshake"):
        started().receive(0, payload)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"\x00\x0a\x00\x28\x05", FrameError),
        (b"\x00\x0a\x00\x28\x01\xff\x00\x00", FrameError),
        (encode_method(0, start_ok())[7:-1].replace(b"t\x01", b"q\x01"), SyntaxFault),
    ],
)
def test_malformed_methods_of_users_are_told(payload: bytes, kind: type[AmqpError]) -> None:
    with pytest.raises(kind):
        tuned().receive(0, payload)


def test_another_channel_than_0_is_unexpected() -> None:
    with pytest.raises(ConnectionDropped):
        send(started(), build(Channel.Open), channel=1)
    with pytest.raises(UnexpectedFrame) as caught:
        send(tuned(), build(Channel.Open), channel=1)

    assert caught.value.reply_text == "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"
    assert (caught.value.class_id, caught.value.method_id) == (0, 0)


SCRIPT = [encode_method(0, method)[7:-1] for method in (start_ok(), tune_ok(), open_())]


@given(st.data())
def test_mutated_handshakes_end_in_known_ways(data: st.DataObject) -> None:
    script = [bytearray(payload) for payload in SCRIPT]
    octets = script[data.draw(st.integers(0, len(script) - 1))]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(octets)))
        octets[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    handshake = started()

    try:
        for payload in script:
            handshake.receive(0, bytes(payload))
    except (AmqpError, ConnectionDropped):
        assert handshake.result is None
        return
    assert handshake.result is not None or handshake.is_closed
