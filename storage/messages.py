"""What is live where: an index of the log's publish records, ordered by message id. No octets, no files.

One entry is one record (a run of messages with consecutive ids, all routed to the same queues): where it lies
and how many (message, queue) pairs of it are unsettled. Entries live in chunks of parallel arrays, narrow ones once a
chunk is full, so that a million records of one message each cost some 19 MB and no objects for the collector to walk.
A record that is
copied forward keeps its place in the index, since order is by id; only its position changes.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple, overload

from storage.blocks import Blocks
from storage.records import merge_ranges

CHUNK_RECORDS: Final = 512
MERGE_AT: Final = 32  # ranges of a run that were settled apart: from then on neighbours are joined
_ZEROS: Final = {code: array(code, [0]) * (2 * CHUNK_RECORDS) for code in "IB"}
_NARROW: Final = 1 << 8
"""What a narrow column's values are below."""
_OFFSET_BITS: Final = 32
_OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1


class SegmentUse:
    """How much of a segment is still needed. ``live`` and ``appended`` count (message, queue) pairs."""

    __slots__ = ("appended", "blocks", "dead_ticket", "live", "number", "octets")

    def __init__(self, number: int, octets: int) -> None:
        self.blocks = Blocks()
        self.number = number
        self.octets = octets
        self.appended = 0
        self.live = 0
        self.dead_ticket = 0  # the batch with which the last of it went; only when that is on disk may the file go

    @property
    def live_octets(self) -> int:
        """An estimate: the file's octets in proportion to what is unsettled of it."""
        return self.octets * self.live // self.appended if self.appended else 0


class Located(NamedTuple):
    """An entry, and where its record is on disk."""

    first_id: int
    stop_id: int
    segment: int
    offset: int


class Routes(Sequence[tuple[int, ...]]):
    """The queues of each entry of a chunk, few different ones: an octet each."""

    __slots__ = ("_known", "_places")

    def __init__(self, queues: Sequence[tuple[int, ...]]) -> None:
        known: dict[tuple[int, ...], int] = {}
        self._places = bytes([known.setdefault(queue_ids, len(known)) for queue_ids in queues])
        self._known = tuple(known)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return map(self._known.__getitem__, self._places)

    @overload
    def __getitem__(self, place: int) -> tuple[int, ...]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[int, ...]]: ...

    def __getitem__(self, place: int | slice) -> tuple[int, ...] | list[tuple[int, ...]]:
        if isinstance(place, slice):
            return [self._known[one] for one in self._places[place]]
        return self._known[self._places[place]]

    def different(self) -> tuple[tuple[int, ...], ...]:
        """Each once."""
        return self._known


class Chunk:
    """Up to CHUNK_RECORDS entries (twice that after insertions), ascending by first id.

    A full one is narrow: its ``counts`` and ``live`` are octets, its ``queues`` Routes, where that is enough.
    """

    __slots__ = (
        "counts",
        "firsts",
        "live",
        "live_count",
        "oldest_segment",
        "plain",
        "positions",
        "queues",
        "settled",
    )

    def __init__(self, segment: int, plain: tuple[int, ...] | None) -> None:
        self.firsts = array("Q")
        self.counts = array("I")
        self.positions = array("Q")  # segment << 32 | offset of the record in its file
        self.live = array("I")  # (message, queue) pairs not settled yet
        self.queues: Sequence[tuple[int, ...]] = []
        self.settled: dict[int, list[tuple[int, range]]] = {}  # first id -> settlements of a partly settled entry
        self.live_count = 0
        self.oldest_segment = segment  # a lower bound
        self.plain = plain  # set: all entries are one message in this one queue, in one segment

    def narrow(self) -> None:
        """It is full: keep it in less memory."""
        self.firsts, self.positions = self.firsts[:], self.positions[:]  # without room to grow
        if max(self.counts, default=0) < _NARROW and max(self.live, default=0) < _NARROW:
            self.counts, self.live = array("B", self.counts), array("B", self.live)
        if len(set(self.queues)) < _NARROW:
            self.queues = Routes(self.queues)

    def widen(self) -> list[tuple[int, ...]]:
        """Let it take other values and more entries again; return its ``queues``, a list now."""
        if self.live.typecode == "B":
            self.counts, self.live = array("I", self.counts), array("I", self.live)
        queues = self.queues if isinstance(self.queues, list) else list(self.queues)
        self.queues = queues
        return queues

    def different_queues(self) -> Collection[tuple[int, ...]]:
        """The queues of its entries, each set of them once."""
        return self.queues.different() if isinstance(self.queues, Routes) else set(self.queues)


class MessageIndex:
    """The live set of the log. Everything here happens in the event loop's thread (or in recovery)."""

    __slots__ = (
        "_chunk_firsts",
        "_chunks",
        "_last",
        "_last_queues",
        "_moved",
        "return_counts",
        "segments",
        "tail",
        "ticket",
        "watermarks",
    )

    def __init__(self) -> None:
        self._moved: dict[int, int] = {}  # first id -> position before it moved, while its copy is not on disk
        self._chunks: list[Chunk] = []
        self._chunk_firsts: list[int] = []
        self._last: Chunk | None = None
        self._last_queues: list[tuple[int, ...]] = []  # its queues, which grow
        self.segments: dict[int, SegmentUse] = {}  # ascending by number
        self.tail = SegmentUse(0, 0)
        self.watermarks: dict[int, int] = {}  # queue id -> highest id known to have been delivered
        self.return_counts: dict[int, dict[int, int]] = {}  # queue id -> message id -> how often it came back
        self.ticket = 0  # number of the batch that changes are part of

    def begin_segment(self, number: int, octets: int) -> SegmentUse:
        """Entries from now on lie in segment ``number``."""
        self.tail = self.segments[number] = SegmentUse(number, octets)
        if self._last is not None:
            self._last.narrow()
            self._last = None
        return self.tail

    def drop_segment(self, number: int) -> None:
        del self.segments[number]

    def publish(self, queue_ids: tuple[int, ...], first_id: int, count: int, offset: int) -> None:
        """Add an entry at ``offset`` of the tail segment; ``first_id`` is above all published before.

        Equal ``queue_ids`` should be the same object. Hot: bench in docs/decisions/0002-one-segment-log.md.
        """
        chunk = self._last
        if chunk is None or len(self._last_queues) >= CHUNK_RECORDS:
            chunk = self._add_chunk(queue_ids, first_id, count)
        elif chunk.plain is not queue_ids or count != 1:
            chunk.plain = None
        pairs = count * len(queue_ids)
        tail = self.tail
        chunk.firsts.append(first_id)
        chunk.counts.append(count)
        chunk.positions.append(tail.number << _OFFSET_BITS | offset)
        chunk.live.append(pairs)
        self._last_queues.append(queue_ids)
        chunk.live_count += pairs
        tail.live += pairs
        tail.appended += pairs

    def settle(self, queue_id: int, ids: range) -> None:
        """Take ``ids``, each of them live in ``queue_id``, off. What is not known there is passed over."""
        counts = self.return_counts.get(queue_id)
        if counts:
            for message_id in ids if len(ids) <= len(counts) else [one for one in counts if one in ids]:
                counts.pop(message_id, None)
        start = ids.start
        stop = ids[-1] + 1
        at = max(bisect_right(self._chunk_firsts, start) - 1, 0)
        while at < len(self._chunks):
            chunk = self._chunks[at]
            if chunk.firsts[0] >= stop:
                break
            plain = chunk.plain
            if plain is None or not self._settle_plain(chunk, plain, queue_id, ids, stop):
                self._settle_each(chunk, queue_id, ids, stop)
            if chunk.live_count:
                at += 1
            else:
                self._drop_chunk(at)

    def returned(self, queue_id: int, ids: range, return_count: int) -> None:
        """Messages ``ids``, live in ``queue_id``, came back to it for the ``return_count``-th time."""
        counts = self.return_counts.setdefault(queue_id, {})
        for message_id in ids:
            counts[message_id] = max(return_count, counts.get(message_id, 0))

    def settle_queue(self, queue_id: int) -> None:
        """Take everything in ``queue_id`` off: it was deleted."""
        self.watermarks.pop(queue_id, None)
        self.return_counts.pop(queue_id, None)
        at = 0
        while at < len(self._chunks):
            chunk = self._chunks[at]
            if any(queue_id in queue_ids for queue_ids in chunk.different_queues()):
                self._settle_queue_in(chunk, queue_id)
            if chunk.live_count:
                at += 1
            else:
                self._drop_chunk(at)

    def find(self, first_id: int) -> tuple[Chunk, int] | None:
        """Chunk and place in it of the live entry that starts with ``first_id``."""
        at = bisect_right(self._chunk_firsts, first_id) - 1
        if at < 0:
            return None
        chunk = self._chunks[at]
        i = bisect_left(chunk.firsts, first_id)
        if i == len(chunk.firsts) or chunk.firsts[i] != first_id or not chunk.live[i]:
            return None
        return chunk, i

    def position(self, first_id: int) -> tuple[int, int] | None:
        """Segment and offset of the live entry that starts with ``first_id``."""
        found = self.find(first_id)
        if found is None:
            return None
        position = found[0].positions[found[1]]
        return position >> _OFFSET_BITS, position & _OFFSET_MASK

    def queue_sets(self, first_id: int) -> list[tuple[int, ...]]:
        """For each id of the live entry at ``first_id``: the queues that it is unsettled in."""
        found = self.find(first_id)
        if found is None:
            return []
        chunk, i = found
        queue_ids = chunk.queues[i]
        sets = [queue_ids] * chunk.counts[i]
        for queue_id, ids in chunk.settled.get(first_id, ()):
            for offset in range(ids.start - first_id, ids.stop - first_id, ids.step):
                left = sets[offset]
                if queue_id in left:
                    sets[offset] = tuple([other for other in left if other != queue_id])
        return sets

    def move(self, first_id: int, offset: int) -> None:
        """The entry's live messages have been appended again, at ``offset`` of the tail segment."""
        found = self.find(first_id)
        assert found is not None
        chunk, i = found
        live = chunk.live[i]
        self._moved[first_id] = chunk.positions[i]
        self._take(chunk.positions[i] >> _OFFSET_BITS, live)
        chunk.positions[i] = self.tail.number << _OFFSET_BITS | offset
        chunk.plain = None
        self.tail.live += live
        self.tail.appended += live

    def moves_are_durable(self, first_ids: Sequence[int]) -> None:
        """The copies of these entries are on disk, and will be read from now on."""
        for first_id in first_ids:
            self._moved.pop(first_id, None)

    def locate(self, ids: range, limit: int) -> tuple[list[Located], int]:
        """Where the live entries lie that hold messages ``ids`` (step 1): about ``limit`` at the most.

        Also returns the id up to which all are there. They must be on disk.
        """
        found: list[Located] = []
        at = max(bisect_right(self._chunk_firsts, ids.start) - 1, 0)
        while at < len(self._chunks):
            chunk = self._chunks[at]
            firsts = chunk.firsts
            if firsts[0] >= ids.stop:
                break
            if len(found) >= limit:
                return found, max(ids.start, firsts[0])
            i = max(bisect_right(firsts, ids.start) - 1, 0)
            j = bisect_left(firsts, ids.stop)
            columns = zip(firsts[i:j], chunk.counts[i:j], chunk.positions[i:j], chunk.live[i:j], strict=True)
            for first_id, count, position, live in columns:
                if live and first_id + count > ids.start:
                    if self._moved:
                        position = self._moved.get(first_id, position)
                    found.append(Located(first_id, first_id + count, position >> _OFFSET_BITS, position & _OFFSET_MASK))
            at += 1
        return found, ids.stop

    def restore_copy(
        self,
        first_id: int,
        count: int,
        queue_sets: Sequence[tuple[int, ...]],
        offsets: Sequence[int],
        set_indexes: Sequence[int],
        offset: int,
    ) -> None:
        """A copy record at ``offset`` of the tail segment says all there is to know of an entry. For
        recovery.
        """
        queue_ids = tuple(dict.fromkeys(queue_id for one in queue_sets for queue_id in one))
        left = dict(zip(offsets, set_indexes, strict=True))
        settled: list[tuple[int, range]] = []
        live = 0
        for i in range(count):
            inside = queue_sets[left[i]] if i in left else ()
            live += len(inside)
            alone = range(first_id + i, first_id + i + 1)
            settled.extend((queue_id, alone) for queue_id in queue_ids if queue_id not in inside)
        found = self.find(first_id)
        if found is None:
            found = self._insert(first_id)
        chunk, i = found
        queues = chunk.widen()
        self._take(chunk.positions[i] >> _OFFSET_BITS, chunk.live[i])
        chunk.live_count += live - chunk.live[i]
        chunk.counts[i] = count
        queues[i] = queue_ids
        chunk.live[i] = live
        chunk.positions[i] = self.tail.number << _OFFSET_BITS | offset
        chunk.plain = None
        chunk.settled.pop(first_id, None)
        if settled:
            chunk.settled[first_id] = settled
        self.tail.live += live
        self.tail.appended += live

    def known_queues(self) -> set[int]:
        """Queues that something is live in, or was when its record was written."""
        sets = {queue_ids for chunk in self._chunks for queue_ids in chunk.different_queues()}
        return {queue_id for queue_ids in sets for queue_id in queue_ids}

    def chunks(self) -> Iterator[Chunk]:
        """All chunks, ascending."""
        return iter(self._chunks)

    def restore_chunk(
        self,
        firsts: "array[int]",
        counts: "array[int]",
        positions: "array[int]",
        live: "array[int]",
        queues: list[tuple[int, ...]],
        settled: dict[int, list[tuple[int, range]]],
    ) -> None:
        """Add live entries, with ids above all before, as they were in another index."""
        segments = {position >> _OFFSET_BITS for position in (min(positions), max(positions))}
        is_plain = len(segments) == 1 and len(set(queues)) == 1 and len(queues[0]) == 1 and max(counts) == 1
        chunk = Chunk(min(segments), queues[0] if is_plain else None)
        chunk.firsts, chunk.counts, chunk.positions, chunk.live, chunk.queues = firsts, counts, positions, live, queues
        if settled:
            chunk.settled = {first_id: settled[first_id] for first_id in firsts if first_id in settled}
        chunk.live_count = sum(live)
        chunk.narrow()
        self._chunks.append(chunk)
        self._chunk_firsts.append(firsts[0])
        for segment in segments if len(segments) == 1 else ():
            self.segments[segment].live += chunk.live_count
        if len(segments) > 1:
            for position, pairs in zip(positions, live, strict=True):
                self.segments[position >> _OFFSET_BITS].live += pairs

    def entries(self) -> Iterator[int]:
        """First ids of all live entries, ascending."""
        for chunk in self._chunks:
            for first_id, live in zip(chunk.firsts, chunk.live, strict=True):
                if live:
                    yield first_id

    def entries_in(self, segment: int, limit: int) -> list[tuple[int, int]]:
        """(offset, first id) of up to ``limit`` live entries in ``segment``, lowest ids first."""
        found: list[tuple[int, int]] = []
        for chunk in self._chunks:
            if chunk.oldest_segment > segment:
                continue
            oldest = self.tail.number
            for first_id, position, live in zip(chunk.firsts, chunk.positions, chunk.live, strict=True):
                if not live:
                    continue
                number = position >> _OFFSET_BITS
                oldest = min(oldest, number)
                if number == segment:
                    found.append((position & _OFFSET_MASK, first_id))
            chunk.oldest_segment = oldest
            if len(found) >= limit:
                break
        return found[:limit]

    def _add_chunk(self, queue_ids: tuple[int, ...], first_id: int, count: int) -> Chunk:
        if self._last is not None:
            self._last.narrow()
        chunk = Chunk(self.tail.number, queue_ids if count == 1 and len(queue_ids) == 1 else None)
        self._chunks.append(chunk)
        self._chunk_firsts.append(first_id)
        self._last, self._last_queues = chunk, chunk.widen()
        return chunk

    def _drop_chunk(self, at: int) -> None:
        if self._chunks[at] is self._last:
            self._last = None
        del self._chunks[at]
        del self._chunk_firsts[at]

    def _take(self, segment: int, live: int) -> None:
        """``live`` pairs in ``segment`` are settled or gone elsewhere."""
        if live and (use := self.segments.get(segment)) is not None:
            use.live -= live
            if not use.live:
                use.dead_ticket = self.ticket

    def _settle_plain(self, chunk: Chunk, plain: tuple[int, ...], queue_id: int, ids: range, stop: int) -> bool:
        """Settle entries of one message each by slices; False if that does not do here."""
        if plain[0] != queue_id:
            return True
        firsts = chunk.firsts
        i = bisect_left(firsts, ids.start)
        j = bisect_left(firsts, stop)
        if i == j:
            return True
        step = ids.step
        if step > 1:
            if firsts[j - 1] - firsts[i] + 1 != j - i:
                return False
            i += (ids.start - firsts[i]) % step
        settled = sum(chunk.live[i:j:step])
        chunk.live[i:j:step] = _ZEROS[chunk.live.typecode][: len(range(i, j, step))]
        chunk.live_count -= settled
        self._take(chunk.positions[0] >> _OFFSET_BITS, settled)
        return True

    def _settle_each(self, chunk: Chunk, queue_id: int, ids: range, stop: int) -> None:
        firsts, counts, lives = chunk.firsts, chunk.counts, chunk.live
        start, step = ids.start, ids.step
        for i in range(max(bisect_right(firsts, start) - 1, 0), bisect_left(firsts, stop)):
            live = lives[i]
            if not live or queue_id not in chunk.queues[i]:
                continue
            first_id = firsts[i]
            low = max(first_id, start)
            inside = range(low + (start - low) % step, min(first_id + counts[i], stop), step)
            settled = min(len(inside), live)
            if not settled:
                continue
            lives[i] = live - settled
            chunk.live_count -= settled
            self._take(chunk.positions[i] >> _OFFSET_BITS, settled)
            if settled == live:
                chunk.settled.pop(first_id, None)
            else:
                known = chunk.settled.setdefault(first_id, [])
                known.append((queue_id, inside))
                count = len(known)
                if count >= MERGE_AT and not count & (count - 1):  # a power of two: more seldom, the less that gives
                    chunk.settled[first_id] = _merged(known)

    def _settle_queue_in(self, chunk: Chunk, queue_id: int) -> None:
        for i, queue_ids in enumerate(chunk.queues):
            live = chunk.live[i]
            if not live or queue_id not in queue_ids:
                continue
            first_id, count = chunk.firsts[i], chunk.counts[i]
            known = chunk.settled.get(first_id, [])
            left = min(count - sum(len(ids) for other, ids in known if other == queue_id), live)
            if not left:
                continue
            chunk.live[i] = live - left
            chunk.live_count -= left
            self._take(chunk.positions[i] >> _OFFSET_BITS, left)
            if left == live:
                chunk.settled.pop(first_id, None)
            else:
                others = [(other, ids) for other, ids in known if other != queue_id]
                chunk.settled[first_id] = [*others, (queue_id, range(first_id, first_id + count))]

    def _insert(self, first_id: int) -> tuple[Chunk, int]:
        """A place for an entry that is not known (any more); its values follow."""
        at = max(bisect_right(self._chunk_firsts, first_id) - 1, 0)
        if at == len(self._chunks):
            self._add_chunk((), first_id, 0)
        chunk = self._chunks[at]
        if len(chunk.firsts) >= 2 * CHUNK_RECORDS:
            self._split(at)
            return self._insert(first_id)
        i = bisect_left(chunk.firsts, first_id)
        if i < len(chunk.firsts) and chunk.firsts[i] == first_id:
            return chunk, i  # it is there, all settled
        queues = chunk.widen()
        chunk.firsts.insert(i, first_id)
        chunk.counts.insert(i, 0)
        chunk.positions.insert(i, self.tail.number << _OFFSET_BITS)
        chunk.live.insert(i, 0)
        queues.insert(i, ())
        chunk.plain = None
        self._chunk_firsts[at] = chunk.firsts[0]
        return chunk, i

    def _split(self, at: int) -> None:
        chunk = self._chunks[at]
        chunk.widen()
        half = len(chunk.firsts) // 2
        upper = Chunk(chunk.oldest_segment, None)
        for name in ("firsts", "counts", "positions", "live", "queues"):
            values = getattr(chunk, name)
            setattr(upper, name, values[half:])
            del values[half:]
        for first_id in upper.firsts:
            if first_id in chunk.settled:
                upper.settled[first_id] = chunk.settled.pop(first_id)
        upper.live_count = sum(upper.live)
        chunk.live_count -= upper.live_count
        if self._last is chunk:
            self._last, self._last_queues = upper, upper.widen()
        self._chunks.insert(at + 1, upper)
        self._chunk_firsts.insert(at + 1, upper.firsts[0])


def _merged(settled: list[tuple[int, range]]) -> list[tuple[int, range]]:
    """The same (queue id, ids) in as few ranges as a look at neighbours gives."""
    ranges_of: dict[int, list[range]] = {}
    for queue_id, ids in settled:
        ranges_of.setdefault(queue_id, []).append(ids)
    return [(queue_id, ids) for queue_id, ranges in ranges_of.items() for ids in merge_ranges(ranges)]
