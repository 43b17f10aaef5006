"""Publishes of one size by keys of one length are cut by their columns: they are what they are one by one."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.frames import FrameReader
from protocol.keyed import KeyedCutter
from protocol.runs import KNOWN_KEYS_MAX, GroupedRun, PublishRun
from tests.protocol.octets import PERSISTENT, PLAIN, content_frames, short
from tests.protocol.test_alike_runs import as_clients_do, octet_by_octet, octets_of, outcome, with_id
from tests.protocol.test_keyed_runs import FRAME_MAX, MAX_MESSAGE, fed_together, messages_of, published, ungrouped

FEW = [b"aa", b"bb", b"\xc3\xa4", b"cc", b"d\x00"]


def events_of(*reads: bytes) -> list[object]:
    reader = FrameReader(FRAME_MAX, MAX_MESSAGE)
    return [event for octets in reads for event in reader.feed(octets)]


def test_columns_are_cut_without_a_search() -> None:
    octets = octets_of([with_id(number) for number in range(500)], [b"body"], FEW)
    with patch.object(KeyedCutter, "_cut_alike", side_effect=AssertionError):
        runs = [event for event in events_of(octets) if isinstance(event, GroupedRun)]
    assert sum(run.count for run in runs) == 499


def test_keys_that_came_before_are_grouped_though_each_comes_once_a_read() -> None:
    keys = [b"key.%04d" % number for number in range(100)]
    octets = octets_of([with_id(number) for number in range(100)], [b"body"], keys)
    first, *_, last = [event for event in events_of(*[octets] * 4) if isinstance(event, PublishRun | GroupedRun)]
    assert isinstance(first, PublishRun)
    assert isinstance(last, GroupedRun)
    assert [len(pieces) for pieces in last.groups] == [1] * 100


def test_keys_that_never_come_again_are_not() -> None:
    read = 0

    def octets() -> bytes:
        return octets_of([with_id(1)] * 100, [b"body"], [b"key.%06d" % (read * 100 + n) for n in range(100)])

    for read in range(200):  # noqa: B007 - the closure reads it
        assert not any(isinstance(event, GroupedRun) for event in events_of(octets()))


def test_what_goes_on_in_the_next_reads_is_one_run() -> None:
    octets = octets_of([with_id(number) for number in range(900)], [b"body"], FEW)
    reader = FrameReader(FRAME_MAX, MAX_MESSAGE)
    list(reader.feed(octets))  # It expects as many at once now.
    reads = [octets[at : at + 10_000] for at in range(0, len(octets), 10_000)]
    (run,) = reader.feed(reads[0], reads[1:])
    assert isinstance(run, GroupedRun)
    assert run.count == 900
    assert messages_of([ungrouped(run)]) == outcome(octets)[0]


def test_a_body_that_holds_whole_messages_is_a_body() -> None:
    inner = octets_of([with_id(7)], [b"12345678"], [b"bb"])
    octets = octets_of([with_id(number) for number in range(200)], [inner + b"\xce" * 9], FEW)
    assert outcome(octets) == octet_by_octet(octets)
    assert len(outcome(octets)[0]) == 200


@pytest.mark.parametrize("length", [0, 1])
def test_a_reader_knows_so_many_keys_and_no_more(length: int) -> None:
    reader, most = FrameReader(FRAME_MAX, MAX_MESSAGE), 0
    for exchange in ("one", "two", "three"):
        for first in range(0, 3 * KNOWN_KEYS_MAX, 1000):
            keys = [f"key.{first + number:08}" + "x" * (number % 2 * length) for number in range(1000)]
            octets = b"".join(published(key, b"x", exchange=exchange) for key in keys)
            for _ in range(20):
                list(reader.feed(octets))
            most = max(most, sum(len(each._known) + len(each._shorts) for each in reader._cutters.values()))
    assert KNOWN_KEYS_MAX // 2 < most <= KNOWN_KEYS_MAX


KEYS = st.sampled_from(
    [FEW, FEW[:2], [b"%03d" % number for number in range(300)], [b"a", b"bb"], [b"aa", b"\xff\xfe", b"bb"], [b"\x00"]]
)
HEADERS = st.sampled_from(
    [
        [with_id(number) for number in range(300)],
        [as_clients_do(number) for number in range(300)],
        [PLAIN],
        [PERSISTENT],
        [PERSISTENT] * 70 + [PLAIN],
        [b"\x00\x80" + short(b"same")] * 70 + [b"\x00\x80" + short(b"that")],
    ]
)
BODIES = st.sampled_from(
    [[b"body"], [b""], [b"body"] * 99 + [b"else"], [b"body"] * 99 + [b"longer"], [b"\xce" * 30, b"\x01" * 30]]
)


@pytest.mark.parametrize("shortest", [2, 64])
@settings(max_examples=150, deadline=None)
@given(
    st.data(),
    KEYS,
    HEADERS,
    BODIES,
    st.integers(2, 260),
    st.none() | st.tuples(st.integers(0, 50_000), st.integers(0, 255)),
)
def test_any_such_messages_read_together_are_what_they_are_one_by_one(
    shortest: int,
    data: st.DataObject,
    keys: list[bytes],
    headers: list[bytes],
    bodies: list[bytes],
    count: int,
    change: tuple[int, int] | None,
) -> None:
    """With an octet changed, or none, and cut into reads anywhere."""
    octets = bytearray(octets_of([headers[n % len(headers)] for n in range(count)], bodies, keys))
    if change is not None:
        octets[change[0] % len(octets)] = change[1]
    sizes = data.draw(st.lists(st.integers(1, 6000), max_size=5))
    reads, at = [], 0
    for size in [*sizes, len(octets)]:
        reads.append(bytes(octets[at : at + size]))
        at += size
    with patch("protocol.keyed._SHORTEST_COLUMNS", shortest):
        reader = FrameReader(FRAME_MAX, MAX_MESSAGE)
        runs, error = fed_together(reader, *reads)
        again, _ = fed_together(reader, *reads) if error is None and not reader._held else (runs, None)
    with patch.object(KeyedCutter, "cut", return_value=None):
        one_by_one, _, what = outcome(bytes(octets))
    assert (messages_of(runs), f"{type(error)} {error}") == (one_by_one, what)
    assert messages_of(again) == one_by_one


@settings(max_examples=30, deadline=None)
@given(KEYS, HEADERS, st.integers(64, 90), st.integers(0, 6000), st.integers(0, 255))
def test_a_changed_octet_gives_what_octet_by_octet_gives(
    keys: list[bytes], headers: list[bytes], count: int, at: int, value: int
) -> None:
    octets = bytearray(octets_of([headers[n % len(headers)] for n in range(count)], [b"body"], keys))
    octets[at % len(octets)] = value
    assert outcome(bytes(octets)) == octet_by_octet(bytes(octets))


def test_contents_are_as_they_came_with_a_lead_and_without() -> None:
    for headers in ([PLAIN], [with_id(number) for number in range(100)]):
        octets = octets_of([headers[n % len(headers)] for n in range(100)], [b"body"], FEW)
        (run,) = [event for event in events_of(octets) if isinstance(event, GroupedRun)]
        assert bool(run.lead) is (headers == [PLAIN])
        expected = [content_frames(b"body", headers[n % len(headers)]) for n in range(1, 100)]
        assert [found[4] for found in messages_of([ungrouped(run)])] == expected
