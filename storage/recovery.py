"""Recovery: one pass over the log gives the live set, and the messages in it as runs for the queues.

Without their bodies: these are read when somebody wants them, see reading.py.
"""

import struct
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from storage.datadir import CleanMark, DataDirectory
from storage.definitions import Definition
from storage.files import Disk
from storage.log import Reading, SegmentReader, segment_path
from storage.messages import MessageIndex
from storage.records import (
    PUBLISH,
    PUBLISH_HEAD,
    Copied,
    Delivered,
    Published,
    QueueDeleted,
    Record,
    Returned,
    Settled,
    cut_pieces,
    decode_records,
)
from storage.segment import HEADER_OCTETS, LOG_MAGIC, Batch
from storage.snapshot import take_snapshot

Progress = Callable[[int, int], None]
"""Is told how many octets of the log are read, and of how many."""


class RecoveredRun(NamedTuple):
    """Messages with consecutive ids that are unsettled in the same queues. ``queues``: queue id ->
    redelivered. ``return_counts``: queue id -> how often they came back, for queues that told.
    """

    ids: range
    queues: dict[int, bool]
    return_counts: dict[int, int]

    @property
    def redelivered(self) -> bool:
        """Delivered at least once from at least one of the queues."""
        return any(self.queues.values())


Columns: TypeAlias = Sequence[int]


class LiveRuns:
    """What is live in an index, as runs that are as long as they can be, ascending by id."""

    __slots__ = ("_index", "_wanted")

    def __init__(self, index: MessageIndex, wanted: Collection[int] | None = None) -> None:
        """``wanted``: only runs with something in one of these queues; some others may be among them."""
        self._index = index
        self._wanted = None if wanted is None else frozenset(wanted)

    def of_queues(self, queue_ids: Collection[int]) -> "LiveRuns":
        """Runs with something in one of the queues; there may be others among them."""
        return LiveRuns(self._index, queue_ids)

    def __iter__(self) -> Iterator[RecoveredRun]:
        start = stop = 0
        queue_ids: tuple[int, ...] = ()
        for low, high, live_in in self._spans():
            if low == stop and live_in == queue_ids:
                stop = high
                continue
            if queue_ids:
                yield from self._cut(start, stop, queue_ids)
            start, stop, queue_ids = low, high, live_in
        if queue_ids:
            yield from self._cut(start, stop, queue_ids)

    def message_count(self) -> int:
        """How many messages are live in some queue."""
        count = 0
        for chunk in self._index.chunks():
            if chunk.plain is not None:
                count += chunk.live_count
                continue
            if not chunk.settled and not chunk.live.count(0):
                count += sum(chunk.counts)
                continue
            for first_id, each, live in zip(chunk.firsts, chunk.counts, chunk.live, strict=True):
                if first_id in chunk.settled:
                    count += sum(1 for queue_ids in self._index.queue_sets(first_id) if queue_ids)
                elif live:
                    count += each
        return count

    def by_queue(self) -> Iterator[tuple[int, Columns, Columns]]:
        """Queue id, first ids and counts: of each queue what is live in it, ascending; in many parts, in no order.

        Neighbours may be in parts of their own. What else is known of them is in the index: ``redelivered_upto``.
        """
        for chunk in self._index.chunks():
            firsts, counts = chunk.firsts, chunk.counts
            if chunk.plain is not None and chunk.live_count == len(firsts):
                if firsts[-1] - firsts[0] == len(firsts) - 1:
                    yield chunk.plain[0], firsts[:1], (len(firsts),)
                else:
                    yield chunk.plain[0], firsts, counts
                continue
            found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
            for first_id, count, live, queue_ids in zip(firsts, counts, chunk.live, chunk.queues, strict=True):
                if not live:
                    continue
                if first_id in chunk.settled:
                    for message_id, live_in in enumerate(self._index.queue_sets(first_id), first_id):
                        for queue_id in live_in:
                            found[queue_id].append((message_id, 1))
                else:
                    for queue_id in queue_ids:
                        found[queue_id].append((first_id, count))
            for queue_id, pairs in found.items():
                part_firsts, part_counts = zip(*pairs, strict=True)
                yield queue_id, part_firsts, part_counts

    def place_count(self) -> int:
        """How many places messages have in queues: one that is live in two counts twice."""
        return sum(chunk.live_count for chunk in self._index.chunks())

    def redelivered_upto(self, queue_id: int) -> int:
        """What is live in the queue has been delivered before up to this id."""
        return self._index.watermarks.get(queue_id, 0)

    def _spans(self) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """(first id, id after the last, queues) of messages that are live in the same queues; neighbours may be too."""
        for chunk in self._index.chunks():
            if self._wanted is not None and not any(map(self._wanted.intersection, set(chunk.queues))):
                continue
            firsts = chunk.firsts
            is_whole = chunk.plain is not None and chunk.live_count == len(firsts)
            if is_whole and chunk.plain is not None and firsts[-1] - firsts[0] == len(firsts) - 1:
                yield firsts[0], firsts[-1] + 1, chunk.plain
                continue
            for first_id, count, live, queue_ids in zip(firsts, chunk.counts, chunk.live, chunk.queues, strict=True):
                if not live:
                    continue
                if first_id not in chunk.settled:
                    yield first_id, first_id + count, queue_ids
                    continue
                for message_id, live_in in enumerate(self._index.queue_sets(first_id), first_id):
                    if live_in:
                        yield message_id, message_id + 1, live_in

    def _cut(self, start: int, stop: int, queue_ids: tuple[int, ...]) -> Iterator[RecoveredRun]:
        """Cut messages where a queue's watermark lies, and where a return count changes."""
        marks_of, returned = self._index.watermarks, self._index.return_counts
        marks = {marks_of.get(queue_id, 0) + 1 for queue_id in queue_ids}
        counts = {queue_id: returned[queue_id] for queue_id in queue_ids if queue_id in returned}
        for known in counts.values():
            for message_id in known if len(known) < stop - start else [i for i in range(start, stop) if i in known]:
                if known.get(message_id - 1) != known[message_id]:
                    marks.add(message_id)
                if known.get(message_id + 1) != known[message_id]:
                    marks.add(message_id + 1)
        for low, high in pairwise([start, *sorted(mark for mark in marks if start < mark < stop), stop]):
            queues = {queue_id: low <= marks_of.get(queue_id, 0) for queue_id in queue_ids}
            told = {queue_id: known[low] for queue_id, known in counts.items() if low in known}
            yield RecoveredRun(range(low, high), queues, told)


@dataclass(slots=True)
class Recovery:
    """What was found on opening. ``messages`` is ascending by id, and right until something is appended; their
    bodies are read by way of Store.reading.
    """

    definitions: list[Definition] = field(default_factory=list)
    messages: LiveRuns = field(default_factory=lambda: LiveRuns(MessageIndex()))
    next_message_id: int = 1
    next_queue_id: int = 1  # above every queue id in the log; definitions may name higher ones
    clean: bool = False  # closed in order the last time
    dropped_octets: int = 0  # a torn batch at the end, cut off: nothing in it was ever promised
    damage: list[str] = field(default_factory=list)  # what is broken elsewhere: something promised may be missing
    quarantined: list[str] = field(default_factory=list)  # what of it was copied aside, and where to
    segments: int = 0
    octets: int = 0
    message_count: int = 0
    duration_s: float = 0.0


class LogFold:
    """Applies the log's records to an index."""

    __slots__ = ("_packed_sets", "_queue_sets", "index", "next_message_id", "next_queue_id")

    def __init__(self, index: MessageIndex) -> None:
        self.index = index
        self.next_message_id = 1
        self.next_queue_id = 1
        self._queue_sets: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._packed_sets: dict[bytes, tuple[int, ...]] = {}  # as they stand in records

    def begin_segment(self, number: int) -> None:
        self.index.begin_segment(number, HEADER_OCTETS)

    def end_segment(self, octets: int) -> None:
        """The segment is read."""
        self.index.tail.octets = octets

    def fold(self, octets: bytes, batch: Batch) -> None:
        """Apply the records of one batch, in order."""
        self.index.tail.blocks.add(batch.blocks)
        at, stop = batch.body, batch.stop
        while (at := self._fold_plain(octets, at, stop)) < stop:
            start, at, record = next(decode_records(octets, at, stop))
            self._fold_one(start, record)

    def _fold_plain(self, octets: bytes, at: int, stop: int) -> int:
        """Apply publish records in a row whose pieces are of one size; return where the next other record is.

        Nearly all of a log, where messages come one by one: a million of them are a second's work here.
        """
        publish, sets, head_octets = self.index.publish, self._packed_sets, PUBLISH_HEAD.size
        unpack, last = PUBLISH_HEAD.unpack_from, stop - PUBLISH_HEAD.size
        next_message_id = self.next_message_id
        while at <= last and octets[at] == PUBLISH:
            _, flags, _, queue_count, envelope_octets, count, first_id, size = unpack(octets, at)
            queues_at = at + head_octets
            envelope_at = queues_at + 4 * queue_count
            end = envelope_at + envelope_octets + size * count
            if flags or end > stop:
                break
            queue_ids = sets.get(octets[queues_at:envelope_at])
            if queue_ids is None:
                queue_ids = self._unpack_queues(octets[queues_at:envelope_at])
            publish(queue_ids, first_id, count, at)
            if first_id + count > next_message_id:
                next_message_id = first_id + count
            at = end
        self.next_message_id = next_message_id
        return at

    def _unpack_queues(self, packed: bytes) -> tuple[int, ...]:
        queue_ids: tuple[int, ...] = struct.unpack(f"<{len(packed) // 4}I", packed)
        queue_ids = self._packed_sets[packed] = self._queue_sets.setdefault(queue_ids, queue_ids)
        self._seen(0, queue_ids)
        return queue_ids

    def _fold_one(self, start: int, record: Record) -> None:
        """Apply the record at ``start`` of its segment."""
        index = self.index
        if isinstance(record, Published):
            queue_ids = self._queue_sets.setdefault(record.queue_ids, record.queue_ids)
            index.publish(queue_ids, record.first_id, record.message_count, start)
            self._seen(record.first_id + record.message_count, queue_ids)
        elif isinstance(record, Settled):
            for ids in record.ranges:
                index.settle(record.queue_id, ids)
        elif isinstance(record, Delivered):
            upto = index.watermarks.get(record.queue_id, 0)
            index.watermarks[record.queue_id] = max(upto, record.upto)
        elif isinstance(record, Returned):
            for ids in record.ranges:
                index.returned(record.queue_id, ids, record.return_count)
        elif isinstance(record, QueueDeleted):
            index.settle_queue(record.queue_id)
            self.next_queue_id = max(self.next_queue_id, record.queue_id + 1)
        elif isinstance(record, Copied):
            sets = [self._queue_sets.setdefault(one, one) for one in record.queue_sets]
            index.restore_copy(record.first_id, record.message_count, sets, record.offsets, record.set_indexes, start)
            for one in sets:
                self._seen(record.first_id + record.message_count, one)

    def known_queues(self) -> set[int]:
        """Queues that the log has had messages for."""
        return {queue_id for queue_ids in self._queue_sets for queue_id in queue_ids} | self.index.known_queues()

    def _seen(self, next_message_id: int, queue_ids: tuple[int, ...]) -> None:
        self.next_message_id = max(self.next_message_id, next_message_id)
        if queue_ids:
            self.next_queue_id = max(self.next_queue_id, max(queue_ids) + 1)


def read_log(
    disk: Disk, directory: DataDirectory, numbers: Sequence[int], fold: LogFold, on_progress: Progress
) -> Reading:
    """Fold segments ``numbers``; after an orderly end the index that was left is taken instead, if it fits.

    ``on_progress`` is called after each segment that is read.
    """
    snapshot = take_snapshot(disk, directory.path, directory.log, directory.clean_mark(), fold.index)
    if snapshot is None:
        whole_octets = sum(disk.size(segment_path(directory.log, number)) for number in numbers)
        done_octets = 0

        def end_segment(octets: int) -> None:
            nonlocal done_octets
            fold.end_segment(octets)
            done_octets += octets
            on_progress(done_octets, whole_octets)

        reader = SegmentReader(
            disk, directory.log, LOG_MAGIC, directory.salt, fold.fold, fold.begin_segment, end_segment
        )
        return reader.read(numbers)
    return Reading(
        snapshot.tail,
        segments=snapshot.segments,
        octets=snapshot.octets,
        next_message_id=snapshot.next_message_id,
        next_queue_id=snapshot.next_queue_id,
    )


def has_fitting_mark(mark: CleanMark | None, reading: Reading, journal: Reading, damage: list[str]) -> bool:
    """Whether there is the mark of an orderly end; where log or journal do not end as they should, ``damage`` is told.

    What is torn after such an end was once on disk.
    """
    if mark is None:
        return False
    tail = reading.tail
    if (tail.number, tail.octets, tail.chain) != mark:
        damage.append(f"log: it was closed at {mark.segment}:{mark.octets}, but ends at {tail.number}:{tail.octets}")
    if journal.torn is not None:
        number, start, stop = journal.torn
        damage.append(f"definitions: segment {number}: octets {start}..{stop} at its end are broken")
    return True


def record_pieces(octets: bytes) -> tuple[bytes, dict[int, bytes]]:
    """Envelope, and bodies by offset from the first id, of a publish or copy record that fills ``octets``."""
    _, _, record = next(decode_records(octets, 0, len(octets)))
    if isinstance(record, Published):
        pieces = cut_pieces(octets, record.pieces, record.lengths, record.message_count)
        return octets[record.envelope], dict(enumerate(pieces))
    assert isinstance(record, Copied)
    pieces = cut_pieces(octets, record.pieces, record.lengths, len(record.offsets))
    return octets[record.envelope], dict(zip(record.offsets, pieces, strict=True))
