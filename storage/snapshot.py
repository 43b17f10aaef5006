"""The index of an orderly end: what was live where, so that the next start need not read the log.

It is believed only together with the mark of that end, and only if the segments are as long as they were. What happened
to their octets meanwhile shows when they are read, by the blocks' checksums, which are in here too. Layout:
docs/storage-format.md.
"""

import json
import struct
import sys
from array import array
from pathlib import Path
from typing import Any, Final, NamedTuple

from storage.blocks import Blocks
from storage.checksum import crc32
from storage.datadir import CleanMark
from storage.files import Disk
from storage.log import Tail, segment_numbers, segment_path
from storage.messages import CHUNK_RECORDS, MessageIndex, SegmentUse

MAGIC: Final = b"LVRT-IDX"
VERSION: Final = 1
LEAST_OCTETS: Final = 16 << 20
"""A shorter log is read in no time, and checked by that."""
NAME: Final = "index"

_HEAD: Final = struct.Struct("<8sII")  # magic, version, octets of the text
_CRC: Final = struct.Struct("<I")
_COLUMNS: Final = "QIQII"  # first id, count, position, live, queue set


class Snapshot(NamedTuple):
    """What an index file says beside the index itself."""

    tail: Tail
    segments: list[int]
    octets: int
    next_message_id: int
    next_queue_id: int


def put_snapshot(disk: Disk, directory: Path, index: MessageIndex, tail: Tail, next_ids: tuple[int, int]) -> None:
    """Write the index file of a log that ends at ``tail``, unless the log is short; none if it cannot be written.

    ``next_ids`` are those of the next message and of the next queue.
    """
    uses = [use for use in index.segments.values() if use.number <= tail.number]
    if sum(use.octets for use in uses) < LEAST_OCTETS:
        return
    columns = [array(code) for code in _COLUMNS]
    sets: dict[tuple[int, ...], int] = {}
    settled: list[tuple[int, int, int, int, int]] = []
    for chunk in index.chunks():
        places = array("I", [sets.setdefault(queue_ids, len(sets)) for queue_ids in chunk.queues])
        found = (chunk.firsts, chunk.counts, chunk.positions, chunk.live, places)
        is_whole = not chunk.live.count(0)
        for column, values in zip(columns, found, strict=True):
            # Narrow columns are of another kind.
            column.extend(list(values) if is_whole else [value for value, live in zip(values, chunk.live) if live])  # noqa: B905
        for first_id, ranges in chunk.settled.items():
            settled += [(first_id, queue_id, ids.start, ids.stop, ids.step) for queue_id, ids in ranges]
    text = {
        "tail": [tail.number, tail.octets, tail.chain, tail.batch_number],
        "next": next_ids,
        "entries": len(columns[0]),
        "queue sets": list(sets),
        "settled": settled,
        "watermarks": list(index.watermarks.items()),
        "return counts": [(queue_id, list(counts.items())) for queue_id, counts in index.return_counts.items()],
        "segments": [(use.number, use.octets, use.appended, len(use.blocks)) for use in uses],
    }
    for use in uses:
        columns += use.blocks.columns()
    encoded = json.dumps(text, separators=(",", ":")).encode()
    parts = [_HEAD.pack(MAGIC, VERSION, len(encoded)), encoded, *map(_little, columns)]
    checksum = 0
    for part in parts:
        checksum = crc32(part, checksum)
    new_path = directory / (NAME + ".new")
    try:
        fd = disk.create(new_path)
        try:
            disk.write(fd, [*parts, _CRC.pack(checksum)])
            disk.fdatasync(fd)
        finally:
            disk.close(fd)
    except OSError:
        disk.unlink(new_path)
        return
    disk.rename(new_path, directory / NAME)
    disk.dirsync(directory)


def take_snapshot(
    disk: Disk, directory: Path, log: Path, mark: CleanMark | None, index: MessageIndex
) -> Snapshot | None:
    """Fill an empty ``index`` from the index file, if it is of the end that ``mark`` is of; None if it is of no use."""
    if mark is None:
        return None
    try:
        octets = disk.read(directory / NAME)
        numbers = segment_numbers(disk.list(log))
        magic, version, text_octets = _HEAD.unpack_from(octets)
        if (magic, version) != (MAGIC, VERSION):
            return None
        if crc32(memoryview(octets)[: -_CRC.size]) != _CRC.unpack_from(octets, len(octets) - _CRC.size)[0]:
            return None
        at = _HEAD.size + text_octets
        text: dict[str, Any] = json.loads(octets[_HEAD.size : at])
        tail = Tail(*text["tail"])
        if (tail.number, tail.octets, tail.chain) != mark or numbers != [each[0] for each in text["segments"]]:
            return None
        if any(disk.size(segment_path(log, number)) != size for number, size, _, _ in text["segments"]):
            return None
    except (OSError, struct.error):
        return None
    at = _take_entries(text, octets, at, index)
    for number, size, appended, block_count in text["segments"]:
        use = index.segments[number]
        use.octets, use.appended = size, appended
        columns = []
        for _ in range(3):
            column = _column("I", octets, at, block_count)
            at += 4 * block_count
            columns.append(column)
        use.blocks = Blocks.of_columns(*columns)
    index.watermarks.update(text["watermarks"])
    for queue_id, counts in text["return counts"]:
        index.return_counts[queue_id] = dict(counts)
    return Snapshot(tail, numbers, sum(each[1] for each in text["segments"]), *text["next"])


def _take_entries(text: dict[str, Any], octets: bytes, at: int, index: MessageIndex) -> int:
    columns = []
    for code in _COLUMNS:
        column = _column(code, octets, at, text["entries"])
        at += column.itemsize * len(column)
        columns.append(column)
    settled: dict[int, list[tuple[int, range]]] = {}
    for first_id, queue_id, start, stop, step in text["settled"]:
        settled.setdefault(first_id, []).append((queue_id, range(start, stop, step)))
    for number, *_ in text["segments"]:
        index.segments[number] = SegmentUse(number, 0)
    index.tail = index.segments[text["segments"][-1][0]]
    sets = [tuple(queue_ids) for queue_ids in text["queue sets"]]
    for start in range(0, text["entries"], CHUNK_RECORDS):
        parts = [column[start : start + CHUNK_RECORDS] for column in columns]
        index.restore_chunk(parts[0], parts[1], parts[2], parts[3], [sets[place] for place in parts[4]], settled)
    return at


def _little(column: "array[int]") -> bytes:
    if sys.byteorder == "big":  # pragma: no cover
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _column(code: str, octets: bytes, at: int, count: int) -> "array[int]":
    column: array[int] = array(code)
    column.frombytes(octets[at : at + count * column.itemsize])
    if sys.byteorder == "big":  # pragma: no cover
        column.byteswap()
    return column
