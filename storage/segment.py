"""Octets of a segment file: its header, and the batches behind it. Pure functions; no files, no idea of
records.

A batch is whole or it never happened. Checksums of headers are salted with octets only this store knows, so
that no message body, however crafted, can be taken for a batch when a scan looks for the next one behind
something broken. The layout is in docs/storage-format.md.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from storage.blocks import BatchBlocks
from storage.checksum import crc32

VERSION: Final = 1
LOG_MAGIC: Final = b"LVRT-LOG"
JOURNAL_MAGIC: Final = b"LVRT-DEF"
BATCH_MAGIC: Final = b"\xb5LvB"
SALT_OCTETS: Final = 8

_HEADER: Final = struct.Struct("<8sHH8sQQQQII")  # ... + crc
_BATCH: Final = struct.Struct("<4sIIIQI")  # ... + crc
_CRC: Final = struct.Struct("<I")
HEADER_OCTETS: Final = _HEADER.size + _CRC.size  # 64
BATCH_HEADER_OCTETS: Final = _BATCH.size + _CRC.size  # 32


class SegmentHeader(NamedTuple):
    """First 64 octets of a segment file; ``chain`` is the checksum of the batch before its first one."""

    magic: bytes
    version: int
    salt: bytes
    number: int
    batch_number: int
    next_message_id: int
    next_queue_id: int
    chain: int

    def encode(self) -> bytes:
        head = _HEADER.pack(
            self.magic,
            self.version,
            0,
            self.salt,
            self.number,
            self.batch_number,
            self.next_message_id,
            self.next_queue_id,
            self.chain,
            0,
        )
        return head + _CRC.pack(crc32(head))


def decode_header(octets: bytes) -> SegmentHeader | None:
    """The header at the start of ``octets``, of whatever version; None when it is short or damaged."""
    if len(octets) < HEADER_OCTETS:
        return None
    if crc32(octets[: _HEADER.size]) != _CRC.unpack_from(octets, _HEADER.size)[0]:
        return None
    magic, version, _, salt, number, batch_number, message_id, queue_id, chain, _ = _HEADER.unpack_from(octets)
    return SegmentHeader(magic, version, salt, number, batch_number, message_id, queue_id, chain)


class Batch(NamedTuple):
    """Where a batch lies in its file: header from ``start``, records from ``body`` to ``stop``."""

    start: int
    body: int
    stop: int
    number: int
    record_count: int
    previous: int
    checksum: int
    body_checksum: int
    blocks: BatchBlocks  # filled by scan


def batch_header(
    salt: bytes, number: int, previous: int, record_count: int, octets: int, body_checksum: int
) -> tuple[bytes, int]:
    """The 32 octets in front of a batch of ``octets`` octets of records, and the checksum that chains to the
    next.
    """
    head = _BATCH.pack(BATCH_MAGIC, octets, record_count, previous, number, body_checksum)
    checksum = crc32(head, crc32(salt))
    return head + _CRC.pack(checksum), checksum


def decode_batch_header(octets: bytes | memoryview, at: int, start: int, salt: bytes) -> Batch | None:
    """The batch whose header lies at ``octets[at:]``, which is offset ``start`` of the file; None if it is
    not one.
    """
    if at + BATCH_HEADER_OCTETS > len(octets):
        return None
    magic, size, record_count, previous, number, body_checksum = _BATCH.unpack_from(octets, at)
    if magic != BATCH_MAGIC:
        return None
    checksum = _CRC.unpack_from(octets, at + _BATCH.size)[0]
    if crc32(octets[at : at + _BATCH.size], crc32(salt)) != checksum:
        return None
    body = start + BATCH_HEADER_OCTETS
    return Batch(
        start, body, body + size, number, record_count, previous, checksum, body_checksum, BatchBlocks.begin(body)
    )


def scan(octets: bytes, salt: bytes, at: int = HEADER_OCTETS) -> Iterator[Batch]:
    """Every intact batch from ``at`` on. What is broken is skipped: the next batch's ``start`` then lies
    further on.

    Never raises: the caller compares positions, numbers and checksums, and decides between cutting and
    reporting.
    """
    view = memoryview(octets)
    while at < len(octets):
        batch = decode_batch_header(view, at, at, salt)
        if batch is not None and batch.stop <= len(octets):
            batch.blocks.extend(view[batch.body : batch.stop])
            if batch.blocks.checksum == batch.body_checksum:
                at = batch.stop
                yield batch
                continue
        # Not by its length, even where the header is whole: it may stand where it does not belong, and whole batches
        # would be jumped over.
        found = octets.find(BATCH_MAGIC, at + 1)
        at = found if found >= 0 else len(octets)
