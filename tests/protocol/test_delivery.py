"""Deliveries, get-ok and returns: what a client reads is what was published, whatever channel and frame size."""

from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.content import header_facts
from protocol.delivery import DeliveryWriter, TurnHeads, confirm, get_ok, refuse, returned, write_each
from protocol.errors import FrameError
from protocol.frames import FrameReader
from protocol.headers import decode_headers
from protocol.runs import PublishRun
from tests.protocol.octets import PERSISTENT, PLAIN, content_frames, frame, message, short


def runs(octets: bytes) -> list[PublishRun]:
    events = list(FrameReader(131072, 1 << 27).feed(octets))
    return [event for event in events if isinstance(event, PublishRun)]


def deliver_frame(tag: bytes, delivery_tag: int, redelivered: bool, key: bytes, channel: int) -> bytes:
    payload = b"\x00\x3c\x00\x3c" + short(tag) + delivery_tag.to_bytes(8) + bytes((redelivered,))
    return frame(1, channel, payload + short(b"") + short(key))


def delivered(writer: DeliveryWriter, octets: bytes, first_tag: int, redelivered: bool = False) -> bytes:
    out: list[bytes] = []
    for run in runs(octets):
        writer.write(out, run.shape, run.pieces, first_tag, redelivered)
        first_tag += len(run.pieces)
    return b"".join(out)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9000), st.sampled_from([PLAIN, PERSISTENT]), st.integers(1, 4)), max_size=6),
    st.sampled_from([1, 5, 65535]),
    st.sampled_from([4096, 131072]),
    st.sampled_from([1, 65534, 65536 * 3 - 2]),
    st.booleans(),
)
def test_each_message_is_delivered_with_its_tag_and_content(
    contents: list[tuple[int, bytes, int]], channel: int, frame_max: int, first_tag: int, redelivered: bool
) -> None:
    bodies = [(b"%d" % size * size, props) for size, props, repeats in contents for _ in range(repeats)]
    octets = b"".join(message(body, properties=props) for body, props in bodies)
    expected = b"".join(
        deliver_frame(b"ctag", first_tag + place, redelivered, b"q", channel)
        + content_frames(body, props, channel, frame_max - 8)
        for place, (body, props) in enumerate(bodies)
    )
    assert delivered(DeliveryWriter(channel, "ctag", frame_max), octets, first_tag, redelivered) == expected


def test_tags_go_on_over_a_block_of_65536() -> None:
    writer = DeliveryWriter(1, "c", 131072)
    run = runs(message(b"ab") * 2)[0]
    pieces = [run.pieces[0]] * 140_000
    out: list[bytes] = []
    writer.write(out, run.shape, pieces, 65_000, False)
    size = len(b"".join(out)) // 140_000
    tags = [int.from_bytes(b"".join(out[at : at + 2])[-8:]) for at in range(0, len(out), 4)]
    assert tags == list(range(65_000, 205_000))
    assert size == len(deliver_frame(b"c", 1, False, b"q", 1) + content_frames(b"ab"))


@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from([PLAIN, PERSISTENT]), st.integers(1, 5)), min_size=1),
    st.sampled_from([1, 5]),
    st.sampled_from([4096, 131072]),
    st.sampled_from([1, 65530, 65536 * 3 - 2]),
    st.booleans(),
)
@example([(1, PLAIN, 1)], 1, 131072, 1, True)
def test_runs_for_several_consumers_are_written_as_one_after_another(
    contents: list[tuple[int, bytes, int]], channel: int, frame_max: int, first_tag: int, has_keys: bool
) -> None:
    each = [
        run
        for place, (size, properties, repeats) in enumerate(contents)
        for run in runs(message(bytes(size), b"key %d" % place, properties) * repeats)
    ]
    if has_keys:
        each += runs(b"".join(message(b"body", b"k" * size) for size in range(9)))
        assert each[-1].shape.is_keyed
    tags = [f"ctag {place % 3}" for place in range(len(each))]
    expected: list[bytes] = []
    tag = first_tag
    for run, name in zip(each, tags, strict=True):
        DeliveryWriter(channel, name, frame_max).write(expected, run.shape, run.pieces, tag, False)
        tag += len(run.pieces)
    out: list[bytes] = []
    writers = [DeliveryWriter(channel, name, frame_max) for name in tags]
    write_each(out, writers, [run.shape for run in each], [run.pieces for run in each], first_tag)
    assert b"".join(out) == b"".join(expected)


def test_get_ok_tells_how_many_are_left() -> None:
    run = runs(message(b"body"))[0]
    octets = get_ok(run.shape, run.pieces[0], 3, 131072, 9, True, 41)
    payload = b"\x00\x3c\x00\x47" + (9).to_bytes(8) + b"\x01" + short(b"") + short(b"q") + (41).to_bytes(4)
    assert octets == frame(1, 3, payload) + content_frames(b"body", channel=3)


def test_return_repeats_address_and_content() -> None:
    run = runs(message(b"body", exchange=b"x"))[0]
    octets = returned(run.shape, run.pieces[0], 1, 131072, 312, "NO_ROUTE")
    payload = b"\x00\x3c\x00\x32" + (312).to_bytes(2) + short(b"NO_ROUTE") + short(b"x") + short(b"q")
    assert octets == frame(1, 1, payload) + content_frames(b"body")


@pytest.mark.parametrize(("multiple", "bit"), [(False, 0), (True, 1)])
def test_confirms_carry_their_tag(multiple: bool, bit: int) -> None:
    tag = (1 << 33).to_bytes(8)
    assert confirm(2, 1 << 33, multiple) == frame(1, 2, b"\x00\x3c\x00\x50" + tag + bytes((bit,)))
    assert refuse(2, 1 << 33, multiple) == frame(1, 2, b"\x00\x3c\x00\x78" + tag + bytes((2 + bit,)))


ALL_PROPERTIES = (
    b"\xff\xfc"
    + short(b"text/plain")
    + short(b"gzip")
    + (4).to_bytes(4)
    + b"\x01kt\x01"
    + b"\x02\x07"
    + short(b"correlation")
    + short(b"amq.rabbitmq.reply-to")
    + short(b"60000")
    + short(b"id")
    + bytes(8)
    + short(b"type")
    + short(b"guest")
    + short(b"app")
    + short(b"cluster")
)


def header_payload(properties: bytes) -> bytes:
    return b"\x00\x3c\x00\x00" + bytes(8) + properties


def test_facts_are_found_behind_all_other_properties() -> None:
    facts = header_facts(header_payload(ALL_PROPERTIES))
    assert (facts.persistent, facts.priority, facts.expiration) == (True, 7, "60000")
    assert (facts.user_id, facts.reply_to) == ("guest", "amq.rabbitmq.reply-to")
    assert decode_headers(header_payload(ALL_PROPERTIES)) == {"k": True}


@pytest.mark.parametrize(
    "properties",
    [
        b"\x80\x00\x05ab",
        b"\x20\x00\x00\x00\x00\x09ab",
        b"\x01\x00\x04ab",
        b"\x00\x10\x04ab",
        b"\x10\x00",
        b"\x00\x01",
    ],
)
def test_property_over_the_end_is_refused(properties: bytes) -> None:
    with pytest.raises(FrameError):
        header_facts(header_payload(properties))


def test_every_cut_of_a_full_header_is_refused_or_read() -> None:
    whole = header_payload(ALL_PROPERTIES)
    for stop in chain(range(14), range(15, len(whole))):
        try:
            header_facts(whole[:stop])
        except FrameError as error:
            assert error.reply_code == 501  # noqa: PT017


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.sampled_from([1, 7]),
    st.sampled_from([4096, 131072]),
    st.sampled_from([1, 65530, 65536 * 3 - 2]),
    st.booleans(),
)
def test_consumers_who_take_turns_get_what_each_would_get_alone(
    count: int, consumer_count: int, channel: int, frame_max: int, first_tag: int, redelivered: bool
) -> None:
    writers = [DeliveryWriter(channel, "c" * (1 + number), frame_max) for number in range(consumer_count)]
    run = runs(b"".join(message(b"%05d" % number) for number in range(1 + count)))[-1]
    together: list[bytes] = []
    writers[0].write_turns(together, writers, run.shape, run.pieces, first_tag, redelivered, TurnHeads())
    alone: list[bytes] = []
    for place, piece in enumerate(run.pieces):
        writers[place % consumer_count].write(alone, run.shape, [piece], first_tag + place, redelivered)
    assert b"".join(together) == b"".join(alone)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9), st.integers(0, 1)), max_size=12),
    st.sampled_from([1, 65536 - 20]),
)
def test_turns_that_follow_others_are_written_as_the_first(turns: list[tuple[int, int, int]], first_tag: int) -> None:
    """Who begins, how many take part and what is published may change from one time to the next."""
    ring = [DeliveryWriter(1, "c" * (1 + number), 4096) for number in range(9)]
    published = [runs(message(b"first") * 20)[-1], runs(message(b"other body") * 15)[-1]]
    known = TurnHeads()
    for begin, writer_count, which in turns:
        writers = (ring[begin:] + ring[:begin])[:writer_count]
        run = published[which]
        together: list[bytes] = []
        writers[0].write_turns(together, writers, run.shape, run.pieces, first_tag, False, known)
        alone: list[bytes] = []
        for place, piece in enumerate(run.pieces):
            writers[place % writer_count].write(alone, run.shape, [piece], first_tag + place, False)
        assert b"".join(together) == b"".join(alone)
        first_tag += len(run.pieces)
