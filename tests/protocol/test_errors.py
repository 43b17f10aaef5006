"""Reply codes, names and texts of protocol.errors."""

import pytest

from protocol import errors
from protocol.errors import AmqpError, InternalFault, NotFound, erlang_binary, frame_excerpt

CHANNEL = {
    311: "CONTENT_TOO_LARGE",
    312: "NO_ROUTE",
    313: "NO_CONSUMERS",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
}
CONNECTION = {
    320: "CONNECTION_FORCED",
    402: "INVALID_PATH",
    403: "ACCESS_REFUSED",
    501: "FRAME_ERROR",
    502: "SYNTAX_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}


@pytest.mark.parametrize(
    ("scope", "names"), [(errors.ChannelException, CHANNEL), (errors.ConnectionException, CONNECTION)]
)
def test_each_reply_code_has_one_class_in_its_scope(scope: type[AmqpError], names: dict[int, str]) -> None:
    assert {kind.reply_code: kind.reply_name for kind in scope.__subclasses__()} == names
    assert len(scope.__subclasses__()) == len(names)


def test_the_reply_text_is_name_and_detail() -> None:
    error = NotFound("no queue 'q' in vhost '/'", class_id=50, method_id=10)

    assert error.reply_text == "NOT_FOUND - no queue 'q' in vhost '/'"
    assert str(error) == error.reply_text
    assert (error.class_id, error.method_id) == (50, 10)


def test_without_detail_the_reply_text_is_the_bare_name() -> None:
    assert InternalFault().reply_text == "INTERNAL_ERROR"
    assert (InternalFault().class_id, InternalFault().method_id) == (0, 0)


def test_a_text_of_255_octets_stays_whole() -> None:
    detail = "x" * (255 - len("NOT_FOUND - "))

    assert NotFound(detail).reply_text == f"NOT_FOUND - {detail}"


@pytest.mark.parametrize("length", range(241, 252))
def test_a_longer_text_is_cut_between_characters_and_marked(length: int) -> None:
    text = NotFound("x" * length + "é" * 10).reply_text

    assert len(text.encode()) in (254, 255)
    assert text.endswith("...")


def test_names_that_are_not_utf8_do_not_break_the_text() -> None:
    assert NotFound(b"k\xff".decode("utf-8", "surrogateescape")).reply_text == "NOT_FOUND - k?"


def test_a_drop_keeps_its_reason_for_the_log() -> None:
    assert errors.ConnectionDropped("no login").detail == "no login"


def test_octets_are_shown_as_erlang_binaries() -> None:
    assert erlang_binary(b"") == "<<>>"
    assert erlang_binary(b"\x00a\xff") == "<<0,97,255>>"


def test_long_octets_fill_a_reply_text_up_to_its_cut() -> None:
    text = errors.FrameError(f"cannot decode {erlang_binary(bytes(131_072))}").reply_text

    assert text == "FRAME_ERROR - cannot decode <<" + "0," * 111 + "..."
    assert len(text) == 255


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "type 4, all octets = <<>>"),
        (b"hello", 'type 4, all octets = <<"hello">>'),
        (b'a"\\', 'type 4, all octets = <<"a\\"\\\\">>'),
        (b"\x01\x02hello", "type 4, all octets = <<1,2,104,101,108,108,111>>"),
        (b"hello" * 4, 'type 4, first 16 octets = <<"hellohellohelloh">>'),
        (bytes(17), "type 4, first 16 octets = <<0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0>>"),
    ],
)
def test_an_excerpt_of_a_frame_reads_as_rabbitmqs(payload: bytes, expected: str) -> None:
    assert frame_excerpt(4, payload) == expected
