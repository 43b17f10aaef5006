"""Damaged octets are copied aside before anything can overwrite them, and told by what is left of them.

A copy is a file of its own in ``quarantine/``, named for the place that it was at. Nothing reads it but people.

What may be dropped once it is copied is dropped only if the copy is durable. So a copy that cannot be made (no room,
say) is told and may be tried again; a sync of it that fails is final, as any is.
"""

import contextlib
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from storage.errors import StorageError, UnknownFormat
from storage.files import Disk
from storage.log import Broken, Reading, segment_path
from storage.records import Copied, Defined, Published, QueueDeleted, Settled, decode_records
from storage.segment import BATCH_HEADER_OCTETS, decode_batch_header

TOLD_MAX: Final = 5  # records of a broken batch that are named

Synced = TypeVar("Synced", Path, int)


class PutAside(NamedTuple):
    """A line for the log that says what was damaged and where it is now; whether its copy outlives a power cut."""

    told: str
    is_durable: bool


class Quarantine:
    """The directory for what is damaged; made when it is needed first. ``kind`` is the folder that it comes from."""

    __slots__ = ("_disk", "_lock", "failure", "path")

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._lock = threading.Lock()  # the loop and the thread that reads ahead may meet the same place
        self.failure: StorageError | None = None
        """Set, in whatever thread, when a copy could not be synced."""
        self.path = path

    def put_all(self, folder: Path, reading: Reading, salt: bytes, was_closed: bool) -> list[str]:
        """Copy all aside that is broken in ``folder``, and what is going to be cut off its end if it may have been
        promised: after an orderly end, or when it is a batch of full length. Returns a line on each. Raises
        StorageError as put does.
        """
        places = list(reading.broken)
        torn = reading.torn
        if torn is not None and (was_closed or self._is_whole(folder, torn, salt)):
            places.append(torn)
        return [self.put(folder, broken, salt).told for broken in places]

    def _is_whole(self, folder: Path, torn: Broken, salt: bytes) -> bool:
        with contextlib.suppress(OSError):
            batch = decode_batch_header(
                self._disk.read(segment_path(folder, torn.number)), torn.start, torn.start, salt
            )
            return batch is not None and batch.stop <= torn.stop
        return False

    def put(self, folder: Path, broken: Broken, salt: bytes) -> PutAside:
        """Copy what is broken aside. What cannot be copied is still named.

        Raises StorageError when a copy was written and could not be synced, and from then on each time: what the kernel
        has kept of it cannot be known, and a sync that succeeds later says nothing about it.
        """
        try:
            octets = self._disk.read(segment_path(folder, broken.number))
        except OSError as error:
            return PutAside(f"{folder.name}: segment {broken.number} cannot be read ({error})", False)
        told = tell(octets, broken, salt)
        target = self._target(folder, broken)
        what = f"{folder.name}: segment {broken.number}, octets {broken.start}..{broken.stop}: {told}"
        try:
            with self._lock:
                if self.failure is not None:
                    raise self.failure
                if not self._disk.exists(target):
                    self._copy(octets[broken.start : broken.stop], target)
                # Even if it was there: whoever gave it its name may have ended before that was durable.
                self._sync(self._disk.dirsync, self.path)
        except OSError as error:
            return PutAside(f"{what}; not copied aside ({error})", False)
        return PutAside(f"{what}; copied to {target}", True)

    def put_what_is_read(
        self,
        folder: Path,
        salt: bytes,
        on_failure: Callable[[StorageError], None],
        number: int,
        start: int,
        stop: int,
    ) -> str:
        """As put, where nobody can be told of a failed sync but by ``on_failure(error)``, once, in whatever thread."""
        if self.failure is None:
            try:
                return self.put(folder, Broken(number, start, stop), salt).told
            except StorageError as error:
                on_failure(error)
        return f"{folder.name}: segment {number}, octets {start}..{stop}: not copied aside ({self.failure})"

    def _target(self, folder: Path, broken: Broken) -> Path:
        return self.path / f"{folder.name}-{broken.number:020d}-{broken.start}-{broken.stop}"

    def names(self) -> list[str]:
        """What is in quarantine."""
        with contextlib.suppress(OSError):
            return self._disk.list(self.path)
        return []

    def _copy(self, octets: bytes, target: Path) -> None:
        """Write the copy; it has its name once its content is durable. Raises OSError when it cannot be written."""
        if not self._disk.exists(self.path):
            self._disk.mkdir(self.path)
        # The directory may be of one who ended before its name was durable.
        self._sync(self._disk.dirsync, self.path.parent)
        new_path = target.with_name(target.name + ".new")
        fd = self._disk.create(new_path)
        try:
            self._disk.write(fd, [octets])
            self._sync(self._disk.fdatasync, fd)
        finally:
            self._disk.close(fd)
        self._disk.rename(new_path, target)

    def _sync(self, sync: Callable[[Synced], None], what: Synced) -> None:
        try:
            sync(what)
        except OSError as error:
            self.failure = StorageError(f"storage failed: {self.path}: {error.__class__.__name__}: {error}")
            raise self.failure from error


def tell_at(disk: Disk, folder: Path, broken: Broken, salt: bytes) -> str:
    """The line about a damaged place of which nothing is copied."""
    try:
        octets = disk.read(segment_path(folder, broken.number))
    except OSError as error:
        return f"{folder.name}: segment {broken.number} cannot be read ({error})"
    place = f"{folder.name}: segment {broken.number}, octets {broken.start}..{broken.stop}"
    return f"{place}: {tell(octets, broken, salt)}"


def tell(octets: bytes, broken: Broken, salt: bytes) -> str:
    """What the broken octets seem to be, as far as their own words can be trusted."""
    batch = decode_batch_header(octets, broken.start, broken.start, salt)
    if batch is None:
        return "no batch can be made out"
    told: list[str] = []
    with contextlib.suppress(UnknownFormat, struct.error, ValueError, IndexError, OverflowError):
        for _, _, record in decode_records(octets, broken.start + BATCH_HEADER_OCTETS, min(batch.stop, broken.stop)):
            told.append(_record_told(record))
            if len(told) > TOLD_MAX:
                told[-1] = "..."
                break
    return f"batch {batch.number} of {batch.record_count} records, as it seems: {'; '.join(told) or 'unreadable'}"


def _record_told(record: object) -> str:
    if isinstance(record, Published):
        last = record.first_id + record.message_count - 1
        queues = ", ".join(map(str, record.queue_ids[:TOLD_MAX]))
        return f"messages {record.first_id}..{last} of queue ids {queues}"
    if isinstance(record, Copied):
        return f"copies of messages from {record.first_id} on"
    if isinstance(record, Settled):
        return f"settlements in queue id {record.queue_id}"
    if isinstance(record, QueueDeleted):
        return f"the end of queue id {record.queue_id}"
    if isinstance(record, Defined):
        return f"definition {record.octets[:60].decode('utf-8', 'replace')}"
    return "notes on deliveries"
