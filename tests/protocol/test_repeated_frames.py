"""Frames that clients repeat: known by their octets, and nothing else is taken for them."""

import pytest
from pamqp import commands

from protocol.errors import AmqpError, FrameError
from protocol.frames import FrameReader
from protocol.methods import build, encode_method
from protocol.repeated import REPEATED_OCTETS, MethodFrame
from tests.protocol.octets import publish_frame

FRAME_MAX = 4096
OPEN = encode_method(7, build(commands.Channel.Open))
CLOSE = encode_method(7, build(commands.Channel.Close, reply_code=200, reply_text="done"))

GET = encode_method(7, build(commands.Basic.Get, queue="q", no_ack=True))


def reader() -> FrameReader:
    return FrameReader(FRAME_MAX, 1 << 20)


def methods(*reads: bytes) -> list[MethodFrame]:
    cut = reader()
    events = [event for octets in reads for event in cut.feed(octets)]
    assert all(type(event) is MethodFrame for event in events)
    return [event for event in events if isinstance(event, MethodFrame)]


@pytest.mark.parametrize("octets", [OPEN, CLOSE, GET])
def test_the_same_octets_are_the_same_frame_in_all_connections(octets: bytes) -> None:
    (first,), (second,) = methods(octets), methods(octets)
    assert first is second
    assert (first.channel, first.payload) == (7, octets[7:-1])
    assert first.decoded() is second.decoded()


def test_frames_are_known_among_others_and_in_pieces() -> None:
    methods(OPEN, CLOSE)
    for reads in ((OPEN + CLOSE,), (OPEN[:5], OPEN[5:] + CLOSE[:9], CLOSE[9:])):
        assert [event.payload for event in methods(*reads)] == [OPEN[7:-1], CLOSE[7:-1]]


def test_a_read_of_many_alike_has_one_frame_again_and_again() -> None:
    (known,) = methods(GET)
    events = methods(GET * 3 + CLOSE + GET)
    assert [event is known for event in events] == [True, True, True, False, True]


def test_a_known_frame_does_not_end_one_that_has_begun() -> None:
    methods(OPEN)
    cut = reader()
    assert list(cut.feed(CLOSE[:4])) == []
    with pytest.raises(FrameError):
        list(cut.feed(OPEN))


def test_a_known_frame_within_a_message_is_an_error_as_it_was_before() -> None:
    methods(OPEN)
    cut = reader()
    assert list(cut.feed(publish_frame(channel=7))) == []
    with pytest.raises(AmqpError, match="got non content"):
        list(cut.feed(OPEN))
    with pytest.raises(AmqpError, match="got non content"):
        list(reader().feed(publish_frame(channel=7) + OPEN))


def test_long_frames_and_other_methods_come_anew_each_time() -> None:
    long = encode_method(0, build(commands.Connection.Close, reply_text="x" * REPEATED_OCTETS))
    other = encode_method(1, build(commands.Queue.Declare, queue="q"))
    for octets in (long, other):
        (first,), (second,) = methods(octets), methods(octets)
        assert first is not second
        assert first.payload == second.payload


def test_what_cannot_be_decoded_fails_each_time() -> None:
    malformed = OPEN[:3] + b"\x00\x00\x00\x06" + OPEN[7:12] + b"\x00\xce"
    for _ in range(2):
        (event,) = methods(malformed)
        with pytest.raises(FrameError):
            event.decoded()
