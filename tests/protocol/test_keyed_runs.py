"""Publishes to one exchange by keys that differ: cut together, they are what they are one by one."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.content import Shape
from protocol.delivery import DeliveryWriter, TurnHeads, get_ok, returned
from protocol.errors import AmqpError, FrameError
from protocol.frames import Event, FrameReader
from protocol.runs import GroupedRun, PublishRun
from tests.protocol.octets import PERSISTENT, PLAIN, content_frames, frame, message, publish_frame, short

FRAME_MAX = 4096
MAX_MESSAGE = 3000
ID = b"\x00\x80"
PUBLISH_OCTETS = len(publish_frame(b"", b"")) - 2
"""Of a publish frame, without exchange and routing key."""


def read(*reads: bytes, largest: int = MAX_MESSAGE) -> list[PublishRun]:
    runs, error = fed(FrameReader(FRAME_MAX, largest), *reads)
    assert error is None
    return runs


def fed(reader: FrameReader, *reads: bytes) -> tuple[list[PublishRun], AmqpError | None]:
    """The publishes up to the first error, and that."""
    return published_by(event for octets in reads for event in reader.feed(octets))


def fed_together(reader: FrameReader, *reads: bytes) -> tuple[list[PublishRun], AmqpError | None]:
    """As ``fed``, with all reads at once."""
    return published_by(reader.feed(reads[0], reads[1:]))


def published_by(events: Iterator[Event]) -> tuple[list[PublishRun], AmqpError | None]:
    runs: list[PublishRun] = []
    try:
        for event in events:
            if isinstance(event, GroupedRun):
                runs.append(ungrouped(event))
            elif isinstance(event, PublishRun):
                runs.append(event)
    except AmqpError as error:
        return runs, error
    return runs, None


def ungrouped(grouped: GroupedRun) -> PublishRun:
    """The same messages in order; each key's are those of its run, in their order."""
    run = grouped.in_order()
    keys = run.routing_keys or []
    assert grouped.count == len(run.pieces) == len(keys)
    sizes = [PUBLISH_OCTETS + len(run.shape.address_of(piece)) + len(run.shape.alone(piece)[1]) for piece in run.pieces]
    assert grouped.largest_octets == max(sizes)
    assert [key.publish.routing_key for key in grouped.keys] == list(dict.fromkeys(keys))
    for key, shape, pieces in zip(grouped.keys, grouped.shapes(), grouped.groups, strict=True):
        publish = key.publish
        assert (publish.channel, publish.exchange) == (shape.channel, shape.exchange)
        assert shape.routing_key == publish.routing_key
        ours = [piece for piece, name in zip(run.pieces, keys, strict=True) if name == publish.routing_key]
        assert [shape.lead + piece for piece in pieces] == [run.shape.alone(piece)[1] for piece in ours]
        assert {shape.body_octets_of(piece) for piece in pieces} == set(map(run.shape.body_octets_of, ours))
        assert (shape.address, shape.facts) == (run.shape.address_of(ours[0]), run.shape.facts)
    return run


def messages_of(runs: list[PublishRun]) -> list[tuple[object, ...]]:
    """Channel, exchange, bits, key and content frames of each message, by the run and by itself."""
    found: list[tuple[object, ...]] = []
    for run in runs:
        singles = [run] if run.routing_keys is None else list(run.one_by_one())
        for single in singles:
            publish = single.publish
            assert (single.shape.exchange, single.shape.routing_key) == (publish.exchange, publish.routing_key)
            assert single.shape.address == publish.address
            assert (publish.mandatory, publish.immediate) == (run.publish.mandatory, run.publish.immediate)
            bits = publish.mandatory | publish.immediate << 1
            for piece in single.pieces:
                octets = single.shape.lead + piece
                found.append((publish.channel, publish.exchange, bits, publish.routing_key, octets))
    return found


def published(key: str, body: bytes, properties: bytes = PLAIN, *, exchange: str = "logs", bits: int = 0) -> bytes:
    frames = content_frames(body, properties, 1, FRAME_MAX - 8)
    return publish_frame(exchange.encode(), key.encode(), 1, bits) + frames


def keyed_runs(*reads: bytes) -> list[PublishRun]:
    return [run for run in read(*reads) if run.routing_keys is not None]


def test_messages_of_one_size_by_many_keys_are_one_run() -> None:
    octets = b"".join(published("k" * (number % 9) + f".{number}", b"0123") for number in range(200))
    first, second = keyed_runs(octets, octets)
    assert len(first.pieces) == 199  # The first of all taught the reader what a publish looks like.
    assert second.routing_keys == ["k" * (number % 9) + f".{number}" for number in range(200)]
    assert messages_of(read(octets)) == [
        (1, "logs", 0, "k" * (n % 9) + f".{n}", content_frames(b"0123")) for n in range(200)
    ]


def test_messages_by_many_keys_with_headers_of_their_own_are_one_run() -> None:
    octets = b"".join(published(f"key.{number}", b"x" * number, ID + short(b"%d" % number)) for number in range(200))
    (run,) = keyed_runs(octets)
    assert len(run.pieces) == 199


def test_a_key_again_and_again_is_no_such_run() -> None:
    octets = published("a", b"body") + published("b", b"body") * 500
    runs = read(octets)
    assert max(len(run.pieces) for run in runs if run.routing_keys is None) >= 400


def test_one_other_key_does_not_hold_a_long_run_up() -> None:
    octets = (published("a", b"body") + published("b", b"body")) * 3 + published("c", b"body") * 3000
    runs = read(octets)
    assert max(len(run.pieces) for run in runs if run.routing_keys is None) >= 2000


def test_persistence_ends_a_run() -> None:
    octets = b"".join(published(str(n), b"x", PERSISTENT if n // 10 % 2 else PLAIN) for n in range(60))
    for run in keyed_runs(octets):
        assert len({run.shape.facts.persistent}) == 1
    persistent = [single.shape.facts.persistent for run in keyed_runs(octets) for single in run.one_by_one()]
    assert len(persistent) > 40


def test_what_asks_for_more_than_a_queue_is_left_out() -> None:
    expiring = b"\x01\x00" + short(b"1000")
    octets = b"".join(published(str(n), b"x", expiring) for n in range(10))
    assert keyed_runs(octets) == []
    assert [run.shape.facts.expiration for run in read(octets)] == ["1000"] * 10


def test_a_key_with_a_zero_in_it_stays_whole() -> None:
    keys = ["a", "b\x00c", "d\x00", "\x00", "e"]
    runs = read(b"".join(published(key, b"x") for key in keys))
    assert [found[3] for found in messages_of(runs)] == keys


def test_what_comes_before_a_key_that_is_no_text_is_published() -> None:
    reader = FrameReader(FRAME_MAX, MAX_MESSAGE)
    good = b"".join(published(f"key.{number}", b"x") for number in range(20))
    bad = publish_frame(b"logs", b"\xc3") + content_frames(b"x")
    runs, error = fed(reader, good + bad + good)
    assert isinstance(error, FrameError)
    assert [found[3] for found in messages_of(runs)] == [f"key.{number}" for number in range(20)]


def test_two_keys_that_are_text_only_together_are_none() -> None:
    reader = FrameReader(FRAME_MAX, MAX_MESSAGE)
    octets = published("a", b"x") + b"".join(
        publish_frame(b"logs", key) + content_frames(b"x") for key in (b"x\xc3", b"\xa4y", b"z")
    )
    with pytest.raises(FrameError):
        list(reader.feed(octets))


def test_a_body_that_looks_like_the_next_message_is_a_body() -> None:
    inner = published("k2", b"q" * 8)
    body = (b"q" * 8 + b"\xce" + inner * 2)[: len(inner) + 30]
    octets = b"".join(published(f"k{number}", body) for number in range(30))
    assert [found[4] for found in messages_of(read(octets))] == [content_frames(body)] * 30


keys = st.one_of(
    st.sampled_from(["", "a", "b", "é.ü", "a.b.c", "\x00", "x" * 255]),
    st.integers(0, 10_000).map(lambda number: f"key.{number}"),
)
bodies = st.one_of(
    st.sampled_from([b"", b"same", b"same", b"\xce" * 9, published("a", b"same"), published("a", b"same")[-30:]]),
    st.binary(max_size=30),
    st.just(b"z" * 5000),
)
CARBON = b"\x20\x00\0\0\0\5\2CCt\1"
properties = st.sampled_from(
    [PLAIN, PLAIN, PERSISTENT, ID + short(b"one"), ID + short(b"two"), b"\x20\x00\0\0\0\5\2CCt\1"]
)
publishes = st.tuples(
    keys, bodies, properties, st.sampled_from(["logs", "logs", "logs", ""]), st.sampled_from([0, 0, 1])
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(publishes, st.sampled_from([1, 1, 1, 2, 20])), min_size=1, max_size=30),
    st.lists(st.integers(1, 4000), max_size=6),
)
def test_any_publishes_cut_anywhere_are_what_they_are_one_by_one(
    sent: list[tuple[tuple[str, bytes, bytes, str, int], int]], cuts: list[int]
) -> None:
    expected: list[tuple[object, ...]] = []
    octets = b""
    for (key, body, header, exchange, bits), count in sent:
        octets += published(key, body, header, exchange=exchange, bits=bits) * count
        expected += [(1, exchange, bits, key, content_frames(body, header, 1, FRAME_MAX - 8))] * count
    reads, at = [], 0
    for size in cuts:
        reads.append(octets[at : at + size])
        at += size
    assert messages_of(read(*reads, octets[at:], largest=10_000)) == expected


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_octet_gives_what_one_by_one_gives(data: st.DataObject) -> None:
    """Fed octet by octet, the reader cannot but go one by one."""
    octets = bytearray(b"".join(published(f"key.{n % 7}", b"body", PLAIN) for n in range(12)))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))

    def outcome(*reads: bytes) -> tuple[list[tuple[object, ...]], str]:
        runs, error = fed(FrameReader(FRAME_MAX, MAX_MESSAGE), *reads)
        return messages_of(runs), f"{type(error)} {error}"

    assert outcome(bytes(octets)) == outcome(*(bytes(octets[at : at + 1]) for at in range(len(octets))))


# What is written of them

ROUTING_KEYS = ["", "a", "é.ü", "x" * 255, "b.c", "b.d"]


def keyed_run(count: int = 6) -> PublishRun:
    octets = [published(ROUTING_KEYS[n % 6], b"body", ID + short(b"%d" % n)) for n in range(count)]
    (run,) = keyed_runs(published("first", b"") + b"".join(octets))
    run.pieces, run.routing_keys = run.pieces[-count:], (run.routing_keys or [])[-count:]
    return run


def alone(run: PublishRun) -> list[tuple[Shape, bytes]]:
    return [run.shape.alone(piece) for piece in run.pieces]


@pytest.mark.parametrize("redelivered", [False, True])
@pytest.mark.parametrize("first_tag", [1, 65530, (1 << 40) + 65535])
@pytest.mark.parametrize(("channel", "frame_max"), [(1, FRAME_MAX), (7, FRAME_MAX), (1, 64), (300, 40)])
def test_deliveries_are_those_of_single_messages(
    channel: int, frame_max: int, first_tag: int, redelivered: bool
) -> None:
    run = keyed_run(count=20)
    writer = DeliveryWriter(channel, "me", frame_max)
    together: list[bytes] = []
    writer.write(together, run.shape, run.pieces, first_tag, redelivered)
    one_by_one: list[bytes] = []
    for place, (shape, piece) in enumerate(alone(run)):
        writer.write(one_by_one, shape, [piece], first_tag + place, redelivered)
    assert b"".join(together) == b"".join(one_by_one)


@pytest.mark.parametrize("channel", [1, 7])
def test_turns_are_those_of_single_messages(channel: int) -> None:
    run = keyed_run(count=20)
    writers = [DeliveryWriter(channel, tag, FRAME_MAX) for tag in ("one", "two", "six")]
    together: list[bytes] = []
    writers[0].write_turns(together, writers, run.shape, run.pieces, 65530, False, TurnHeads())
    one_by_one: list[bytes] = []
    for place, (shape, piece) in enumerate(alone(run)):
        writers[place % 3].write(one_by_one, shape, [piece], 65530 + place, False)
    assert b"".join(together) == b"".join(one_by_one)


def test_get_and_return_are_those_of_single_messages() -> None:
    run = keyed_run()
    for piece, (shape, own) in zip(run.pieces, alone(run), strict=True):
        assert get_ok(run.shape, piece, 9, 64, 5, True, 3) == get_ok(shape, own, 9, 64, 5, True, 3)
        assert returned(run.shape, piece, 9, 64, 312, "NO_ROUTE") == returned(shape, own, 9, 64, 312, "NO_ROUTE")
        assert run.shape.body(piece) == shape.body(own)
        assert run.shape.body_octets_of(piece) == shape.body_octets_of(own)
        assert run.shape.header_payload(piece) == shape.header_payload(own)
        assert run.shape.address_of(piece) == shape.address


def test_other_octets_follow_a_run() -> None:
    reader = FrameReader(FRAME_MAX, MAX_MESSAGE)
    octets = b"".join(published(f"key.{n}", b"x") for n in range(9)) + frame(8, 0, b"") + message(b"y", channel=2)
    runs = [event for event in reader.feed(octets) if isinstance(event, PublishRun)]
    assert [found[0] for found in messages_of(runs)] == [1] * 9 + [2]
