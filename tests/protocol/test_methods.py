"""Methods there and back, and every error that octets of a peer can cause."""

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.base import Frame
from pamqp.commands import Basic, Channel, Connection, Exchange, Queue, Tx

from protocol.errors import AmqpError, CommandInvalid, FrameError, NotImplementedFault, SyntaxFault
from protocol.methods import (
    AccessRequest,
    AccessRequestOk,
    QueueDeclareOk,
    build,
    decode_method,
    encode_empty,
    encode_method,
    ids_of,
)
from protocol.tables import Byte, type_name

TABLE = {"x-message-ttl": 60_000, "x-queue-type": "classic", "deep": {"list": [1, "two", None, True, 0.1]}}
CLASSES: list[type[Frame]] = [*commands.INDEX_MAPPING.values(), AccessRequest, AccessRequestOk]


def sample(method_class: type[Frame]) -> Frame:
    """A method with every field set to something but its default."""
    values = {
        "bit": True,
        "octet": 200,
        "short": 65_000,
        "long": 4_000_000_000,
        "longlong": 2**64 - 2,
        "shortstr": "a|b ü",
        "longstr": "long ü",
        "table": TABLE,
    }
    return build(method_class, **{name: values[method_class.amqp_type(name)] for name in method_class.attributes()})


def fields(method: Frame) -> dict[str, object]:
    return {name: getattr(method, name) for name in CLASS_OF[method.index].attributes()}


CLASS_OF = {method_class.index: method_class for method_class in CLASSES}
FROM_CLIENT = [
    *(Channel.Open, Channel.Flow, Channel.Close, Channel.CloseOk, AccessRequest),
    *(Exchange.Declare, Exchange.Delete, Exchange.Bind, Exchange.Unbind),
    *(Queue.Declare, Queue.Bind, Queue.Unbind, Queue.Purge, Queue.Delete),
    *(Basic.Qos, Basic.Consume, Basic.Cancel, Basic.Publish, Basic.Get),
    *(Basic.Ack, Basic.Reject, Basic.Nack, Basic.Recover, Basic.RecoverAsync),
    *(commands.Confirm.Select, Tx.Select, Tx.Commit, Tx.Rollback),
]
IN_BOTH_DIRECTIONS = [*FROM_CLIENT, *(kind for kind in CLASSES if kind.name.startswith("Connection."))]
ONLY_FROM_SERVER = [kind for kind in CLASSES if kind not in IN_BOTH_DIRECTIONS]


def payload_of(method: Frame) -> bytes:
    return encode_method(1, method)[7:-1]


def refused(payload: bytes) -> AmqpError:
    with pytest.raises(AmqpError) as caught:
        decode_method(payload)
    return caught.value


@pytest.mark.parametrize("method_class", CLASSES, ids=lambda kind: kind.name)
def test_every_method_comes_back_field_for_field(method_class: type[Frame]) -> None:
    method = sample(method_class)

    frame = encode_method(513, method)
    decoded = decode_method(frame[7:-1], from_server=True)

    assert frame[:3] == b"\x01\x02\x01"
    assert int.from_bytes(frame[3:7]) == len(frame) - 8
    assert frame[-1] == 0xCE
    assert type(decoded) is method_class
    assert fields(decoded) == fields(method)


@pytest.mark.parametrize("method_class", CLASSES, ids=lambda kind: kind.name)
def test_every_method_comes_back_with_defaults(method_class: type[Frame]) -> None:
    decoded = decode_method(payload_of(build(method_class)), from_server=True)

    assert fields(decoded) == fields(build(method_class))


@pytest.mark.parametrize("method_class", CLASSES, ids=lambda kind: kind.name)
def test_pamqp_agrees_on_the_octets(method_class: type[Frame]) -> None:
    reserved = {Channel.Open: {"out_of_band": "0"}, Channel.OpenOk: {"channel_id": "0"}}
    method = build(method_class, **reserved.get(method_class, {}))

    payload = payload_of(method)

    assert payload == b"".join(number.to_bytes(2) for number in ids_of(method)) + method.marshal()


@pytest.mark.parametrize("method_class", FROM_CLIENT, ids=lambda kind: kind.name)
def test_a_method_cut_at_any_octet_cannot_be_decoded(method_class: type[Frame]) -> None:
    payload = payload_of(sample(method_class))

    for length in range(4, len(payload)):
        error = refused(payload[:length])
        assert isinstance(error, FrameError)
        shown = ",".join(map(str, payload[4:length]))
        assert f"cannot decode <<{shown}>>".startswith(error.detail.split(",...")[0])
        assert (error.class_id, error.method_id) == ids_of(sample(method_class))


@pytest.mark.parametrize("method_class", FROM_CLIENT, ids=lambda kind: kind.name)
def test_octets_left_over_cannot_be_decoded(method_class: type[Frame]) -> None:
    error = refused(payload_of(sample(method_class)) + b"\x00")

    assert isinstance(error, FrameError)
    assert error.detail.startswith("cannot decode <<")


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\x3c\x00"])
def test_a_payload_without_ids_is_no_method_frame(payload: bytes) -> None:
    error = refused(payload)

    assert isinstance(error, FrameError)
    assert error.detail.startswith("type 1, all octets = <<")
    assert error.detail.endswith(">>: unknown_frame")
    assert (error.class_id, error.method_id) == (0, 0)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"\x00\x3c\x00\x0a\x00\x00\x00\x00\x00", "FRAME_ERROR - cannot decode <<0,0,0,0,0>>"),
        (b"\x00\x5a\x00\x0ax", "FRAME_ERROR - cannot decode <<120>>"),
        (b"\x00\x3c\x00\x0a", "FRAME_ERROR - cannot decode <<>>"),
        (b"\x00\x3c\x00\x0a" + bytes(400), "FRAME_ERROR - cannot decode <<" + "0," * 111 + "..."),
    ],
)
def test_the_texts_of_undecodable_methods_are_rabbitmqs(payload: bytes, text: str) -> None:
    assert refused(payload).reply_text == text


@pytest.mark.parametrize("method_class", [*FROM_CLIENT, Connection.Open], ids=lambda kind: kind.name)
def test_a_name_that_is_not_utf8_is_a_frame_error(method_class: type[Frame]) -> None:
    names = [name for name in method_class.attributes() if method_class.amqp_type(name) == "shortstr"]
    for name in names:
        error = refused(payload_of(build(method_class, **{name: b"\xff\xfe"})))
        assert error.reply_text == "FRAME_ERROR - Malformed UTF-8 in shortstr"
        assert (error.class_id, error.method_id) == (0, 0)


def test_a_cut_method_is_told_as_cut_even_if_its_name_is_malformed_too() -> None:
    payload = payload_of(build(Queue.Declare, queue=b"\xff"))

    assert refused(payload[:-1]).detail.startswith("cannot decode")


@pytest.mark.parametrize("ids", [(60, 99), (61, 10), (0, 0), (50, 0), (65535, 65535), (10, 99)])
def test_an_unknown_method_is_not_implemented(ids: tuple[int, int]) -> None:
    error = refused(ids[0].to_bytes(2) + ids[1].to_bytes(2) + b"anything")

    assert isinstance(error, NotImplementedFault)
    assert error.detail == f"unknown method {ids[0]}.{ids[1]}"
    assert (error.class_id, error.method_id) == ids


@pytest.mark.parametrize("method_class", ONLY_FROM_SERVER, ids=lambda kind: kind.name)
def test_a_method_that_only_servers_send_is_an_invalid_command(method_class: type[Frame]) -> None:
    error = refused(payload_of(sample(method_class)))

    assert isinstance(error, CommandInvalid)
    assert error.reply_text == "COMMAND_INVALID - unimplemented method"
    assert (error.class_id, error.method_id) == ids_of(sample(method_class))


@pytest.mark.parametrize("method_class", IN_BOTH_DIRECTIONS, ids=lambda kind: kind.name)
def test_what_clients_may_send_passes(method_class: type[Frame]) -> None:
    assert type(decode_method(payload_of(sample(method_class)))) is method_class


@pytest.mark.parametrize("body", [b"\x01kq1234", b"\x01kS\x00\x00\x00\x09abc", b"\x05k", b"\x01k"])
def test_a_malformed_table_is_a_syntax_fault_of_its_method(body: bytes) -> None:
    declare = payload_of(build(Queue.Declare, queue="q"))[:-4] + len(body).to_bytes(4) + body

    error = refused(declare)

    assert isinstance(error, SyntaxFault)
    assert error.detail.startswith("malformed field table: ")
    assert (error.class_id, error.method_id) == (50, 10)


def test_a_table_beyond_the_methods_end_is_a_cut_method() -> None:
    declare = payload_of(build(Queue.Declare, queue="q"))[:-4] + b"\x00\x00\x00\x05abcd"

    assert refused(declare).detail.startswith("cannot decode")


def test_tables_keep_the_width_of_integers() -> None:
    declare = decode_method(payload_of(build(Queue.Declare, arguments={"x-max-priority": Byte(5)})))

    assert isinstance(declare, Queue.Declare)
    assert isinstance(declare.arguments, dict)
    assert type_name(declare.arguments["x-max-priority"]) == "byte"


def test_a_long_string_that_is_not_utf8_stays_octets() -> None:
    start_ok = decode_method(payload_of(build(Connection.StartOk, response=b"\xff\x00")))

    assert fields(start_ok)["response"] == b"\xff\x00"


@pytest.mark.parametrize("name", ["a|b", "%", "ünï", "x" * 255, "", "new\nline"])
def test_declare_ok_takes_every_name(name: str) -> None:
    frame = encode_method(1, QueueDeclareOk(name, 3, 4))

    decoded = decode_method(frame[7:-1], from_server=True)

    assert fields(decoded) == {"queue": name, "message_count": 3, "consumer_count": 4}


def test_the_ticket_of_access_request_is_1() -> None:
    assert payload_of(AccessRequestOk()) == b"\x00\x1e\x00\x0b\x00\x01"


def test_unset_fields_are_sent_as_zero_and_empty() -> None:
    decoded = decode_method(payload_of(Connection.Close()))

    assert fields(decoded) == {"reply_code": 0, "reply_text": "", "class_id": 0, "method_id": 0}


def test_a_short_string_over_255_octets_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="over 255 octets"):
        encode_method(1, build(Basic.ConsumeOk, consumer_tag="é" * 128))


def test_a_table_field_that_is_no_table_is_our_own_bug() -> None:
    with pytest.raises(TypeError, match="a table, not list"):
        encode_method(1, build(Queue.Declare, arguments=["x"]))


def test_building_with_an_unknown_field_is_our_own_bug() -> None:
    with pytest.raises(TypeError, match="no durably"):
        build(Queue.Declare, durably=True)


def test_built_methods_do_not_share_their_tables() -> None:
    first = build(Queue.Declare)
    assert isinstance(first.arguments, dict)
    first.arguments["x"] = 1

    assert build(Queue.Declare).arguments == {}


PAYLOADS = [payload_of(sample(method_class)) for method_class in CLASSES]


@given(st.sampled_from(PAYLOADS), st.data())
def test_mutated_methods_decode_or_are_amqp_errors(payload: bytes, data: st.DataObject) -> None:
    octets = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets)))
        octets[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))

    try:
        method = decode_method(bytes(octets))
    except AmqpError as error:
        event(type(error).__name__)
        return
    # By octets, because a NaN in a table equals nothing.
    encoded = payload_of(method)
    assert payload_of(decode_method(encoded)) == encoded


@given(st.binary(max_size=60))
def test_random_octets_decode_or_are_amqp_errors(octets: bytes) -> None:
    try:
        decode_method(octets)
    except AmqpError as error:
        event(type(error).__name__)


@pytest.mark.parametrize(
    "method_class", [commands.Channel.OpenOk, commands.Channel.CloseOk, commands.Connection.CloseOk]
)
def test_empty_methods_are_encoded_as_any_other(method_class: type[Frame]) -> None:
    for channel in (7, 1, 7):
        assert encode_empty(channel, method_class) == encode_method(channel, build(method_class))


def test_what_clients_send_alike_is_decoded_alike_and_by_whom_it_may_be_sent() -> None:
    payload = encode_method(1, build(commands.Channel.Open))[7:-1]
    first, second = decode_method(payload), decode_method(bytes(bytearray(payload)))
    assert (first.name, first == second) == ("Channel.Open", True)
    answer = encode_method(1, build(commands.Channel.OpenOk))[7:-1]
    decode_method(answer, from_server=True)
    with pytest.raises(CommandInvalid):
        decode_method(answer)
