"""The store's face towards the broker: publish, settle, define; promise when it is on disk; recover on
opening.

Called from the event loop's thread only; nothing but ``open`` and ``close`` waits for a disk. What is appended
goes into the batch being filled, as octets ready to be written, and into the index; ``flush`` hands the batch to
the writer.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from storage.batch import FilledBatch, Promise, keep
from storage.committer import Committer
from storage.datadir import CleanMark, DataDirectory
from storage.definitions import Definitions, JsonValue, Key, encode_definition
from storage.errors import StorageError
from storage.files import Disk
from storage.gathered import RETURNED_MAX, SETTLED_MAX, keep_latest
from storage.log import Reading, SegmentWriter, segment_numbers
from storage.messages import MessageIndex
from storage.metered import counts_of
from storage.pages import PageFiles
from storage.quarantine import Quarantine
from storage.reading import LogReader
from storage.records import (
    MIXED,
    PUBLISH,
    PUBLISH_HEAD,
    encode_delete_queue,
    encode_delivered,
    encode_returned,
    encode_settle,
    merge_ranges,
    pack_queue_ids,
)
from storage.recovery import LiveRuns, LogFold, Progress, Recovery, has_fitting_mark, read_log
from storage.segment import BATCH_HEADER_OCTETS, HEADER_OCTETS, LOG_MAGIC
from storage.snapshot import put_snapshot
from storage.space import Space
from storage.syncing import FileSync
from storage.trim import Trimmer
from storage.writing import BatchWriter

LAZY_S: Final = 0.02  # how long settlements without a promise may wait for company
LAZY_OCTETS: Final = 1 << 20  # ... unless this much has gathered
GROUP_OCTETS: Final = 1 << 18  # joined in one go by the writer, which holds the interpreter's lock meanwhile
BATCH_OCTETS_MAX: Final = 1 << 26  # a longer batch waits in line behind the one being written
SHORT_OCTETS: Final = 1 << 20  # of a segment while the disk is full
ROUTES_MAX: Final = 10_000
_DEFINITION_OCTETS: Final = 200  # what one takes in memory beside its octets
_NEXT_OCTETS: Final = HEADER_OCTETS + BATCH_HEADER_OCTETS + len(encode_settle(0, []))  # of a segment just begun

_pack_publish = PUBLISH_HEAD.pack
_PUBLISH_OCTETS: Final = PUBLISH_HEAD.size


class Store:
    """The durable state of a node: messages' log and definitions' journal. One instance a data directory."""

    __slots__ = (
        "_at",
        "_batch_start",
        "_committer",
        "_definition_octets",
        "_definitions",
        "_deleted",
        "_directory",
        "_group_start",
        "_groups",
        "_index",
        "_is_due",
        "_is_lazy",
        "_is_looking",
        "_journal",
        "_known_queues",
        "_line_length",
        "_line_octets",
        "_log",
        "_moving",
        "_next_message_id",
        "_next_queue_id",
        "_on_space",
        "_pager",
        "_parts",
        "_promises",
        "_quarantine",
        "_reader",
        "_record_count",
        "_returned",
        "_returned_left",
        "_routes",
        "_segment_octets",
        "_settled_count",
        "_settling",
        "_trimmer",
        "_watermarks",
        "_writer",
        "_written_segment",
        "disk",
        "durable_message_id",
        "durable_ticket",
        "is_short",
        "pages",
        "reading",
        "recovery",
        "space",
        "ticket",
    )

    def __init__(
        self,
        disk: Disk,
        directory: DataDirectory,
        notify: Callable[[Callable[[], None]], None],
        segment_octets: int,
        on_failure: Callable[[StorageError], None],
        on_space: Callable[[bool], None],
        on_progress: Progress,
        sync: FileSync | None,
    ) -> None:
        """Recover from a locked ``directory``; see open."""
        self._directory = directory
        self.disk = disk
        self._segment_octets = segment_octets
        self._committer = Committer("leveret-log", notify, on_failure)
        self._reader = Committer("leveret-trim", notify, on_failure)
        self._pager = Committer("leveret-pages", notify, on_failure)
        self._index = MessageIndex()
        self.reading = LogReader(disk, directory.log, self._index, self._pager)
        self._quarantine = Quarantine(disk, directory.quarantine)
        self.reading.put_aside = partial(
            self._quarantine.put_what_is_read,
            directory.log,
            directory.salt,
            lambda error: self._committer.report(partial(on_failure, error)),
        )
        self.pages = PageFiles(disk, directory.pages, self._pager)
        self._journal = Definitions(disk, directory.definitions, directory.salt)
        self._routes: dict[tuple[int, ...], tuple[tuple[int, ...], bytes]] = {}
        self.ticket = 1
        self.durable_ticket = 0
        self.durable_message_id = 0  # messages with lower ids are on disk
        self._line_octets = self._line_length = self._settled_count = self._returned_left = 0
        self._at = self._batch_start = self._record_count = self._written_segment = 0
        self._next_message_id = self._next_queue_id = 1
        self._known_queues: set[int] = set()
        self._is_lazy = self._is_due = False
        self._on_space = on_space
        self.is_short = self._is_looking = False
        self.recovery = self._recover(disk, on_progress)
        self._trimmer = Trimmer(
            disk,
            directory.log,
            directory.salt,
            self._index,
            self._reader,
            segment_octets,
            self._append_copy,
            self.settle,
            self.flush,
            self._quarantine,
        )
        self._begin_batch()
        self.space = Space(disk, directory.reserve, self._space_changed)
        sync_count = counts_of(disk).sync
        self._writer = BatchWriter(self._log, self._journal, self.space, self._committer, sync, sync_count)
        if not self.space.has_reserve:
            self._committer.submit(lambda: True, self._set_short)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        notify: Callable[[Callable[[], None]], None],
        disk: Disk | None = None,
        segment_octets: int = 64 << 20,
        on_failure: Callable[[StorageError], None] = lambda error: None,
        on_space: Callable[[bool], None] = lambda is_short: None,
        on_progress: Progress = lambda done_octets, whole_octets: None,
        sync: FileSync | None = None,
    ) -> "Store":
        """Lock and recover the data directory at ``directory``, which is made if there is none.

        ``notify(fn)`` has ``fn`` called in the loop's thread. ``on_failure`` is called once, there, when the
        disk fails; ``on_space(is_short)`` when it is full, and when there is room again; ``on_progress`` while the
        log is read, before this returns. ``sync``, if there is one, syncs small batches. Raises DirectoryInUse,
        DirectoryUnreadable, UnknownFormat; nothing is written before these are ruled out.
        """
        disk = disk or Disk()
        locked = DataDirectory.open(disk, directory)
        try:
            return cls(disk, locked, notify, segment_octets, on_failure, on_space, on_progress, sync)
        except OSError as error:
            locked.close()
            raise StorageError(f"data directory {directory} cannot be recovered: {error}") from error
        except BaseException:
            locked.close()
            raise

    @property
    def failure(self) -> StorageError | None:
        """Set when the disk has failed: nothing is made durable any more."""
        return self._committer.failure or self._reader.failure or self._quarantine.failure

    @property
    def damage(self) -> list[str]:
        """What was found broken since opening; see Recovery.damage for what was found by opening."""
        return [*self._trimmer.damage, *self.reading.damage]

    @property
    def unwritten_octets(self) -> int:
        """Octets that wait for the writer or are being written."""
        return self._line_octets + self._at - self._batch_start + self._definition_octets

    @property
    def unwritten_limit_octets(self) -> int:
        """While more is unwritten than this, publishers should wait: on a full disk the reserve must take it."""
        return self.space.batch_octets

    @property
    def is_idle(self) -> bool:
        """Nothing waits for a thread: what was flushed is on disk, trimming is done for now, nothing is read back."""
        is_writing = self._line_length or self._is_lazy or self._is_filled()
        return not (is_writing or self._trimmer.is_busy or self._pager.is_working)

    def publish(self, queue_ids: Sequence[int], ids: range, envelope: bytes, pieces: list[bytes]) -> None:
        """Append a run of messages: ``pieces`` with consecutive ``ids`` and one ``envelope``, in ``queue_ids``.

        ``ids`` are above all that were published before. One record: all or nothing after a crash. Hot: the
        cost is that of one record, whatever its length; see docs/decisions/0002-one-segment-log.md.
        """
        route = self._routes.get(queue_ids) if type(queue_ids) is tuple else None
        if route is None:
            route = self._add_route(tuple(queue_ids))
        queues, packed = route
        count = len(pieces)
        first_id = ids.start
        at = self._at
        if count == 1:
            piece = pieces[0]
            size = len(piece)
            head = _pack_publish(PUBLISH, 0, 0, len(queues), len(envelope), 1, first_id, size)
            self._parts += (head, packed, envelope, piece)
            self._at = at + _PUBLISH_OCTETS + len(packed) + len(envelope) + size
        else:
            sizes = set(map(len, pieces))
            if len(sizes) == 1:
                size = sizes.pop()
                head = _pack_publish(PUBLISH, 0, 0, len(queues), len(envelope), count, first_id, size)
                self._parts += (head, packed, envelope)
                size *= count
            else:
                lengths = list(map(len, pieces))
                head = _pack_publish(PUBLISH, MIXED, 0, len(queues), len(envelope), count, first_id, 0)
                self._parts += (head, packed, envelope, struct.pack(f"<{count}I", *lengths))
                size = sum(lengths) + 4 * count
            self._parts += pieces
            self._at = at + _PUBLISH_OCTETS + len(packed) + len(envelope) + size
        self._record_count += 1
        self._next_message_id = first_id + count
        self._index.publish(queues, first_id, count, at)
        if self._at - self._group_start > GROUP_OCTETS:
            self._begin_group()

    def settle(self, queue_id: int, ids: range) -> None:
        """Messages ``ids`` leave the queue for good; each is live in it. Neighbours are gathered into one
        range.
        """
        ranges = self._settling.get(queue_id)
        if ranges is None:
            self._settling[queue_id] = [ids]
            return
        last = ranges[-1]
        if last.stop == ids.start and ids.step == 1 == last.step:
            ranges[-1] = range(last.start, ids.stop)
        else:
            ranges.append(ids)
            self._settled_count += 1

    def delivered(self, queue_id: int, upto: int) -> None:
        """Everything in the queue with an id up to ``upto`` has been delivered at least once."""
        marks = self._index.watermarks
        if upto > marks.get(queue_id, 0):
            marks[queue_id] = upto
            self._watermarks[queue_id] = upto

    def returned(self, queue_id: int, ids: range, return_count: int) -> None:
        """Messages ``ids``, live in the queue, came back to it for the ``return_count``-th time."""
        self._index.returned(queue_id, ids, return_count)
        self._returned.setdefault((queue_id, return_count), []).append(ids)
        self._returned_left -= 1
        if not self._returned_left:
            self._returned_left = max(RETURNED_MAX, keep_latest(self._returned, self._index.return_counts))

    def delete_queue(self, queue_id: int) -> None:
        """Settle everything in the queue; its id is not used again."""
        self._settling.pop(queue_id, None)
        self._watermarks.pop(queue_id, None)
        self._index.watermarks.pop(queue_id, None)
        self._index.return_counts.pop(queue_id, None)
        if queue_id in self._known_queues:
            self._deleted.append(queue_id)

    def define(self, key: Sequence[str], value: JsonValue) -> None:
        """Put the definition named ``key`` into the journal, or remove it with None."""
        name = tuple(key)
        encoded = None if value is None else encode_definition(name, value)
        self._definitions.append((name, encoded))
        self._definition_octets += _DEFINITION_OCTETS + len(encoded or b"")

    def promise(self, callback: Promise) -> int:
        """Have ``callback(ticket)`` called when all that was appended so far is on disk; return the ticket.

        Callbacks come in the order of the calls, from the loop, never from within this call. After a failure:
        never.
        """
        self._promises.append(callback)
        return self.ticket

    def flush(self) -> None:
        """Hand the batch being filled to the writer, or let it gather while the writer is busy.

        Everything appended in one go of the loop's code up to this call is one batch: all or nothing after a
        crash.
        """
        if self._line_length:
            if self.failure is not None:
                self._begin_batch()  # forget it: nothing is written any more
                return
            self._is_due = True
            is_long = self._at - self._batch_start > BATCH_OCTETS_MAX or self._settled_count > SETTLED_MAX
            if is_long and not self._writer.is_syncing:
                self._hand_over()
            return
        if self._promises or self._at - self._batch_start > LAZY_OCTETS:
            self._hand_over()
        elif not self._is_lazy and self._is_filled():
            self._is_lazy = True
            self._committer.call_after(LAZY_S, self._lazy_due)

    def trim(self) -> None:
        """Give back dead segments when all that was recovered is taken; later on every batch does so."""
        if self.space.has_reserve:
            self._trimmer.step(self.durable_ticket, self._written_segment)

    def look_for_room(self) -> None:
        """Give back what can be given back, and see whether a disk that was full has room again.

        For whoever watches the disk, about every second while there is little room.
        """
        tail = self._index.tail
        if not (tail.live or self._is_filled() or self._promises) and tail.octets > _NEXT_OCTETS:
            # All in the newest segment is dead; only a newer one lets it go. One with no more in it than that stays, or
            # a broker that does nothing would go on like this for as long as there is little room.
            self._index.begin_segment(tail.number + 1, HEADER_OCTETS)
            self._begin_batch()
            self._append(encode_settle(0, []))
            self.flush()
        if self.is_short and not self._is_looking and self.failure is None:
            self._is_looking = True
            self._committer.submit(self.space.refill, self._looked)

    def close(self) -> None:
        """Write and sync what is left, leave the mark of an orderly end, unlock. Blocks.

        With a full disk, what was never promised may be lost.
        """
        self.space.give_up()
        self._writer.stop_syncing()
        self._trimmer.stop()
        self._pager.stop()
        if self._promises or self._is_filled():
            self._hand_over()
        self._committer.stop()
        while self.failure is None and (self._promises or self._is_filled()):
            self._hand_over()  # what the promises' callbacks appended
            self._committer.stop()
        self._log.close()
        self._journal.close()
        if self.failure is None:
            tail = self._log.tail
            with contextlib.suppress(OSError, StorageError):  # without it, the next start just reads on
                next_ids = self._next_message_id, self._next_queue_id
                put_snapshot(self.disk, self._directory.path, self._index, tail, next_ids)
                mark = CleanMark(tail.number, tail.octets, tail.chain)
                self.space.until_it_fits(partial(self._directory.put_clean_mark, mark))
        self._directory.close()

    def _is_filled(self) -> bool:
        return bool(
            self._record_count
            or self._settling
            or self._watermarks
            or self._returned
            or self._deleted
            or self._definitions
        )

    def _begin_batch(self) -> None:
        tail = self._index.tail
        # While there is no room segments are short, so that each can go the sooner.
        if tail.octets >= (min(self._segment_octets, SHORT_OCTETS) if self.is_short else self._segment_octets):
            tail = self._index.begin_segment(tail.number + 1, HEADER_OCTETS)
        self._batch_start = tail.octets
        self._at = self._group_start = tail.octets + BATCH_HEADER_OCTETS
        self._parts: list[bytes] = []
        self._groups = [self._parts]
        self._moving: list[int] = []
        self._record_count = 0
        self._settling: dict[int, list[range]] = {}
        self._settled_count = 0
        self._watermarks: dict[int, int] = {}
        self._returned: dict[tuple[int, int], list[range]] = {}
        self._returned_left = RETURNED_MAX
        self._deleted: list[int] = []
        self._definitions: list[tuple[Key, bytes | None]] = []
        self._definition_octets = 0
        self._promises: list[Promise] = []
        self._index.ticket = self.ticket

    def _begin_group(self) -> None:
        self._parts = []
        self._groups.append(self._parts)
        self._group_start = self._at

    def _append(self, octets: bytes) -> None:
        self._parts.append(octets)
        self._at += len(octets)
        self._record_count += 1

    def _append_copy(self, first_id: int, parts: Sequence[bytes]) -> None:
        """A copy of the entry at ``first_id`` goes to the tail, and with it what is known of its delivery."""
        at = self._at
        queue_sets = self._index.queue_sets(first_id)
        for queue_id in set(chain.from_iterable(queue_sets)):
            upto = self._index.watermarks.get(queue_id, 0)
            if upto >= first_id:
                self._watermarks[queue_id] = upto
            counts = self._index.return_counts.get(queue_id)
            if counts:
                for message_id in range(first_id, first_id + len(queue_sets)):
                    if message_id in counts:
                        alone = range(message_id, message_id + 1)
                        self._returned.setdefault((queue_id, counts[message_id]), []).append(alone)
        self._parts += parts
        self._at += sum(map(len, parts))
        self._record_count += 1
        self._index.move(first_id, at)
        self._moving.append(first_id)
        if self._at - self._group_start > GROUP_OCTETS:
            self._begin_group()

    def _append_gathered(self) -> None:
        """Settlements, watermarks and deletions go to the end of the batch, behind what they are about."""
        for (queue_id, return_count), ranges in self._returned.items():
            self._append(encode_returned(queue_id, return_count, merge_ranges(ranges)))
        for queue_id, ranges in self._settling.items():
            merged = merge_ranges(ranges)
            for ids in merged:
                self._index.settle(queue_id, ids)
            self._append(encode_settle(queue_id, merged))
        for queue_id, upto in self._watermarks.items():
            self._append(encode_delivered(queue_id, upto))
        for queue_id in self._deleted:
            self._index.settle_queue(queue_id)
            self._known_queues.discard(queue_id)
            self._append(encode_delete_queue(queue_id))
            self._routes.clear()

    def _hand_over(self) -> None:
        """Close the batch being filled, give it to the writer, and begin the next one."""
        self._append_gathered()
        self._is_due = False
        octets = self._at - self._batch_start + self._definition_octets
        filled = FilledBatch(self.ticket, self._index.tail.number, octets, self._record_count)
        if self._record_count:
            filled.groups = self._groups
            filled.moved = self._moving
            filled.next_message_id = self._next_message_id
            filled.next_queue_id = self._next_queue_id
            self._index.tail.octets = self._at
        filled.definitions = self._definitions
        filled.promises = self._promises
        self.ticket += 1
        self._begin_batch()
        if self.failure is not None:
            return
        self._line_length += 1
        self._line_octets += filled.octets
        self._writer.write(filled, self._line_length == 1, self._written)

    def _space_changed(self, is_short: bool) -> None:
        """In the writer's thread."""
        self._committer.report(partial(self._set_short, is_short))

    def _set_short(self, is_short: bool) -> None:
        """In the loop: the disk is full, or has room again."""
        if is_short != self.is_short:
            self.is_short = self._trimmer.is_short = is_short
            self._on_space(is_short)

    def _looked(self, has_room: bool) -> None:
        self._is_looking = False
        self._set_short(not has_room)

    def _written(self, filled: FilledBatch) -> None:
        """In the loop: the batch is on disk."""
        self.durable_ticket = filled.ticket
        self._line_length -= 1
        self._line_octets -= filled.octets
        if filled.blocks is not None:
            self._written_segment = filled.segment
            self.durable_message_id = filled.next_message_id
            self._index.segments[filled.segment].blocks.add(filled.blocks)
            self._index.moves_are_durable(filled.moved)
        try:
            keep(filled.promises, filled.ticket, self._committer)
        finally:
            self._trimmer.step(self.durable_ticket, self._written_segment)
            if self._is_due or self._is_filled():
                self.flush()

    def _lazy_due(self) -> None:
        self._is_lazy = False
        if not self._line_length and self._is_filled():
            self._hand_over()

    def _add_route(self, queue_ids: tuple[int, ...]) -> tuple[tuple[int, ...], bytes]:
        route = self._routes.get(queue_ids)
        if route is None:
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()
            route = self._routes[queue_ids] = (queue_ids, pack_queue_ids(queue_ids))
            self._known_queues.update(queue_ids)
            self._next_queue_id = max(self._next_queue_id, max(queue_ids) + 1)
        return route

    def _recover(self, disk: Disk, on_progress: Progress) -> Recovery:
        began_s = time.perf_counter()
        directory = self._directory
        fold = LogFold(self._index)
        numbers = segment_numbers(disk.list(directory.log)) if disk.exists(directory.log) else []
        reading = read_log(disk, directory, numbers, fold, on_progress)
        journal_reading = self._journal.read()
        damage = [f"log: {what}" for what in reading.damage]
        damage += [f"definitions: {what}" for what in journal_reading.damage]
        if not numbers:
            damage.append("log: there is no segment")
        is_clean = has_fitting_mark(directory.clean_mark(), reading, journal_reading, damage)
        quarantined = self._quarantine.put_all(directory.log, reading, directory.salt, is_clean)
        quarantined += self._quarantine.put_all(directory.definitions, journal_reading, directory.salt, is_clean)

        # Nothing of what is there has been touched so far; from here on the directory is put in order.
        directory.remove_clean_mark()
        for folder in (directory.log, directory.definitions):
            if not disk.exists(folder):
                disk.mkdir(folder)
                disk.dirsync(directory.path)
        self._journal.settle_in(journal_reading)
        self._settle_in(disk, reading)
        self._known_queues = fold.known_queues()
        # Ids of transient messages are in no record, but a watermark may cover them: they must not come again.
        covered = max(self._index.watermarks.values(), default=0) + 1
        self._next_message_id = max(reading.next_message_id, fold.next_message_id, covered)
        self._next_queue_id = max(reading.next_queue_id, fold.next_queue_id)
        self.durable_message_id = self._next_message_id
        messages = LiveRuns(self._index)
        return Recovery(
            definitions=self._journal.live(),
            messages=messages,
            next_message_id=self._next_message_id,
            next_queue_id=self._next_queue_id,
            clean=is_clean and not damage,
            dropped_octets=reading.dropped_octets + journal_reading.dropped_octets,
            damage=damage,
            quarantined=quarantined,
            segments=len(reading.segments),
            octets=reading.octets,
            message_count=messages.message_count(),
            duration_s=time.perf_counter() - began_s,
        )

    def _settle_in(self, disk: Disk, reading: Reading) -> None:
        """Cut what is torn, and have the log ready for the next batch."""
        log = SegmentWriter(disk, self._directory.log, LOG_MAGIC, self._directory.salt, reading.tail)
        self._log = log
        if reading.unborn is not None:
            log.drop(reading.unborn)
        log.resume(reading.is_torn)
        if reading.is_sealed or not self._index.segments:
            # The writer makes the file when the first batch for it comes.
            self._index.begin_segment(reading.tail.number + 1, HEADER_OCTETS)
        self._written_segment = reading.tail.number
