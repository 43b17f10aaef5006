"""Octets of the records in a batch: publish, copy, settle, delivered, returned, queue deleted, define.

Encoders return the parts in front of the bodies, so that bodies are joined once, by the writer. Decoders
trust the batch's checksum: octets that do not fit their record are a newer format, not damage. Layout:
docs/storage-format.md.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple

from storage.errors import UnknownFormat

PUBLISH: Final = 1
SETTLE: Final = 2
DELIVERED: Final = 3
DELETE_QUEUE: Final = 4
COPY: Final = 5
RETURNED: Final = 6
DEFINE: Final = 16

_CUT_COUNT: Final = 64  # pieces cut in one go

MIXED: Final = 1  # flag: pieces of different lengths, which are listed one by one

PUBLISH_HEAD: Final = struct.Struct("<BBHIIIQI")  # kind flags 0 queues envelope_octets pieces first_id piece_octets
_COPY_HEAD: Final = struct.Struct("<BBHIIIQII")  # kind flags 0 sets envelope_octets pieces first_id span piece_octets
_SETTLE_HEAD: Final = struct.Struct("<BBHII")  # kind 0 0 queue ranges
_RANGE: Final = struct.Struct("<QII")  # first count step
_DELIVERED: Final = struct.Struct("<BBHIQ")  # kind 0 0 queue upto
_RETURNED_HEAD: Final = struct.Struct("<BBHIII")  # kind 0 0 queue return_count ranges
_DELETE_QUEUE: Final = struct.Struct("<BBHI")  # kind 0 0 queue
_DEFINE_HEAD: Final = struct.Struct("<BBHI")  # kind 0 0 octets
_U32: Final = struct.Struct("<I")

MERGED_STEP_MAX: Final = 16  # settling a range costs its span
_start_of = attrgetter("start")


class Published(NamedTuple):
    """A run of messages as it was published: ids first_id .. first_id + count - 1, all in the same queues."""

    first_id: int
    message_count: int
    queue_ids: tuple[int, ...]
    envelope: slice
    lengths: Sequence[int]  # one for all pieces, or one each
    pieces: int  # offset of the first piece; they follow each other


class Copied(NamedTuple):
    """What was left of a run when it was appended again; replaces whatever is known of its ids."""

    first_id: int
    message_count: int  # ids that the run had at first
    queue_sets: list[tuple[int, ...]]
    offsets: tuple[int, ...]  # of each piece's id from first_id, ascending
    set_indexes: tuple[int, ...]  # which of queue_sets each piece is in
    envelope: slice
    lengths: Sequence[int]
    pieces: int


class Settled(NamedTuple):
    queue_id: int
    ranges: list[range]


class Delivered(NamedTuple):
    queue_id: int
    upto: int


class Returned(NamedTuple):
    """Messages came back to their queue for the ``return_count``-th time; of several counts the highest holds."""

    queue_id: int
    return_count: int
    ranges: list[range]


class QueueDeleted(NamedTuple):
    queue_id: int


class Defined(NamedTuple):
    octets: bytes  # JSON: [key, value]


Record = Published | Copied | Settled | Delivered | Returned | QueueDeleted | Defined


def pack_lengths(pieces: Sequence[bytes]) -> tuple[int, int, bytes]:
    """Flags, octets of one piece (0 when mixed) and the list of lengths (empty unless mixed)."""
    sizes = set(map(len, pieces))
    if len(sizes) == 1:
        return 0, sizes.pop(), b""
    return MIXED, 0, struct.pack(f"<{len(pieces)}I", *map(len, pieces))


def pack_queue_ids(queue_ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(queue_ids)}I", *queue_ids)


def encode_publish(queue_ids: Sequence[int], ids: range, envelope: bytes, pieces: Sequence[bytes]) -> list[bytes]:
    """Parts of a publish record, bodies last. The store has its own, unrolled, copy of this on the hot path."""
    flags, size, lengths = pack_lengths(pieces)
    head = PUBLISH_HEAD.pack(PUBLISH, flags, 0, len(queue_ids), len(envelope), len(pieces), ids.start, size)
    return [head, pack_queue_ids(queue_ids), envelope, lengths, *pieces]


def encode_copy(
    first_id: int,
    span: int,
    queue_sets: Sequence[Sequence[int]],
    offsets: Sequence[int],
    set_indexes: Sequence[int],
    envelope: bytes,
    pieces: Sequence[bytes],
) -> list[bytes]:
    """Parts of a copy record, bodies last; see Copied."""
    flags, size, lengths = pack_lengths(pieces)
    count = len(pieces)
    head = _COPY_HEAD.pack(COPY, flags, 0, len(queue_sets), len(envelope), count, first_id, span, size)
    sets = [_U32.pack(len(queue_ids)) + pack_queue_ids(queue_ids) for queue_ids in queue_sets]
    numbers = struct.pack(f"<{2 * count}I", *offsets, *set_indexes)
    return [head, *sets, envelope, numbers, lengths, *pieces]


def encode_settle(queue_id: int, ranges: Sequence[range]) -> bytes:
    head = _SETTLE_HEAD.pack(SETTLE, 0, 0, queue_id, len(ranges))
    return head + _encode_ranges(ranges)


def merge_ranges(ranges: list[range]) -> list[range]:
    """The same ids in as few ranges as a look at neighbours gives."""
    if len(ranges) == 1:
        return ranges
    ranges.sort(key=_start_of)
    merged = [ranges[0]]
    for ids in ranges[1:]:
        last = merged[-1]
        step = last.step if len(last) > 1 else ids.step if len(ids) > 1 else ids.start - last.start
        if ids.start == last[-1] + step and (len(ids) == 1 or ids.step == step) and 0 < step <= MERGED_STEP_MAX:
            merged[-1] = range(last.start, ids[-1] + step, step)
        else:
            merged.append(ids)
    return merged


def _encode_ranges(ranges: Sequence[range]) -> bytes:
    return b"".join([_RANGE.pack(ids.start, len(ids), ids.step) for ids in ranges])


def encode_delivered(queue_id: int, upto: int) -> bytes:
    return _DELIVERED.pack(DELIVERED, 0, 0, queue_id, upto)


def encode_returned(queue_id: int, return_count: int, ranges: Sequence[range]) -> bytes:
    head = _RETURNED_HEAD.pack(RETURNED, 0, 0, queue_id, return_count, len(ranges))
    return head + _encode_ranges(ranges)


def encode_delete_queue(queue_id: int) -> bytes:
    return _DELETE_QUEUE.pack(DELETE_QUEUE, 0, 0, queue_id)


def encode_define(octets: bytes) -> bytes:
    return _DEFINE_HEAD.pack(DEFINE, 0, 0, len(octets)) + octets


def decode_records(octets: bytes, at: int, stop: int) -> Iterator[tuple[int, int, Record]]:
    """(start, stop, record) of each record in ``octets[at:stop]``, a batch's body.

    Raises UnknownFormat for a kind of record that this version does not know.
    """
    while at < stop:
        decode = _DECODERS.get(octets[at])
        if decode is None:
            raise UnknownFormat(f"unknown record type {octets[at]} in the log: written by a newer version")
        try:
            record, end = decode(octets, at)
        except struct.error as error:
            raise UnknownFormat(f"record of type {octets[at]} does not fit its batch: {error}") from error
        if end > stop:
            raise UnknownFormat(f"record of type {octets[at]} does not fit its batch")
        yield at, end, record
        at = end


def record_stop(octets: bytes, at: int) -> int:
    """Where the publish or copy record at ``at`` stops, of which only the first octets may be here.

    Raises struct.error where these do not tell, UnknownFormat for another kind of record.
    """
    kind = octets[at]
    if kind == PUBLISH:
        return _decode_publish(octets, at)[1]
    if kind == COPY:
        return _decode_copy(octets, at)[1]
    raise UnknownFormat(f"record type {kind} holds no messages")


def cut_pieces(octets: bytes, at: int, lengths: Sequence[int], count: int) -> list[bytes]:
    """The ``count`` bodies from ``at`` on."""
    pieces: list[bytes] = []
    if len(lengths) == 1:
        size = lengths[0]
        if not size:
            return [b""] * count
        # A struct of many equal strings cuts seven times as fast as slices do.
        stop = at + size * count
        if count >= _CUT_COUNT:
            cutter = _cutter(size)
            while stop - at >= cutter.size:
                pieces += cutter.unpack_from(octets, at)
                at += cutter.size
        pieces += [octets[start : start + size] for start in range(at, stop, size)]
        return pieces
    for size in lengths:
        pieces.append(octets[at : at + size])
        at += size
    return pieces


@lru_cache(maxsize=64)
def _cutter(size: int) -> struct.Struct:
    return struct.Struct(f"{size}s" * _CUT_COUNT)


def _lengths(octets: bytes, at: int, flags: int, size: int, count: int) -> tuple[Sequence[int], int, int]:
    """Lengths, offset of the pieces, offset behind them."""
    if not flags & MIXED:
        return (size,), at, at + size * count
    lengths: tuple[int, ...] = struct.unpack_from(f"<{count}I", octets, at)
    at += 4 * count
    return lengths, at, at + sum(lengths)


def _decode_publish(octets: bytes, at: int) -> tuple[Published, int]:
    _, flags, _, queue_count, envelope_octets, count, first_id, size = PUBLISH_HEAD.unpack_from(octets, at)
    at += PUBLISH_HEAD.size
    queue_ids = struct.unpack_from(f"<{queue_count}I", octets, at)
    at += 4 * queue_count
    envelope = slice(at, at + envelope_octets)
    lengths, pieces, end = _lengths(octets, at + envelope_octets, flags, size, count)
    return Published(first_id, count, queue_ids, envelope, lengths, pieces), end


def _decode_copy(octets: bytes, at: int) -> tuple[Copied, int]:
    _, flags, _, set_count, envelope_octets, count, first_id, span, size = _COPY_HEAD.unpack_from(octets, at)
    at += _COPY_HEAD.size
    queue_sets: list[tuple[int, ...]] = []
    for _ in range(set_count):
        (queue_count,) = _U32.unpack_from(octets, at)
        queue_sets.append(struct.unpack_from(f"<{queue_count}I", octets, at + 4))
        at += 4 + 4 * queue_count
    envelope = slice(at, at + envelope_octets)
    at += envelope_octets
    numbers = struct.unpack_from(f"<{2 * count}I", octets, at)
    lengths, pieces, end = _lengths(octets, at + 8 * count, flags, size, count)
    offsets, set_indexes = numbers[:count], numbers[count:]
    return Copied(first_id, span, queue_sets, offsets, set_indexes, envelope, lengths, pieces), end


def _decode_settle(octets: bytes, at: int) -> tuple[Settled, int]:
    _, _, _, queue_id, range_count = _SETTLE_HEAD.unpack_from(octets, at)
    ranges, end = _decode_ranges(octets, at + _SETTLE_HEAD.size, range_count)
    return Settled(queue_id, ranges), end


def _decode_ranges(octets: bytes, at: int, count: int) -> tuple[list[range], int]:
    end = at + count * _RANGE.size
    ranges = [range(first, first + length * step, step) for first, length, step in _RANGE.iter_unpack(octets[at:end])]
    return ranges, end


def _decode_delivered(octets: bytes, at: int) -> tuple[Delivered, int]:
    _, _, _, queue_id, upto = _DELIVERED.unpack_from(octets, at)
    return Delivered(queue_id, upto), at + _DELIVERED.size


def _decode_returned(octets: bytes, at: int) -> tuple[Returned, int]:
    _, _, _, queue_id, return_count, range_count = _RETURNED_HEAD.unpack_from(octets, at)
    ranges, end = _decode_ranges(octets, at + _RETURNED_HEAD.size, range_count)
    return Returned(queue_id, return_count, ranges), end


def _decode_delete_queue(octets: bytes, at: int) -> tuple[QueueDeleted, int]:
    _, _, _, queue_id = _DELETE_QUEUE.unpack_from(octets, at)
    return QueueDeleted(queue_id), at + _DELETE_QUEUE.size


def _decode_define(octets: bytes, at: int) -> tuple[Defined, int]:
    _, _, _, size = _DEFINE_HEAD.unpack_from(octets, at)
    at += _DEFINE_HEAD.size
    return Defined(octets[at : at + size]), at + size


_DECODERS: Final[dict[int, Callable[[bytes, int], tuple[Record, int]]]] = {
    PUBLISH: _decode_publish,
    SETTLE: _decode_settle,
    DELIVERED: _decode_delivered,
    RETURNED: _decode_returned,
    DELETE_QUEUE: _decode_delete_queue,
    COPY: _decode_copy,
    DEFINE: _decode_define,
}
