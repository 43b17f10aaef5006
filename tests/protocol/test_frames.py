"""FrameReader: the same events whatever way the octets are cut, and the right error for what is no AMQP."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.acks import Ack
from protocol.errors import AmqpError, FrameError, UnexpectedFrame
from protocol.frames import Event, FrameReader, OversizeContent
from protocol.repeated import MethodFrame
from protocol.runs import GroupedRun, PublishRun
from tests.protocol.octets import (
    PERSISTENT,
    PLAIN,
    ack_frame,
    content_frames,
    frame,
    message,
    publish_frame,
    short,
)

FRAME_MAX = 4096
MAX_MESSAGE = 1 << 20

Told = tuple[object, ...]


def new_reader() -> FrameReader:
    return FrameReader(FRAME_MAX, MAX_MESSAGE)


def told(events: list[Event]) -> list[Told]:
    """Return events message by message and tag by tag, so that runs cut differently compare equal."""
    flat: list[Told] = []
    for each in events:
        event = each.in_order() if isinstance(each, GroupedRun) else each
        if isinstance(event, PublishRun):
            publish = event.publish
            keys = event.routing_keys or [publish.routing_key] * len(event.pieces)
            for key, piece in zip(keys, event.pieces, strict=True):
                shape, own = event.shape.alone(piece)
                assert shape.routing_key == key
                octets = shape.lead + own
                flat.append((publish.channel, publish.exchange, key, shape.facts.persistent, octets))
        elif isinstance(event, Ack):
            flat += [(event.channel, event.first_tag + n, event.multiple) for n in range(event.count)]
        elif isinstance(event, MethodFrame):
            flat.append((event.channel, event.payload))
        else:
            flat.append((event.channel, event.body_octets))
    return flat


def feed(*reads: bytes) -> list[Told]:
    reader = new_reader()
    return told([event for read in reads for event in reader.feed(read)])


def as_published(body: bytes, key: bytes = b"q", properties: bytes = PLAIN, channel: int = 1) -> Told:
    largest = FRAME_MAX - 8
    frames = content_frames(body, properties, channel, largest)
    return (channel, "", key.decode(), properties == PERSISTENT, frames)


def test_run_of_one_header_comes_as_one_event() -> None:
    reader = new_reader()
    warm_up = list(reader.feed(message(b"0123456789")))
    events = list(reader.feed(message(b"0123456789") * 50))
    assert len(warm_up) == 1
    assert [len(event.pieces) for event in events if isinstance(event, PublishRun)] == [50]


def test_run_of_changing_headers_comes_as_one_event() -> None:
    reader = new_reader()
    octets = b"".join(message(b"x" * n, properties=b"\x80\x00" + short(b"t%d" % n)) for n in range(1, 40))
    events = list(reader.feed(octets))
    assert [len(event.pieces) for event in events if isinstance(event, PublishRun)] == [39]


def test_consecutive_acks_come_as_one_event() -> None:
    events = list(new_reader().feed(b"".join(ack_frame(tag) for tag in range(65000, 66100))))
    assert [(event.first_tag, event.count) for event in events if isinstance(event, Ack)] == [(65000, 1100)]


def test_acks_with_a_gap_a_multiple_and_a_far_tag_keep_their_meaning() -> None:
    tags = [(1, False), (2, False), (4, False), (260, False), (300, True), (301, False), (301 + (1 << 40), False)]
    octets = b"".join(ack_frame(tag, multiple) for tag, multiple in tags)
    assert feed(octets) == [(1, tag, multiple) for tag, multiple in tags]


def test_body_that_holds_the_whole_prefix_is_not_cut() -> None:
    tricky = message(b"yy")[:-3]
    body = (tricky + b"yy\xce" + tricky)[: len(message(b"yy")) * 2]
    expected = [as_published(body)] * 20
    assert feed(message(body) * 20) == expected


def test_message_without_body_is_complete_with_its_header() -> None:
    assert feed(message(b"") * 3) == [as_published(b"")] * 3


def test_body_over_many_frames_arrives_whole() -> None:
    body = bytes(range(256)) * 64
    assert feed(message(body, largest=FRAME_MAX - 8)) == [as_published(body)]


def test_empty_body_frames_inside_a_body_are_accepted() -> None:
    octets = publish_frame() + content_frames(b"abcd")[: 7 + 14 + 1]
    octets += frame(3, 1, b"ab") + frame(3, 1, b"") + frame(3, 1, b"cd")
    events = list(new_reader().feed(octets))
    assert [event.shape.body(event.pieces[0]) for event in events if isinstance(event, PublishRun)] == [b"abcd"]


def test_contents_of_two_channels_may_interleave() -> None:
    first, second = content_frames(b"one", channel=1), content_frames(b"two", channel=2)
    octets = publish_frame(channel=1) + publish_frame(channel=2) + second + first
    assert feed(octets) == [as_published(b"two", channel=2), as_published(b"one", channel=1)]


def test_message_over_the_limit_is_told_but_not_kept() -> None:
    reader = FrameReader(FRAME_MAX, 10_000)
    body = b"x" * 10_001
    events = list(reader.feed(message(body, largest=4000) + ack_frame(1)))
    assert [type(event) for event in events] == [OversizeContent, Ack]


def test_heartbeats_are_silent() -> None:
    assert feed(frame(8, 0, b"") * 3 + ack_frame(9)) == [(1, 9, False)]


MIXED = (
    message(b"a" * 16) * 3
    + message(b"b" * 7, key=b"other") * 2
    + ack_frame(1)
    + ack_frame(2)
    + frame(1, 1, b"\x00\x3c\x00\x46\x00\x00\x01q\x00")
    + message(b"", properties=PERSISTENT)
    + message(b"c" * 5000, largest=FRAME_MAX - 8)
    + frame(8, 0, b"")
    + message(b"d", properties=PERSISTENT) * 2
)


def test_octet_by_octet_gives_the_same_events_as_whole() -> None:
    assert feed(*(MIXED[at : at + 1] for at in range(len(MIXED)))) == feed(MIXED)


def test_trailing_octets_wait_for_the_rest() -> None:
    reader = new_reader()
    assert told(list(reader.feed(MIXED + MIXED[:40]))) == feed(MIXED)
    assert told(list(reader.feed(MIXED[40:]))) == feed(MIXED)


bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"x" * 16, message(b"x" * 16)[:30], message(b"x" * 16), b"\xce" * 9]),
    st.integers(0, 9000).map(lambda size: b"z" * size),
)
messages = st.tuples(bodies, st.sampled_from([b"q", b"r"]), st.sampled_from([PLAIN, PERSISTENT]), st.integers(1, 2))


@st.composite
def sessions(draw: st.DrawFn) -> tuple[bytes, list[Told]]:
    octets, expected = b"", []
    for _ in range(draw(st.integers(1, 8))):
        repeats = draw(st.sampled_from([1, 1, 2, 5, 30]))
        if draw(st.booleans()):
            body, key, properties, channel = draw(messages)
            octets += message(body, key, properties, channel, FRAME_MAX - 8) * repeats
            expected += [as_published(body, key, properties, channel)] * repeats
        else:
            first = draw(st.one_of(st.integers(1, 100), st.integers(60_000, 70_000)))
            octets += b"".join(ack_frame(first + n) for n in range(repeats))
            expected += [(1, first + n, False) for n in range(repeats)]
    return octets, expected


@settings(max_examples=300, deadline=None)
@given(sessions(), st.lists(st.integers(1, 4000), max_size=6))
def test_any_session_cut_anywhere_gives_what_was_sent(session: tuple[bytes, list[Told]], cuts: list[int]) -> None:
    octets, expected = session
    reads, at = [], 0
    for size in cuts:
        reads.append(octets[at : at + size])
        at += size
    assert feed(*reads, octets[at:]) == expected


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(MIXED) - 1), st.integers(0, 255), st.integers(1, 200))
def test_a_changed_octet_raises_nothing_but_amqp_errors(place: int, octet: int, chunk: int) -> None:
    octets = bytearray(MIXED)
    octets[place] = octet
    reader = new_reader()
    try:
        for at in range(0, len(octets), chunk):
            list(reader.feed(bytes(octets[at : at + chunk])))
    except AmqpError as error:
        assert error.reply_code in (501, 505)  # noqa: PT017


HEADER = frame(2, 1, b"\x00\x3c\x00\x00" + bytes(7) + b"\x02\x00\x00")


@pytest.mark.parametrize(
    ("octets", "error", "text", "ids"),
    [
        (frame(1, 1, b"\x00\x3c\x00\x46")[:-1] + b"\x00", FrameError, "{invalid_frame_end_marker,0}", (0, 0)),
        (ack_frame(1)[:-1] + b"\x07", FrameError, "{invalid_frame_end_marker,7}", (0, 0)),
        (publish_frame()[:-1] + b"\x01", FrameError, "{invalid_frame_end_marker,1}", (0, 0)),
        (frame(4, 0, b""), FrameError, "type 4, all octets = <<>>: unknown_frame", (0, 0)),
        (frame(8, 0, b"x"), FrameError, 'type 8, all octets = <<"x">>: unknown_frame', (0, 0)),
        (frame(8, 3, b""), UnexpectedFrame, "type 8, all octets = <<>>", (0, 0)),
        (b"\x03\x00\x01\x00\x00\x10\x01", FrameError, "{frame_too_large,4097,4088}", (0, 0)),
        (HEADER, UnexpectedFrame, "expected method frame, got non method frame instead", (0, 0)),
        (
            publish_frame() + frame(3, 1, b"x"),
            UnexpectedFrame,
            "expected content header for class 60, got non content header frame instead",
            (60, 40),
        ),
        (
            publish_frame() + frame(2, 1, b"\x00\x32" + bytes(12)),
            UnexpectedFrame,
            "expected content header for class 60, got one for class 50 instead",
            (60, 40),
        ),
        (
            publish_frame() + HEADER + ack_frame(1),
            UnexpectedFrame,
            "expected content body, got non content body frame instead",
            (60, 40),
        ),
        (
            publish_frame() + HEADER + frame(3, 1, b"xxx"),
            FrameError,
            "content body frame exceeds remaining content size",
            (60, 40),
        ),
        (message(b"x") + frame(3, 1, b"x"), UnexpectedFrame, "expected method frame", (0, 0)),
        (frame(1, 1, b"\x00\x3c\x00\x28\x00\x00\x05ab"), FrameError, "cannot decode <<", (60, 40)),
        (frame(1, 1, b"\x00\x3c\x00\x28\x00\x00\x00\x00\x00\x00"), FrameError, "cannot decode <<", (60, 40)),
        (publish_frame(key=b"\xff"), FrameError, "Malformed UTF-8 in shortstr", (0, 0)),
    ],
)
@pytest.mark.spec("4.2.3")
def test_misuse_is_refused(octets: bytes, error: type[AmqpError], text: str, ids: tuple[int, int]) -> None:
    with pytest.raises(error) as caught:
        feed(octets)
    assert text in caught.value.detail
    assert (caught.value.class_id, caught.value.method_id) == ids


@pytest.mark.parametrize("octets_left", [40, 18])
def test_other_channels_are_served_in_the_middle_of_a_content(octets_left: int) -> None:
    """After the method, and after the header: what follows is looked at when it is whole, whatever its channel."""
    whole = message(b"0123456789")
    reader = new_reader()
    list(reader.feed(whole[:-octets_left]))
    assert told(list(reader.feed(frame(1, 2, b"\x00\x5a\x00\x0a")))) == [(2, b"\x00\x5a\x00\x0a")]
    assert told(list(reader.feed(whole[-octets_left:]))) == [as_published(b"0123456789")]


def test_reads_that_are_one_message_or_one_ack_each_are_told_as_if_they_came_together() -> None:
    parts = [
        *[message(b"0123456789")] * 3,
        ack_frame(1),
        message(b"9876543210"),
        ack_frame(2, multiple=True, channel=3),
        message(b"0123456789", key=b"other"),
        *[message(b"")] * 3,
        *[message(b"x" * 10, properties=PERSISTENT)] * 3,
        frame(8, 0, b""),
        ack_frame(3),
        publish_frame() + content_frames(b"y" * 5000, largest=FRAME_MAX - 8),
    ]
    assert feed(*parts) == feed(b"".join(parts))


def test_ack_between_the_frames_of_a_message_is_an_error_though_it_is_a_read_of_its_own() -> None:
    reader = new_reader()
    assert list(reader.feed(publish_frame())) == []
    with pytest.raises(UnexpectedFrame):
        list(reader.feed(ack_frame(1)))


def test_wrong_frame_end_of_a_message_or_an_ack_that_is_a_read_of_its_own_is_an_error() -> None:
    for octets in (message(b"0123456789"), ack_frame(1)):
        reader = new_reader()
        for _ in range(2):
            list(reader.feed(octets))
        with pytest.raises(FrameError):
            list(reader.feed(octets[:-1] + b"\x00"))
