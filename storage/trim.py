"""Keeps the log bounded: drops the oldest segment once all in it is settled, or copied to the tail.

The log is a ring, strictly oldest first. That order is what lets settlements go with their segment: whatever
they settle lies before them. Reads happen in a thread; what is still live is decided in the loop when the
copy is appended.

What of the oldest segment is damaged is copied aside, as the start does, and given up: else no room would be won any
more. What cannot be read at all, or not be copied aside, stays, and is tried again when the next segment is full.
"""

import contextlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from storage.committer import Committer
from storage.files import Disk
from storage.log import Broken, read_batches_with, segment_path
from storage.messages import MessageIndex, SegmentUse
from storage.quarantine import Quarantine
from storage.records import decode_records, encode_copy
from storage.recovery import record_pieces
from storage.segment import HEADER_OCTETS, scan

READ_OCTETS: Final = 1 << 20  # read, and so appended, in one step
STEP_RECORDS: Final = 500  # copied in one go of the loop: some milliseconds

Found = tuple[int, int, bytes]  # first id, offset in the segment, the record's octets


class Fetched(NamedTuple):
    """Records of a segment; first id and offset of those that are lost for good; what there is to say of damage."""

    found: list[Found]
    lost: list[tuple[int, int]]
    told: list[str]


class Trimmer:
    """Belongs to the loop's thread; ``step`` is called after each batch that came to disk."""

    __slots__ = (
        "_append",
        "_batch_at",
        "_directory",
        "_disk",
        "_durable_ticket",
        "_flush",
        "_index",
        "_is_over",
        "_quarantine",
        "_reader",
        "_salt",
        "_segment_octets",
        "_settle",
        "_stuck_at",
        "_written_segment",
        "damage",
        "is_busy",
        "is_short",
    )

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        salt: bytes,
        index: MessageIndex,
        reader: Committer,
        segment_octets: int,
        append: Callable[[int, Sequence[bytes]], None],
        settle: Callable[[int, range], None],
        flush: Callable[[], None],
        quarantine: Quarantine,
    ) -> None:
        """``append(first id, parts)`` puts a copy record into the batch being filled, ``settle(queue id, ids)`` a
        settlement.
        """
        self._disk = disk
        self._directory = directory
        self._salt = salt
        self._index = index
        self._reader = reader
        self._segment_octets = segment_octets
        self._append = append
        self._settle = settle
        self._flush = flush
        self._quarantine = quarantine
        self._durable_ticket = 0
        self._written_segment = 0
        self._batch_at = HEADER_OCTETS  # a batch of the oldest segment, with nothing live before it
        self._is_over = False
        self.is_busy = False
        self.is_short = False  # the disk is full: a copy takes room before it gives any
        self.damage: list[str] = []  # found while reading
        self._stuck_at = -1  # the segment that was written when the oldest could be neither read nor given up

    def stop(self) -> None:
        """Wait for what the thread is about; nothing follows it, for somebody else may have the directory next."""
        self._is_over = True
        self._reader.stop()

    def step(self, durable_ticket: int, written_segment: int) -> None:
        """Drop, or read the next part of, the oldest segment, if it is time to.

        ``written_segment``: the segment of the newest batch on disk; older ones are complete.
        """
        self._durable_ticket, self._written_segment = durable_ticket, written_segment
        if self.is_busy or self._is_over or self._reader.failure is not None:
            return
        oldest = next(iter(self._index.segments.values()))
        if oldest.number >= written_segment:
            return
        if not oldest.live:
            if oldest.dead_ticket <= durable_ticket:
                self._drop(oldest)
        elif written_segment > self._stuck_at and not self.is_short and self._is_worth_copying():
            self._read(oldest)

    def _is_worth_copying(self) -> bool:
        """Dead octets outweigh the live ones: then a round costs as much writing as it frees, or less."""
        total = live = 0
        for use in self._index.segments.values():
            if use is not self._index.tail:
                total += use.octets
                live += use.live_octets
        return total - live > max(live, 2 * self._segment_octets)

    def _drop(self, oldest: SegmentUse) -> None:
        self._index.drop_segment(oldest.number)
        self._batch_at = HEADER_OCTETS
        self.is_busy = True
        self._reader.submit(partial(self._remove, oldest.number), self._dropped)

    def _remove(self, number: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # somebody else has
            self._disk.unlink(segment_path(self._directory, number))
        # Before the next one may go: a settlement must not vanish while what it settled comes back.
        self._disk.dirsync(self._directory)

    def _dropped(self, _: None) -> None:
        self.is_busy = False
        self.step(self._durable_ticket, self._written_segment)

    def _read(self, oldest: SegmentUse) -> None:
        wanted = self._index.entries_in(oldest.number, STEP_RECORDS)
        if wanted:
            self.is_busy = True
            self._reader.submit(partial(self._fetch, oldest.number, wanted), partial(self._copy, oldest.number))

    def _fetch(self, number: int, wanted: list[tuple[int, int]]) -> Fetched:
        """The records at ``wanted`` (offset, first id), or the first some of them. In the reader's thread."""
        offsets = dict(sorted(wanted))
        if self._batch_at > next(iter(offsets)):
            self._batch_at = HEADER_OCTETS
        try:
            return self._fetch_from_disk(number, offsets)
        except FileNotFoundError:
            lost = [(first_id, offset) for offset, first_id in offsets.items()]
            return Fetched([], lost, [f"segment {number}: its file is gone; the messages in it are lost"])
        except OSError as error:  # what the disk cannot give back stays where it is: it may be able to another time
            return Fetched([], [], [f"segment {number}: it cannot be read and is kept ({error})"])

    def _fetch_from_disk(self, number: int, offsets: dict[int, int]) -> Fetched:
        batches = read_batches_with(
            self._disk,
            segment_path(self._directory, number),
            self._salt,
            list(offsets),
            self._batch_at,
            READ_OCTETS,
        )
        if batches is not None:
            return Fetched(self._records(batches, offsets), [], [])
        batches, broken = self._intact_batches(number)
        found = self._records(batches, offsets)
        there = {offset for _, offset, _ in found}
        lost: list[tuple[int, int]] = []
        told: list[str] = []
        for place in broken:
            inside = [(offsets[at], at) for at in offsets if place.start <= at < place.stop and at not in there]
            if inside:
                aside = self._quarantine.put(self._directory, place, self._salt)
                told.append(aside.told)
                if aside.is_durable:
                    lost += inside
        return Fetched(found, lost, told)

    def _records(self, batches: list[tuple[int, bytes]], offsets: dict[int, int]) -> list[Found]:
        found: list[Found] = []
        starts = [start for start, _ in batches]
        for offset, first_id in offsets.items():
            i = bisect_right(starts, offset) - 1
            if i >= 0 and offset < starts[i] + len(batches[i][1]):
                octets = batches[i][1]
                at, stop, _ = next(decode_records(octets, offset - starts[i], len(octets)))
                found.append((first_id, offset, octets[at:stop]))
        self._batch_at = starts[-1] if starts else HEADER_OCTETS
        return found

    def _intact_batches(self, number: int) -> tuple[list[tuple[int, bytes]], list[Broken]]:
        """All that can be read of a damaged segment, and the places between."""
        octets = self._disk.read(segment_path(self._directory, number))
        batches: list[tuple[int, bytes]] = []
        broken: list[Broken] = []
        at = HEADER_OCTETS
        for batch in scan(octets, self._salt):
            if batch.start != at:
                broken.append(Broken(number, at, batch.start))
            batches.append((batch.start, octets[batch.start : batch.stop]))
            at = batch.stop
        # Whatever should be behind the file's end is lost as well.
        broken.append(Broken(number, at, max(len(octets), self._index.segments[number].octets)))
        return batches, broken

    def _copy(self, number: int, fetched: Fetched) -> None:
        self.is_busy = False
        self.damage += [what for what in fetched.told if what not in self.damage]
        if not fetched.found and not fetched.lost:
            self._stuck_at = self._written_segment
            return
        live = [each for each in fetched.found if self._index.position(each[0]) == (number, each[1])]
        for first_id, _, octets in live:
            self._append(first_id, self._copy_of(first_id, octets))
        lost = [first_id for first_id, offset in fetched.lost if self._index.position(first_id) == (number, offset)]
        for first_id in lost:
            self._give_up(first_id)
        if live or lost:
            self._flush()
        else:
            # All of it was settled meanwhile: no batch follows that would have the next step taken.
            self.step(self._durable_ticket, self._written_segment)

    def _give_up(self, first_id: int) -> None:
        """Settle the messages of a record that is damaged. What a queue has of them in memory it may deliver still."""
        for message_id, queue_ids in enumerate(self._index.queue_sets(first_id), first_id):
            for queue_id in queue_ids:
                self._settle(queue_id, range(message_id, message_id + 1))

    def _copy_of(self, first_id: int, octets: bytes) -> list[bytes]:
        envelope, pieces = record_pieces(octets)
        sets = self._index.queue_sets(first_id)
        offsets = [offset for offset, queue_ids in enumerate(sets) if queue_ids]
        distinct = list(dict.fromkeys(sets[offset] for offset in offsets))
        indexes = {queue_ids: i for i, queue_ids in enumerate(distinct)}
        return encode_copy(
            first_id,
            len(sets),
            distinct,
            offsets,
            [indexes[sets[offset]] for offset in offsets],
            envelope,
            [pieces[offset] for offset in offsets],
        )
