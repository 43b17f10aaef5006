"""Confirms are counted whatever their order, and however reads cut them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import wire
from bench.client import BrokerRefused
from bench.confirms import ConfirmCounter


def _feed_cut(counter: ConfirmCounter, octets: bytes, step: int) -> None:
    for start in range(0, len(octets), step):
        counter.feed(octets[start : start + step])


@pytest.mark.parametrize("step", [1, 20, 21, 22, 1000])
def test_single_confirms_count_each(step: int) -> None:
    counter = ConfirmCounter()
    _feed_cut(counter, b"".join(wire.encode_ack(tag) for tag in range(1, 31)), step)
    assert counter.confirmed == counter.confirmed_upto == 30


def test_multiple_confirms_all_up_to_its_tag() -> None:
    counter = ConfirmCounter()
    counter.feed(wire.encode_ack(3) + wire.encode_ack(7, multiple=True) + wire.encode_ack(9))
    assert (counter.confirmed_upto, counter.confirmed) == (7, 8)


def test_multiple_behind_what_is_confirmed_changes_nothing() -> None:
    counter = ConfirmCounter()
    counter.feed(wire.encode_ack(7, multiple=True) + wire.encode_ack(5, multiple=True))
    assert counter.confirmed == 7


@given(st.permutations(range(1, 25)))
def test_singles_in_any_order_count_once(tags: list[int]) -> None:
    counter = ConfirmCounter()
    for count, tag in enumerate(tags, 1):
        counter.feed(wire.encode_ack(tag))
        assert counter.confirmed == count
    assert counter.confirmed_upto == 24


def test_nack_is_refused() -> None:
    nack = wire.encode_method(1, (60, 120), bytes(7) + b"\x01\x00")
    with pytest.raises(BrokerRefused, match="not a confirm"):
        ConfirmCounter().feed(nack)


def test_channel_close_among_confirms_gives_its_text() -> None:
    close = wire.encode_method(1, wire.CHANNEL_CLOSE, b"\x01\x94" + wire.encode_shortstr("NOT_FOUND - x") + bytes(4))
    with pytest.raises(BrokerRefused, match="404 NOT_FOUND - x"):
        ConfirmCounter().feed(wire.encode_ack(1) + close)
