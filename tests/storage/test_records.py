"""Records and batches come out as they went in; unknown records are refused."""

import itertools
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import UnknownFormat
from storage.records import (
    Copied,
    Defined,
    Delivered,
    Published,
    QueueDeleted,
    Record,
    Settled,
    cut_pieces,
    decode_records,
    encode_copy,
    encode_define,
    encode_delete_queue,
    encode_delivered,
    encode_publish,
    encode_settle,
)
from storage.segment import (
    BATCH_HEADER_OCTETS,
    HEADER_OCTETS,
    LOG_MAGIC,
    SegmentHeader,
    batch_header,
    decode_header,
    scan,
)

ids = st.integers(1, 2**63)
queue_ids = st.integers(1, 2**32 - 1)
queue_sets = st.lists(queue_ids, min_size=1, max_size=5, unique=True).map(tuple)
ranges = st.builds(
    lambda start, count, step: range(start, start + count * step, step), ids, st.integers(1, 5000), st.integers(1, 9)
)
piece_lists = st.one_of(
    st.lists(st.binary(max_size=50), min_size=1, max_size=10),
    st.lists(st.binary(min_size=7, max_size=7), min_size=1, max_size=10),
)


def only(octets: bytes) -> Record:
    ((start, stop, record),) = decode_records(octets, 0, len(octets))
    assert (start, stop) == (0, len(octets))
    return record


@given(queue_sets, ids, st.binary(max_size=30), piece_lists)
def test_publish_record_comes_back(
    queues: tuple[int, ...], first_id: int, envelope: bytes, pieces: list[bytes]
) -> None:
    run = range(first_id, first_id + len(pieces))
    octets = b"".join(encode_publish(queues, run, envelope, pieces))
    record = only(octets)
    assert isinstance(record, Published)
    assert record[:3] == (first_id, len(pieces), queues)
    assert octets[record.envelope] == envelope
    assert cut_pieces(octets, record.pieces, record.lengths, len(pieces)) == pieces


@given(st.lists(queue_sets, min_size=1, max_size=4), ids, st.binary(max_size=30), piece_lists, st.data())
def test_copy_record_comes_back(
    sets: list[tuple[int, ...]], first_id: int, envelope: bytes, pieces: list[bytes], data: st.DataObject
) -> None:
    count = len(pieces)
    gaps = data.draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
    offsets = tuple(itertools.accumulate(gaps))
    indexes = tuple(data.draw(st.lists(st.integers(0, len(sets) - 1), min_size=count, max_size=count)))
    octets = b"".join(encode_copy(first_id, offsets[-1] + 5, sets, offsets, indexes, envelope, pieces))
    record = only(octets)
    assert isinstance(record, Copied)
    assert record[:5] == (first_id, offsets[-1] + 5, sets, offsets, indexes)
    assert octets[record.envelope] == envelope
    assert cut_pieces(octets, record.pieces, record.lengths, count) == pieces


@given(queue_ids, st.lists(ranges, min_size=1, max_size=5), ids, st.binary(max_size=50))
def test_other_records_come_back(queue_id: int, settled: list[range], upto: int, text: bytes) -> None:
    assert only(encode_settle(queue_id, settled)) == Settled(queue_id, settled)
    assert only(encode_delivered(queue_id, upto)) == Delivered(queue_id, upto)
    assert only(encode_delete_queue(queue_id)) == QueueDeleted(queue_id)
    assert only(encode_define(text)) == Defined(text)


@pytest.mark.parametrize("octets", [b"\x63rest", encode_delivered(1, 2)[:-1], encode_define(b"text")[:-1]])
def test_unknown_or_ill_fitting_record_is_refused(octets: bytes) -> None:
    with pytest.raises(UnknownFormat):
        list(decode_records(octets, 0, len(octets)))


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_batches_come_back_in_order(bodies: list[bytes]) -> None:
    salt = b"saltsalt"
    header = SegmentHeader(LOG_MAGIC, 1, salt, 3, 17, 1000, 9, 4711)
    octets = header.encode()
    chain = header.chain
    for number, body in enumerate(bodies, 17):
        head, chain = batch_header(salt, number, chain, 1, len(body), crc32(body))
        octets += head + body
    assert decode_header(octets) == header
    found = list(scan(octets, salt))
    assert [octets[batch.body : batch.stop] for batch in found] == bodies
    assert [batch.number for batch in found] == list(range(17, 17 + len(bodies)))
    assert [batch.previous for batch in found] == [4711, *[batch.checksum for batch in found]][: len(bodies)]
    assert list(scan(octets, b"othersal")) == []
    assert len(octets) == HEADER_OCTETS + sum(BATCH_HEADER_OCTETS + len(body) for body in bodies)
