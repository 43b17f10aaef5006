"""Deliveries are counted from octets alone, and nothing lost, doubled, swapped or changed goes unseen."""

import struct
from itertools import cycle, islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import wire
from bench.client import BrokerRefused
from bench.deliveries import DeliveriesDiffer, DeliveryCounter

SAME = [b"0123456789abcdef"]
DIFFERENT = [b"a" * size for size in (3, 40, 0, 17, 8)]


def _delivery(tag: int, body: bytes, frame_octets: int = 100) -> bytes:
    arguments = wire.encode_shortstr("c") + struct.pack(">QB", tag, 0) + wire.encode_shortstr("") + b"\x01q"
    header = wire.encode_frame(wire.HEADER_FRAME, 1, struct.pack(">HHQH", 60, 0, len(body), 0))
    frames = [body[at : at + frame_octets] for at in range(0, len(body), frame_octets)]
    bodies = b"".join(wire.encode_frame(wire.BODY_FRAME, 1, frame) for frame in frames)
    return wire.encode_method(1, wire.BASIC_DELIVER, arguments) + header + bodies


def _deliveries(bodies: list[bytes], count: int, frame_octets: int = 100) -> list[bytes]:
    return [_delivery(tag, body, frame_octets) for tag, body in enumerate(islice(cycle(bodies), count), 1)]


def _feed(counter: DeliveryCounter, octets: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(octets)]
    for start, stop in pairwise(edges):
        counter.feed(bytearray(octets[start:stop]) + b"stale octets of an earlier read", stop - start)


def _feed_each(counter: DeliveryCounter, deliveries: list[bytes]) -> None:
    for delivery in deliveries:
        _feed(counter, delivery, [])


@pytest.mark.parametrize("bodies", [SAME, DIFFERENT])
@given(data=st.data())
def test_count_is_right_however_reads_cut_the_stream(bodies: list[bytes], data: st.DataObject) -> None:
    deliveries = _deliveries(bodies, 23)
    octets = b"".join(deliveries)
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=30))
    counter = DeliveryCounter(bodies)
    _feed(counter, octets, cuts)
    assert counter.delivered == 23
    counter.finish(bytearray())


@pytest.mark.parametrize("bodies", [SAME, DIFFERENT])
def test_count_is_whole_deliveries_at_every_octet(bodies: list[bytes]) -> None:
    deliveries = _deliveries(bodies, 12)
    counter = DeliveryCounter(bodies)
    for number, delivery in enumerate(deliveries):
        for octet in delivery:
            assert counter.delivered == number
            counter.feed(bytearray([octet]), 1)
    assert counter.delivered == 12


def test_body_over_several_frames_is_learnt() -> None:
    counter = DeliveryCounter(DIFFERENT)
    _feed(counter, b"".join(_deliveries(DIFFERENT, 11, frame_octets=7)), [])
    assert counter.delivered == 11


def test_other_body_is_refused() -> None:
    counter = DeliveryCounter([b"what was published"])
    with pytest.raises(DeliveriesDiffer, match="another body"):
        _feed(counter, _delivery(1, b"what was delivered"), [])


@pytest.mark.parametrize("bodies", [SAME, DIFFERENT])
@pytest.mark.parametrize("lost", [6, 15, 29])
def test_lost_delivery_is_refused(bodies: list[bytes], lost: int) -> None:
    deliveries = _deliveries(bodies, 40)
    del deliveries[lost]
    counter = DeliveryCounter(bodies)
    with pytest.raises(DeliveriesDiffer):
        _feed_each(counter, deliveries)


def test_doubled_delivery_is_refused() -> None:
    deliveries = _deliveries(DIFFERENT, 20)
    deliveries.insert(12, deliveries[12])
    with pytest.raises(DeliveriesDiffer):
        _feed(DeliveryCounter(DIFFERENT), b"".join(deliveries), [])


def test_octets_after_the_last_delivery_are_refused() -> None:
    counter = DeliveryCounter(SAME)
    _feed(counter, b"".join(_deliveries(SAME, 5)), [])
    with pytest.raises(DeliveriesDiffer, match="too many"):
        counter.finish(bytearray(b"more"))


def test_unfinished_delivery_at_the_end_is_refused() -> None:
    counter = DeliveryCounter(SAME)
    _feed(counter, b"".join(_deliveries(SAME, 5))[:-1], [])
    with pytest.raises(DeliveriesDiffer):
        counter.finish(bytearray())


def test_channel_close_gives_its_text() -> None:
    close = wire.encode_method(1, wire.CHANNEL_CLOSE, b"\x01\x94" + wire.encode_shortstr("NOT_FOUND - x") + bytes(4))
    with pytest.raises(BrokerRefused, match="404 NOT_FOUND - x"):
        _feed(DeliveryCounter(SAME), close, [])
