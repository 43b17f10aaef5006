"""Segment files: written at the newest's end, read front to back, dropped at the oldest. Batches, not records.

The same files hold the messages' log (many segments) and the definitions' journal (one at a time). This is
the seam behind which a replicated log may stand one day: append, read, drop; a position is (segment, offset).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from storage.blocks import BatchBlocks
from storage.checksum import crc32
from storage.errors import DiskFull, UnknownFormat
from storage.files import Disk
from storage.segment import (
    BATCH_HEADER_OCTETS,
    HEADER_OCTETS,
    VERSION,
    Batch,
    SegmentHeader,
    batch_header,
    decode_batch_header,
    decode_header,
    scan,
)
from storage.space import full_disk_told

SUFFIX: Final = ".segment"
NEW_SUFFIX: Final = ".new"


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:020d}{SUFFIX}"


def segment_numbers(names: Iterable[str]) -> list[int]:
    """Numbers of the segment files among ``names``, ascending."""
    stems = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
    return sorted(int(stem) for stem in stems if len(stem) == 20 and stem.isdecimal())


@dataclass(slots=True)
class Tail:
    """Where the next batch goes: file, length, and what chains to it."""

    number: int
    octets: int
    chain: int
    batch_number: int


class SegmentWriter:
    """Appends batches to the newest segment file and makes them durable. Used by one thread at a time."""

    __slots__ = ("_directory", "_disk", "_fd", "_magic", "_salt", "tail")

    def __init__(self, disk: Disk, directory: Path, magic: bytes, salt: bytes, tail: Tail) -> None:
        self._disk = disk
        self._directory = directory
        self._magic = magic
        self._salt = salt
        self._fd: int | None = None
        self.tail = tail

    def create(self, number: int, next_message_id: int = 0, next_queue_id: int = 0) -> None:
        """Begin segment ``number``: its header and its name are on disk before anything is written behind it.

        Raises DiskFull as ``append``.
        """
        self._open_new(number, segment_path(self._directory, number), next_message_id, next_queue_id)
        self._disk.dirsync(self._directory)

    def replace(self, number: int, groups: Sequence[Sequence[bytes]], record_count: int) -> None:
        """Begin segment ``number`` with one batch in it, which appears whole or not at all (by rename)."""
        path = segment_path(self._directory, number)
        new_path = path.with_suffix(NEW_SUFFIX)
        before = replace(self.tail)
        try:
            self._open_new(number, new_path, 0, 0)
            self.append(groups, record_count)
            with full_disk_told(_nothing):
                self._disk.rename(new_path, path)
        except DiskFull:
            self.close()
            self.tail = before
            self._disk.unlink(new_path)
            raise
        self._disk.dirsync(self._directory)

    def append(self, groups: Sequence[Sequence[bytes]], record_count: int) -> BatchBlocks:
        """As ``write``, and wait until it is on disk."""
        blocks = self.write(groups, record_count)
        self.sync()
        return blocks

    def write(self, groups: Sequence[Sequence[bytes]], record_count: int) -> BatchBlocks:
        """Write one batch made of ``groups`` of parts, to be durable after a sync, and return its blocks.

        Each group is joined by itself, some hundred KiB at a time: joining holds the interpreter's lock, the
        checksum and the write do not. Raises DiskFull when there is no room for it; then nothing of it is there.
        """
        if self._fd is None:
            self._fd = self._disk.open(segment_path(self._directory, self.tail.number))
        buffers = [b""]
        octets = 0
        tail = self.tail
        blocks = BatchBlocks.begin(tail.octets + BATCH_HEADER_OCTETS)
        for parts in groups:
            joined = b"".join(parts)
            blocks.extend(joined)
            octets += len(joined)
            buffers.append(joined)
        buffers[0], chain = batch_header(
            self._salt, tail.batch_number, tail.chain, record_count, octets, blocks.checksum
        )
        with full_disk_told(self._cut):
            self._disk.write(self._fd, buffers)
        tail.octets += BATCH_HEADER_OCTETS + octets
        tail.chain = chain
        tail.batch_number += 1
        return blocks

    def sync(self) -> None:
        """Make durable what was written."""
        assert self._fd is not None
        self._disk.fdatasync(self._fd)

    @property
    def open_fd(self) -> int:
        """The descriptor of the newest file, -1 where it is not open."""
        return -1 if self._fd is None else self._fd

    def resume(self, is_torn: bool) -> None:
        """Make durable what was read of the newest file and of the names; cut off what follows a torn batch.

        What a killed process wrote may be in the page cache only, and decisions are about to be based on it.
        """
        path = segment_path(self._directory, self.tail.number)
        if self._disk.exists(path):
            self._fd = self._disk.open(path)
            if is_torn:
                self._disk.truncate(self._fd, self.tail.octets)
            self._disk.fdatasync(self._fd)
        self._disk.dirsync(self._directory)

    def drop(self, number: int) -> None:
        """Remove a segment, durably: a newer one must never go while an older one may come back."""
        self._disk.unlink(segment_path(self._directory, number))
        self._disk.dirsync(self._directory)

    def close(self) -> None:
        if self._fd is not None:
            self._disk.close(self._fd)
            self._fd = None

    def _cut(self) -> None:
        """Take a part of a batch off the file's end again."""
        assert self._fd is not None
        self._disk.truncate(self._fd, self.tail.octets)

    def _open_new(self, number: int, path: Path, next_message_id: int, next_queue_id: int) -> None:
        self.close()
        tail = self.tail
        header = SegmentHeader(
            self._magic, VERSION, self._salt, number, tail.batch_number, next_message_id, next_queue_id, tail.chain
        )
        with full_disk_told(self.close):
            self._fd = self._disk.create(path)
            self._disk.write(self._fd, [header.encode()])
        self._disk.fdatasync(self._fd)
        tail.number = number
        tail.octets = HEADER_OCTETS


class Broken(NamedTuple):
    """Octets ``start`` to ``stop`` of segment ``number`` that are not what was written there."""

    number: int
    start: int
    stop: int


@dataclass(slots=True)
class Reading:
    """What was found in a directory of segments."""

    tail: Tail
    segments: list[int] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)  # the places that damage lies at
    torn: Broken | None = None  # what is cut off
    octets: int = 0
    next_message_id: int = 1
    next_queue_id: int = 1
    dropped_octets: int = 0
    is_torn: bool = False  # the newest file is to be cut to tail.octets
    is_sealed: bool = False  # the newest file must not be appended to: it is damaged or not there
    unborn: int | None = None  # a newest segment whose creation was cut short; to be removed


class SegmentReader:
    """Reads segments front to back, once, and gives each intact batch to a fold. Writes nothing."""

    __slots__ = (
        "_chain",
        "_directory",
        "_disk",
        "_end",
        "_magic",
        "_on_batch",
        "_on_segment",
        "_on_segment_end",
        "_reading",
        "_salt",
    )

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        magic: bytes,
        salt: bytes,
        on_batch: Callable[[bytes, Batch], None],
        on_segment: Callable[[int], None] = lambda number: None,
        on_segment_end: Callable[[int], None] = lambda octets: None,
    ) -> None:
        """``on_segment(number)`` is called before the first batch of each segment, the other after its last
        one.
        """
        self._disk = disk
        self._directory = directory
        self._magic = magic
        self._salt = salt
        self._on_batch = on_batch
        self._on_segment = on_segment
        self._on_segment_end = on_segment_end
        self._reading = Reading(Tail(0, HEADER_OCTETS, 0, 1))
        self._end = HEADER_OCTETS  # of the last intact batch in the segment that is read
        self._chain: tuple[int, int] | None = None  # checksum and number of the last batch; None: not known

    def read(self, numbers: Sequence[int]) -> Reading:
        """Read segments ``numbers`` (ascending). Raises UnknownFormat for a version that is not ours."""
        reading = self._reading
        for number in numbers:
            if reading.segments and number != reading.segments[-1] + 1:
                missing = f"{reading.segments[-1] + 1}..{number - 1}"
                self._damaged(f"segments {missing} are missing")
            self._read_segment(number, is_newest=number == numbers[-1])
        if not reading.segments:
            reading.is_sealed = True
            reading.tail.number = max(numbers, default=1) - 1
        return reading

    def _read_segment(self, number: int, is_newest: bool) -> None:
        reading = self._reading
        octets = self._disk.read(segment_path(self._directory, number))
        header = decode_header(octets)
        if header is None and is_newest and len(octets) <= HEADER_OCTETS:
            # Nothing is written behind a header before it is on disk, so this one never held anything.
            reading.unborn = number
            reading.dropped_octets += len(octets)
            return
        reading.is_sealed = False
        if header is None:
            self._damaged(f"segment {number}: its header is broken")
            reading.broken.append(Broken(number, 0, min(HEADER_OCTETS, len(octets))))
            reading.is_sealed = True
        elif not self._is_ours(header, number):
            reading.is_sealed = True
            reading.segments.append(number)
            reading.tail.number = number
            return
        else:
            self._follow(header, number)
        reading.segments.append(number)
        self._on_segment(number)
        end = self._read_batches(number, octets, header)
        if end < len(octets):
            rest = Broken(number, end, len(octets))
            if is_newest:
                reading.is_torn = True
                reading.torn = rest
                reading.dropped_octets += len(octets) - end
            else:
                self._damaged(f"segment {number}: octets {end}..{len(octets)} at its end are broken")
                reading.broken.append(rest)
        reading.octets += end
        reading.tail.number = number
        reading.tail.octets = end
        self._on_segment_end(end if is_newest else len(octets))

    def _is_ours(self, header: SegmentHeader, number: int) -> bool:
        if header.magic != self._magic or header.version != VERSION:
            raise UnknownFormat(f"segment {number} in {self._directory} has format version {header.version}")
        if header.salt != self._salt or header.number != number:
            self._damaged(f"segment {number}: it is not of this place (number {header.number}), nothing of it is used")
            return False
        return True

    def _follow(self, header: SegmentHeader, number: int) -> None:
        reading = self._reading
        if self._chain is not None and self._chain != (header.chain, header.batch_number - 1):
            self._damaged(f"segment {number}: it does not follow the batch before it")
        self._chain = (header.chain, header.batch_number - 1)
        reading.tail.chain, reading.tail.batch_number = header.chain, header.batch_number
        reading.next_message_id = max(reading.next_message_id, header.next_message_id)
        reading.next_queue_id = max(reading.next_queue_id, header.next_queue_id)

    def _read_batches(self, number: int, octets: bytes, header: SegmentHeader | None) -> int:
        """Take the segment's batches, and return where the last of them ends."""
        reading = self._reading
        self._end = HEADER_OCTETS
        placed = self._placed(number, octets)
        for batch in placed:
            if batch.number <= reading.tail.batch_number:
                self._take(number, octets, batch)
                continue
            # Some are missing here; should a disk have put them further back, they have their turn first.
            rest = [batch, *placed]
            ordered = sorted(rest, key=lambda each: each.number)
            if any(one is not other for one, other in zip(ordered, rest, strict=True)):
                self._damaged(f"segment {number}: batches from {batch.number} at {batch.start} on are out of order")
                reading.is_sealed = True
            for each in ordered:
                self._take(number, octets, each)
        return self._end

    def _placed(self, number: int, octets: bytes) -> Iterator[Batch]:
        """Every intact batch as it lies, with a note of what is broken between them."""
        for batch in scan(octets, self._salt):
            if batch.start != self._end:
                self._damaged(f"segment {number}: octets {self._end}..{batch.start} are broken")
                self._reading.broken.append(Broken(number, self._end, batch.start))
                self._reading.is_sealed = True
            self._end = batch.stop
            yield batch

    def _take(self, number: int, octets: bytes, batch: Batch) -> None:
        """Hand on a batch that was not seen before."""
        reading = self._reading
        if batch.number < reading.tail.batch_number:
            self._damaged(f"segment {number}: batch {batch.number} at {batch.start} is there twice")
            return
        if self._chain is not None and self._chain != (batch.previous, batch.number - 1):
            self._damaged(f"segment {number}: batch {batch.number} at {batch.start} does not follow the one before")
        self._on_batch(octets, batch)
        self._chain = (batch.checksum, batch.number)
        reading.tail.chain, reading.tail.batch_number = batch.checksum, batch.number + 1

    def _damaged(self, what: str) -> None:
        """Note it; what follows is not compared with what came before."""
        self._reading.damage.append(what)
        self._chain = None


def _nothing() -> None:
    """There is nothing to undo."""


def read_batches_with(
    disk: Disk, path: Path, salt: bytes, offsets: Sequence[int], at: int, limit_octets: int
) -> list[tuple[int, bytes]] | None:
    """The batches that hold ``offsets`` (ascending): where each begins in its file, and its octets.

    Goes from header to header, from the batch at ``at`` on, and reads and checks only the batches asked for,
    until ``limit_octets`` are read (one batch at the least). None when something in the way is broken.
    """
    fd = disk.open_read(path)
    try:
        found: list[tuple[int, bytes]] = []
        read_octets = 0
        for offset in offsets:
            if found and offset < at:
                continue
            while True:
                batch = decode_batch_header(disk.pread(fd, BATCH_HEADER_OCTETS, at), 0, at, salt)
                if batch is None:
                    return None
                at = batch.stop
                if offset < at:
                    break
            octets = disk.pread(fd, batch.stop - batch.start, batch.start)
            if crc32(octets[BATCH_HEADER_OCTETS:]) != batch.body_checksum:
                return None
            found.append((batch.start, octets))
            read_octets += len(octets)
            if read_octets >= limit_octets:
                break
        return found
    finally:
        disk.close(fd)
