"""Acknowledgements in a row: whatever their tags are, each is told once and in order, and runs stay runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.acks import ACK_OCTETS, Ack, AckCutter
from protocol.errors import FrameError
from tests.protocol.octets import ack_frame

Told = tuple[int, bool]


def cut_all(octets: bytes, cutter: AckCutter) -> tuple[list[Ack], int]:
    """All acks, and how many cuts they took."""
    at, cuts = 0, 0
    acks: list[Ack] = []
    while at < len(octets):
        found, at = cutter.cut(octets, at, len(octets))
        acks += found
        cuts += 1
    return acks, cuts


def told(acks: list[Ack]) -> list[Told]:
    return [(ack.first_tag + place, ack.multiple) for ack in acks for place in range(ack.count)]


runs = st.tuples(
    st.one_of(st.integers(0, 100_000), st.integers(65_500, 65_540), st.integers((1 << 64) - 100_000, (1 << 64) - 100)),
    st.integers(1, 90),
    st.just(False),
) | st.tuples(st.integers(0, 1 << 20), st.just(1), st.booleans())


@given(st.lists(runs, min_size=1, max_size=12))
def test_any_tags_are_told_as_they_came(parts: list[tuple[int, int, bool]]) -> None:
    expected = [(first + place, multiple) for first, count, multiple in parts for place in range(count)]
    octets = b"".join(ack_frame(tag, multiple) for tag, multiple in expected)
    acks, _ = cut_all(octets, AckCutter())
    assert told(acks) == expected
    assert all(ack.count == 1 for ack in acks if ack.multiple)


@pytest.mark.parametrize("first", [1, 200, 65_530, 65_536, (1 << 40) - 3])
def test_consecutive_tags_are_one_event_wherever_they_begin(first: int) -> None:
    octets = b"".join(ack_frame(tag) for tag in range(first, first + 1000))
    (ack,), stop = AckCutter().cut(octets, 0, len(octets))
    assert (ack.first_tag, ack.count, stop) == (first, 1000, len(octets))


def test_runs_that_other_frames_end_leave_a_cutter_that_tries_little() -> None:
    octets = (b"".join(ack_frame(tag) for tag in range(1, 4)) + bytes(400)) * 50
    cutter = AckCutter()
    (ack,), stop = cutter.cut(octets, 0, len(octets))
    assert (ack.count, stop) == (3, 3 * ACK_OCTETS)
    assert cutter.limit == 6


@pytest.mark.parametrize("place", [0, 1, 7, 19])
def test_a_wrong_frame_end_among_them_is_an_error(place: int) -> None:
    octets = bytearray(b"".join(ack_frame(tag) for tag in range(1, 21)))
    octets[(place + 1) * ACK_OCTETS - 1] = 0
    with pytest.raises(FrameError) as raised:
        cut_all(bytes(octets), AckCutter())
    assert "invalid_frame_end_marker,0" in raised.value.reply_text
