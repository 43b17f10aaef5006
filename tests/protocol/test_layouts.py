"""Messages whose headers are laid out like the one before are what they are octet by octet, and cost less."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.content import ContentFacts
from protocol.frames import FrameReader
from protocol.layouts import Layout, Layouts
from tests.protocol.octets import content_frames, publish_frame, short
from tests.protocol.test_alike_runs import octet_by_octet, outcome
from tests.protocol.test_keyed_runs import FRAME_MAX, MAX_MESSAGE, fed

FRAME = publish_frame(b"tasks", b"celery")
TABLES = {
    "empty": b"",
    "langs": b"\4langS\0\0\0\2py" + b"\4taskS\0\0\0\x09tasks.add",
    "a word with C": b"\4wordS\0\0\0\1C",
    "copies": b"\2CCA\0\0\0\x06S\0\0\0\1a",
    "blind copies": b"\3BCCA\0\0\0\x06S\0\0\0\1a",
}


def celery(number: int, *, table: str = "langs", reply_to: bytes = b"replies", priority: int = 0) -> bytes:
    """Content type and encoding, headers, delivery mode, priority, a correlation id of some length, and reply-to."""
    octets = TABLES[table]
    return (
        (0xFE00).to_bytes(2)
        + short(b"application/json")
        + short(b"utf-8")
        + len(octets).to_bytes(4)
        + octets
        + b"\2"
        + bytes((priority,))
        + short(b"%d" % number)
        + short(reply_to)
    )


def publishes(headers: list[bytes], bodies: list[bytes]) -> bytes:
    return b"".join(FRAME + content_frames(bodies[place % len(bodies)], header) for place, header in enumerate(headers))


def test_messages_as_celery_sends_them_are_one_run() -> None:
    octets = publishes([celery(10**number) for number in range(20)], [bytes(size) for size in (20, 300, 7)])
    with patch("protocol.frames.skim", return_value=ContentFacts(True, 0)) as skim:
        fed(FrameReader(FRAME_MAX, MAX_MESSAGE), octets)
    assert skim.call_count == 1
    runs, _ = fed(FrameReader(FRAME_MAX, MAX_MESSAGE), octets)
    assert [len(run.pieces) for run in runs] == [20]
    assert outcome(octets) == octet_by_octet(octets)


@pytest.mark.parametrize(
    "other",
    [
        celery(1, table="copies"),
        celery(1, table="blind copies"),
        celery(1, table="a word with C"),
        celery(1, table="empty"),
        celery(1, reply_to=b"amq.rabbitmq.reply-to"),
        celery(1, reply_to=b"amq.rabbitmq.reply-to.g1"),
        celery(1, priority=9),
        celery(1)[:-1] + b"\xff",
        celery(1).replace(b"utf-8", b"utf-9"),
        (0xFF00).to_bytes(2) + celery(1)[2:] + short(b"1000"),
        b"\0\0",
    ],
)
@pytest.mark.parametrize("body", [b"body", b"", b"\xce" * 40])
def test_one_that_is_not_like_the_others_is_what_it_is_alone(other: bytes, body: bytes) -> None:
    octets = publishes([celery(number) for number in range(99, 105)], [b"body", b"longer"])
    between = FRAME + content_frames(body, other)
    assert outcome(octets + between + octets) == octet_by_octet(octets + between + octets)


def test_a_size_in_a_header_that_leads_anywhere_is_refused_as_without() -> None:
    octets = publishes([celery(number) for number in (9, 10, 100)], [b"body", b"longer"])
    second = octets.index(FRAME, 1)
    for at in range(second, second + len(FRAME) + 80):
        for value in (0, 1, 0x7F, 0xFF):
            changed = octets[:at] + bytes((value,)) + octets[at + 1 :]
            assert outcome(changed) == octet_by_octet(changed), (at, value)


FLAG_BITS = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3]


@st.composite
def headers(draw: st.DrawFn) -> list[bytes]:
    """Headers of some messages with few sets of properties, whose values differ."""
    sets = draw(st.lists(st.sets(st.sampled_from(FLAG_BITS)), min_size=1, max_size=3))
    texts = st.integers(0, 3).map(lambda size: short(b"x" * size))
    values = {
        15: st.sampled_from([short(b"text/plain"), short(b"text/html")]),
        13: st.sampled_from(sorted(TABLES.values())).map(lambda table: len(table).to_bytes(4) + table),
        12: st.sampled_from([b"\1", b"\2", b"\2"]),
        11: st.sampled_from([b"\0", b"\0", b"\5"]),
        9: st.sampled_from([short(b"q"), short(b"replies"), short(b"amq.rabbitmq.reply-to")]),
        8: st.just(short(b"1000")),
        6: st.just(bytes(8)),
    }
    found = []
    for _ in range(draw(st.integers(2, 25))):
        chosen = draw(st.sampled_from(sets))
        flags = sum(1 << bit for bit in chosen)
        properties = b"".join(draw(values.get(bit, texts)) for bit in FLAG_BITS if bit in chosen)
        found.append(flags.to_bytes(2) + properties)
    return found


@settings(max_examples=300, deadline=None)
@given(
    headers(),
    st.lists(st.integers(0, 40).map(bytes), min_size=1, max_size=4),
    st.none() | st.tuples(st.integers(0, 5000), st.integers(0, 255)),
    st.integers(0, 5000),
)
def test_any_messages_with_a_changed_octet_are_what_they_are_octet_by_octet(
    headers: list[bytes], bodies: list[bytes], change: tuple[int, int] | None, cut: int
) -> None:
    octets = bytearray(publishes(headers, bodies))
    if change is not None:
        octets[change[0] % len(octets)] = change[1]
    cut %= len(octets)
    expected = octet_by_octet(bytes(octets))
    assert outcome(bytes(octets)) == expected
    assert outcome(bytes(octets[:cut]), bytes(octets[cut:])) == expected


def test_neighbours_that_differ_are_soon_left_alone() -> None:
    layouts = Layouts()
    octets = content_frames(b"body", celery(1))
    asked = 0
    for _ in range(100):
        if layouts.of(octets, 0, 0xFE00) is not None:
            asked += 1
            layouts.found(0)
    assert asked < 15
    while layouts.of(octets, 0, 0xFE00) is None:
        pass
    layouts.found(1)
    assert layouts.of(octets, 0, 0xFE00) is not None


def test_what_is_remembered_is_bounded() -> None:
    layouts = Layouts()
    for number in range(1000):
        octets = content_frames(b"body", (0x8000).to_bytes(2) + short(b"type %d" % number))
        assert layouts.of(octets, 0, 0x8000) is not None
    assert len(layouts._by_start) <= 64
    assert layouts.of(content_frames(b"body", (0x8000).to_bytes(2) + short(bytes(200))), 0, 0x8000) is None
    layout = Layout((0x1800).to_bytes(2))
    read = b"".join(
        FRAME + content_frames(b"body", (0x1800).to_bytes(2) + bytes((mode, priority)))
        for mode in range(3, 7)
        for priority in range(255)
    )
    pieces: list[bytes] = []
    layout.walk(read, 0, len(read), FRAME, (FRAME_MAX - 8, MAX_MESSAGE), pieces, ContentFacts(False))
    assert len(pieces) == 4 * 255
    assert len(layout._by_octets) <= 256
