"""Messages cut by their places: the same pieces as a look at each message would give, for any sizes and endings."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.grid import cut_rests, rests_of


@given(
    st.binary(min_size=1, max_size=40),
    st.sampled_from([0, 1, 7, 100, 600, 2000, 2048, 70_000]),
    st.integers(1, 200),
    st.none() | st.integers(0, 199),
    st.binary(max_size=5),
    st.integers(0, 255),
)
def test_what_follows_each_beginning_is_cut_up_to_the_first_that_begins_otherwise(
    begin: bytes, octets: int, count: int, other: int | None, before: bytes, fill: int
) -> None:
    if octets > 10_000:
        count = min(count, 5)
    # Bodies that are beginnings themselves may be searched for in vain.
    body = (begin * (octets // len(begin) + 1))[:octets] if fill % 2 else bytes([fill]) * octets
    messages = [begin + body] * count
    if other is not None and other < count:
        wrong = bytes([begin[0] ^ 1]) + begin[1:]
        messages[other] = wrong + body
    data = before + b"".join(messages) + b"rest"
    found = cut_rests(rests_of(len(begin), len(begin) + octets), begin, data, len(before), count)
    expected = count if other is None or other >= count else other
    assert found == [body] * expected


def test_pieces_are_told_apart_across_blocks() -> None:
    messages = [b"head" + number.to_bytes(8) for number in range(30_000)]
    found = cut_rests(rests_of(4, 12), b"head", b"".join(messages), 0, len(messages))
    assert found == [message[4:] for message in messages]
