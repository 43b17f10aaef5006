"""Recovery: one pass over the log gives the live set, and the messages in it as runs for the queues.

Bodies are kept only while their message is live: what a segment publishes and settles itself is never copied
out of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from storage.definitions import Definition
from storage.messages import MessageIndex
from storage.records import (
    Copied,
    Delivered,
    Published,
    QueueDeleted,
    Returned,
    Settled,
    cut_pieces,
    decode_records,
)
from storage.segment import HEADER_OCTETS, Batch

_SWEEP_RECORDS = 10_000


class RecoveredRun(NamedTuple):
    """Messages with consecutive ids that are unsettled in the same queues. ``queues``: queue id ->
    redelivered. ``return_counts``: queue id -> how often they came back, for queues that told.
    """

    ids: range
    envelope: bytes
    pieces: list[bytes]
    queues: dict[int, bool]
    return_counts: dict[int, int]

    @property
    def redelivered(self) -> bool:
        """Delivered at least once from at least one of the queues."""
        return any(self.queues.values())


@dataclass(slots=True)
class Recovery:
    """What was found on opening. ``messages`` is ascending by id; whoever has taken them over clears the
    list.
    """

    definitions: list[Definition] = field(default_factory=list)
    messages: list[RecoveredRun] = field(default_factory=list)
    next_message_id: int = 1
    next_queue_id: int = 1  # above every queue id in the log; definitions may name higher ones
    clean: bool = False  # closed in order the last time
    dropped_octets: int = 0  # a torn batch at the end, cut off: nothing in it was ever promised
    damage: list[str] = field(default_factory=list)  # what is broken elsewhere: something promised may be missing
    segments: int = 0
    octets: int = 0
    message_count: int = 0
    duration_s: float = 0.0


class LogFold:
    """Applies the log's records to an index, and keeps the octets of what is live."""

    __slots__ = (
        "_bodies",
        "_fresh",
        "_octets",
        "_queue_sets",
        "_swept",
        "index",
        "next_message_id",
        "next_queue_id",
    )

    def __init__(self, index: MessageIndex) -> None:
        self.index = index
        self.next_message_id = 1
        self.next_queue_id = 1
        self._bodies: dict[int, bytes] = {}  # first id -> its record, from segments read before
        self._fresh: dict[int, tuple[int, int]] = {}  # first id -> where its record is, in the segment being read
        self._octets = b""
        self._queue_sets: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._swept = 0

    def begin_segment(self, number: int) -> None:
        self.index.begin_segment(number, HEADER_OCTETS)

    def end_segment(self, octets: int) -> None:
        """The segment is read: take what is live out of it, so that it can be forgotten."""
        self.index.tail.octets = octets
        for first_id, (start, stop) in self._fresh.items():
            if self.index.find(first_id) is not None:
                self._bodies[first_id] = self._octets[start:stop]
        self._fresh.clear()
        self._octets = b""
        if len(self._bodies) > 2 * self._swept + _SWEEP_RECORDS:
            find = self.index.find
            self._bodies = {first_id: octets for first_id, octets in self._bodies.items() if find(first_id)}
            self._swept = len(self._bodies)

    def fold(self, octets: bytes, batch: Batch) -> None:
        """Apply the records of one batch, in order."""
        self._octets = octets
        index = self.index
        for start, stop, record in decode_records(octets, batch.body, batch.stop):
            if isinstance(record, Published):
                queue_ids = self._queue_sets.setdefault(record.queue_ids, record.queue_ids)
                index.publish(queue_ids, record.first_id, record.message_count, start)
                self._fresh[record.first_id] = (start, stop)
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
                index.restore_copy(
                    record.first_id, record.message_count, sets, record.offsets, record.set_indexes, start
                )
                self._bodies.pop(record.first_id, None)
                self._fresh[record.first_id] = (start, stop)
                for one in sets:
                    self._seen(record.first_id + record.message_count, one)

    def known_queues(self) -> set[int]:
        """Queues that the log has had messages for."""
        return {queue_id for queue_ids in self._queue_sets for queue_id in queue_ids}

    def messages(self) -> list[RecoveredRun]:
        """All live messages, ascending by id. Lets go of the records."""
        bodies = self._bodies
        found: list[RecoveredRun] = []
        for first_id in self.index.entries():
            found.extend(self._runs(first_id, bodies.pop(first_id)))
        bodies.clear()
        return found

    def _seen(self, next_message_id: int, queue_ids: tuple[int, ...]) -> None:
        self.next_message_id = max(self.next_message_id, next_message_id)
        if queue_ids:
            self.next_queue_id = max(self.next_queue_id, max(queue_ids) + 1)

    def _runs(self, first_id: int, octets: bytes) -> Iterator[RecoveredRun]:
        envelope, pieces = record_pieces(octets)
        watermarks = self.index.watermarks
        returned = self.index.return_counts
        queue_sets = self.index.queue_sets(first_id)
        start = 0
        while start < len(queue_sets):
            queue_ids = queue_sets[start]
            stop = start + 1
            while stop < len(queue_sets) and queue_sets[stop] == queue_ids:
                stop += 1
            # Where a queue's watermark lies inside, the run is split there.
            marks = {watermarks.get(queue_id, 0) + 1 - first_id for queue_id in queue_ids}
            counts = {queue_id: returned[queue_id] for queue_id in queue_ids if queue_id in returned}
            marks |= _changes(counts, first_id + start, first_id + stop, first_id)
            cuts = [start, *sorted(mark for mark in marks if start < mark < stop), stop]
            if queue_ids:
                for low, high in pairwise(cuts):
                    ids = range(first_id + low, first_id + high)
                    queues = {queue_id: ids.start <= watermarks.get(queue_id, 0) for queue_id in queue_ids}
                    told = {queue_id: known[ids.start] for queue_id, known in counts.items() if ids.start in known}
                    yield RecoveredRun(ids, envelope, [pieces[i] for i in range(low, high)], queues, told)
            start = stop


def _changes(counts: dict[int, dict[int, int]], start: int, stop: int, first_id: int) -> set[int]:
    """Offsets from ``first_id`` at which a message of ``start`` to ``stop`` came back another number of times
    than the one before it.
    """
    return {
        message_id - first_id
        for known in counts.values()
        for message_id in range(start + 1, stop)
        if known.get(message_id) != known.get(message_id - 1)
    }


def record_pieces(octets: bytes) -> tuple[bytes, dict[int, bytes]]:
    """Envelope, and bodies by offset from the first id, of a publish or copy record that fills ``octets``."""
    _, _, record = next(decode_records(octets, 0, len(octets)))
    if isinstance(record, Published):
        pieces = cut_pieces(octets, record.pieces, record.lengths, record.message_count)
        return octets[record.envelope], dict(enumerate(pieces))
    assert isinstance(record, Copied)
    pieces = cut_pieces(octets, record.pieces, record.lengths, len(record.offsets))
    return octets[record.envelope], dict(zip(record.offsets, pieces, strict=True))
