"""Reads messages back that are in the log: queues whose bodies had to leave memory ask for them.

Positions are taken from the index in the loop's thread, octets are read in a thread of its own, in large pieces, and
checked block by block. Meanwhile the trimmer may move messages and remove segments: then it is tried again with the
positions as they are now.
"""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from storage.blocks import Blocks
from storage.committer import Committer
from storage.errors import UnknownFormat
from storage.files import Disk
from storage.log import segment_path
from storage.messages import Located, MessageIndex
from storage.records import PUBLISH, PUBLISH_HEAD, Copied, Published, cut_pieces, decode_records, record_stop

ENTRIES_MAX: Final = 4096
"""Records that one call looks up in the index, which takes the loop's time."""
WINDOW_OCTETS: Final = 2 << 20
"""Read in one go, if that much is asked for."""
GAP_OCTETS: Final = 1 << 16
"""What lies between two wanted records and is read along rather than passed over."""


Result = TypeVar("Result")


class ReadRun(NamedTuple):
    """Messages with consecutive ids that were published with one envelope."""

    ids: range
    envelope: bytes
    pieces: list[bytes]


class Found(NamedTuple):
    """What a call read of the ids it was asked for: the first ``covered`` of them. What is in no run is lost."""

    covered: int
    runs: list[ReadRun]


class LogReader:
    """Belongs to the loop's thread; ``read`` may be called at any time, ``read_now`` blocks."""

    __slots__ = ("_directory", "_disk", "_gone", "_index", "_thread", "damage", "put_aside")

    def __init__(self, disk: Disk, directory: Path, index: MessageIndex, thread: Committer) -> None:
        self._disk = disk
        self._directory = directory
        self._index = index
        self._thread = thread
        self._gone: set[int] = set()  # segments whose files are not there, and should be
        self.damage: list[str] = []  # what could not be read back
        self.put_aside: Callable[[int, int, int], str] = _put_nothing_aside  # (segment, start, stop) -> what was done

    def read(
        self,
        spans: Sequence[range],
        limit_octets: int,
        convert: Callable[[Found], Result],
        then: Callable[[Result], None],
    ) -> None:
        """Read the messages ``spans`` (ranges of ids, step 1, live and on disk), in that order, from the first on.

        ``then(convert(found))`` is called in the loop, ``convert`` in the reader's thread, when some ``limit_octets``
        are read, or all; at least one message then.
        """
        wanted = self._locate(spans)

        def work() -> tuple[Result] | None:
            found = self._fetch(wanted, limit_octets)
            return None if found is None else (convert(found),)

        def read(result: tuple[Result] | None) -> None:
            if result is None:
                self.read(spans, limit_octets, convert, then)
            else:
                then(result[0])

        self._thread.submit(work, read)

    def read_now(self, spans: Sequence[range], limit_octets: int) -> Found:
        """As ``read``, at once."""
        while True:
            found = self._fetch(self._locate(spans), limit_octets)
            if found is not None:
                return found

    def _locate(self, spans: Sequence[range]) -> list[tuple[range, list[Located]]]:
        wanted: list[tuple[range, list[Located]]] = []
        left = ENTRIES_MAX
        for ids in spans:
            entries, stop = self._index.locate(ids, left)
            wanted.append((range(ids.start, stop), entries))
            left -= len(entries) + 1
            if left <= 0 or stop < ids.stop:
                break
        return wanted

    def _fetch(self, wanted: list[tuple[range, list[Located]]], limit_octets: int) -> Found | None:
        """In the reader's thread; None where a segment has gone meanwhile."""
        places = [(entry.segment, entry.offset) for _, entries in wanted for entry in entries]
        runs: list[ReadRun] = []
        count = at = octets = 0
        last: tuple[int, _Record | None] = (0, None)
        window: _Window | None = None
        try:
            for ids, entries in wanted:
                for entry in entries:
                    if last[0] != entry.first_id:
                        if window is None or not window.has(entry.segment, entry.offset):
                            if octets >= limit_octets:
                                return Found(count + max(0, entry.first_id - ids.start), runs)
                            window = self._open_window(window, places, at)
                        last = (entry.first_id, self._record(window, entry))
                    at += 1
                    record = last[1]
                    if record is None:
                        continue
                    runs += record.runs(max(ids.start, entry.first_id), min(ids.stop, entry.stop_id))
                    octets += record.octets
                    if octets >= limit_octets:
                        return Found(count + min(ids.stop, entry.stop_id) - ids.start, runs)
                count += len(ids)
        except FileNotFoundError:
            return None
        finally:
            if window is not None:
                window.close()
        return Found(count, runs)

    def _open_window(self, before: "_Window | None", places: list[tuple[int, int]], at: int) -> "_Window":
        """Read from the record at ``places[at]`` up to one some megabytes on, as long as little lies between."""
        segment, first = places[at]
        last = first
        for number, offset in places[at + 1 :]:
            if number != segment or not last <= offset <= last + GAP_OCTETS or offset - first > WINDOW_OCTETS:
                break
            last = offset
        if before is not None and before.segment == segment:
            window = before
        else:
            if before is not None:
                before.close()
            window = self._new_window(segment)
        window.load(first, last)
        return window

    def _new_window(self, segment: int) -> "_Window":
        """Raises FileNotFoundError where trimming has taken the segment: the index forgets it before its file goes."""
        use = self._index.segments.get(segment)
        if use is None:
            raise FileNotFoundError(segment)
        try:
            fd = self._disk.open_read(segment_path(self._directory, segment))
        except FileNotFoundError:
            if segment not in self._index.segments:
                raise
            fd = None  # Somebody else has: what was in it is lost, and to try again would never end.
            if segment not in self._gone:
                self._gone.add(segment)
                self.damage.append(f"segment {segment}: its file is gone; the messages in it are lost")
        return _Window(self._disk, fd, segment, use.blocks)

    def _record(self, window: "_Window", entry: Located) -> "_Record | None":
        record = window.record(entry.offset)
        if record is None and entry.segment not in self._gone:
            self.damage.append(
                f"segment {entry.segment}: octets around {entry.offset} cannot be read back; "
                f"messages {entry.first_id}..{entry.stop_id - 1} are lost"
            )
            self.damage += [self.put_aside(entry.segment, *place) for place in window.take_broken()]
        return record


def _put_nothing_aside(segment: int, start: int, stop: int) -> str:
    return f"segment {segment}: octets {start}..{stop} are broken"


class _Record(NamedTuple):
    """A publish or copy record: what is in it, and the octets it lies in."""

    record: Published | Copied
    buffer: bytes
    octets: int

    def runs(self, start: int, stop: int) -> list[ReadRun]:
        """The messages with ids from ``start`` to ``stop``."""
        record, buffer = self.record, self.buffer
        envelope = buffer[record.envelope]
        if isinstance(record, Published):
            if record.message_count == 1:
                return [
                    ReadRun(range(start, stop), envelope, [buffer[record.pieces : record.pieces + record.lengths[0]]])
                ]
            pieces = cut_pieces(buffer, record.pieces, record.lengths, record.message_count)
            if start > record.first_id or stop < record.first_id + record.message_count:
                pieces = pieces[start - record.first_id : stop - record.first_id]
            return [ReadRun(range(start, stop), envelope, pieces)]
        found: list[ReadRun] = []
        pieces = cut_pieces(buffer, record.pieces, record.lengths, len(record.offsets))
        for offset, piece in zip(record.offsets, pieces, strict=True):
            message_id = record.first_id + offset
            if start <= message_id < stop:
                if found and found[-1].ids.stop == message_id:
                    last = found[-1]
                    last.pieces.append(piece)
                    found[-1] = ReadRun(range(last.ids.start, message_id + 1), envelope, last.pieces)
                else:
                    found.append(ReadRun(range(message_id, message_id + 1), envelope, [piece]))
        return found


class _Window:
    """Octets of a segment file, whole blocks that were found intact."""

    __slots__ = ("_blocks", "_broken", "_disk", "_fd", "_next", "_octets", "_start", "_stop", "_untold", "segment")

    def __init__(self, disk: Disk, fd: int | None, segment: int, blocks: Blocks) -> None:
        """``fd`` is of the segment's file, closed with this; None where there is none: then all of it is broken."""
        self._disk = disk
        self._blocks = blocks
        self.segment = segment
        self._fd = fd
        self._octets = b""
        self._start = self._stop = self._next = 0
        self._broken: list[tuple[int, int]] = []
        self._untold: list[tuple[int, int]] = []

    def close(self) -> None:
        """Close the file, once: its number may be another file's by the second time."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._disk.close(fd)

    def has(self, segment: int, offset: int) -> bool:
        """Whether the octet at ``offset`` of ``segment`` is here."""
        return segment == self.segment and self._start <= offset < self._stop

    def load(self, first: int, last: int) -> None:
        """Read the blocks from the one with ``first`` to the one with ``last``."""
        place = self._blocks.holding(first)
        self._octets = b""
        self._broken.clear()
        self._start = self._stop = self._blocks.span(max(place, 0))[0]
        self._next = max(place, 0)
        self._read_up_to(last + 1)

    def record(self, offset: int) -> _Record | None:
        """The record at ``offset``; None where its octets are not what was written."""
        ahead = 64
        while True:
            if self._stop < offset + ahead:
                self._read_up_to(offset + ahead)
            octets, at = self._octets, offset - self._start
            if at >= len(octets):
                return None
            record: Published | Copied | None = None
            try:
                kind, flags, _, queue_count, envelope_octets, count, first_id, size = PUBLISH_HEAD.unpack_from(
                    octets, at
                )
                if kind == PUBLISH and not flags:  # nearly all: what is needed of it is in its head
                    envelope = at + PUBLISH_HEAD.size + 4 * queue_count
                    pieces = envelope + envelope_octets
                    stop = pieces + size * count
                    record = Published(first_id, count, (), slice(envelope, pieces), (size,), pieces)
                else:
                    stop = record_stop(octets, at)
            except struct.error:
                stop = len(octets) + max(ahead, len(octets) - at)
            except UnknownFormat:
                return None
            if stop > len(octets):
                if self._next >= len(self._blocks):
                    return None
                ahead = stop - at
                continue
            if self._broken and self._is_broken(offset, self._start + stop):
                return None
            if record is None:
                try:
                    _, _, decoded = next(decode_records(octets, at, stop))
                except (UnknownFormat, StopIteration):
                    return None
                if not isinstance(decoded, Published | Copied):
                    return None
                record = decoded
            return _Record(record, octets, stop - at)

    def take_broken(self) -> list[tuple[int, int]]:
        """The broken blocks met since the last call."""
        told, self._untold = self._untold, []
        return told

    def _read_up_to(self, offset: int) -> None:
        """Read on, whole blocks, until the octet before ``offset`` is here, or the segment ends."""
        first = place = self._next
        blocks = self._blocks
        stop = self._stop
        while place < len(blocks) and stop < offset:
            stop = blocks.span(place)[1]
            place += 1
        if place == first:
            return
        try:
            octets = b"" if self._fd is None else self._disk.pread(self._fd, stop - self._stop, self._stop)
        except OSError:  # a sector that the disk cannot give back is as good as a wrong one
            octets = b""
        view = memoryview(octets)
        for i in range(first, place):
            begin, end = blocks.span(i)
            if not blocks.is_intact(i, view[begin - self._stop : end - self._stop]):
                self._broken.append((begin, end))
                self._untold.append((begin, end))
        if len(octets) < stop - self._stop:
            octets += bytes(stop - self._stop - len(octets))  # short: those blocks are broken
        self._octets += octets
        self._next = place
        self._stop = stop

    def _is_broken(self, start: int, stop: int) -> bool:
        return any(begin < stop and start < end for begin, end in self._broken)
