"""Message ids as ranges: what is kept of messages that are not in memory. 16 octets a range, neighbours merged."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

_COMPACT_AT: Final = 1024


class Spans:
    """Ranges of ids, step 1, in the order in which they were added; ``message_count`` ids together."""

    __slots__ = ("_counts", "_first", "_firsts", "message_count")

    def __init__(self) -> None:
        self.message_count = 0
        self._firsts = array("Q")
        self._counts = array("Q")
        self._first = 0

    def __len__(self) -> int:
        """Return how many ranges there are."""
        return len(self._firsts) - self._first

    @property
    def first_id(self) -> int:
        """The first id of all; there must be one."""
        return self._firsts[self._first]

    @property
    def last_id(self) -> int:
        """The last id of all; there must be one."""
        return self._firsts[-1] + self._counts[-1] - 1

    def append(self, ids: range) -> None:
        """Add ``ids``, step 1, behind all others."""
        self.message_count += len(ids)
        firsts, counts = self._firsts, self._counts
        if firsts and firsts[-1] + counts[-1] == ids.start:
            counts[-1] += len(ids)
        else:
            firsts.append(ids.start)
            counts.append(len(ids))

    def extend(self, firsts: Sequence[int], counts: Sequence[int]) -> None:
        """Add ranges, each from its first id so many, ascending, behind all others."""
        mine, mine_counts = self._firsts, self._counts
        stop = mine[-1] + mine_counts[-1] if mine else -1
        for first, count in zip(firsts, counts, strict=True):
            if first == stop:
                mine_counts[-1] += count
            else:
                mine.append(first)
                mine_counts.append(count)
            stop = first + count
        self.message_count += sum(counts)

    def insert(self, ids: range) -> None:
        """Add ``ids``, step 1, where they belong among ranges that ascend."""
        if not len(self) or ids.start > self.last_id:
            self.append(ids)
            return
        firsts, counts = self._firsts, self._counts
        self.message_count += len(ids)
        place = bisect_right(firsts, ids.start, self._first)
        start, count = ids.start, len(ids)
        if place < len(firsts) and firsts[place] == ids.stop:
            count += counts[place]
            del firsts[place], counts[place]
        if place > self._first and firsts[place - 1] + counts[place - 1] == start:
            counts[place - 1] += count
        else:
            firsts.insert(place, start)
            counts.insert(place, count)

    def ranges(self, limit: int | None = None) -> list[range]:
        """Return the ranges, the first ``limit`` of them."""
        first = self._first
        stop = len(self._firsts) if limit is None else first + limit
        columns = zip(self._firsts[first:stop], self._counts[first:stop], strict=True)
        return [range(start, start + count) for start, count in columns]

    def ranges_from(self, message_id: int, limit: int) -> list[range]:
        """Return the first ``limit`` ranges, of ranges that ascend, of the ids from ``message_id`` on."""
        place = max(self._first, bisect_right(self._firsts, message_id, self._first) - 1)
        stop = place + limit
        columns = zip(self._firsts[place:stop], self._counts[place:stop], strict=True)
        found = [range(max(start, message_id), start + count) for start, count in columns]
        return [ids for ids in found if ids]

    def drop(self, count: int) -> None:
        """Forget the first ``count`` ids."""
        self.message_count -= count
        while count:
            here = self._counts[self._first]
            if here > count:
                self._firsts[self._first] += count
                self._counts[self._first] -= count
                break
            count -= here
            self._first += 1
        if self._first > _COMPACT_AT and 2 * self._first > len(self._firsts):
            del self._firsts[: self._first], self._counts[: self._first]
            self._first = 0

    def part(self, start: int, stop: int) -> "Spans":
        """Return the ids at the places ``start`` to ``stop``, counted from 0."""
        found = Spans()
        at = 0
        for ids in self.ranges():
            if at >= stop:
                break
            inside = ids[max(0, start - at) : stop - at]
            if inside:
                found.append(inside)
            at += len(ids)
        return found

    def split(self, message_id: int) -> "Spans":
        """Cut off the ids above ``message_id``, of ranges that ascend, and return them."""
        below = 0
        for ids in self.ranges():
            if ids.stop > message_id:
                below += max(0, message_id + 1 - ids.start)
                break
            below += len(ids)
        upper = self.part(below, self.message_count)
        lower = self.part(0, below)
        self._firsts, self._counts, self._first = lower._firsts, lower._counts, 0
        self.message_count = below
        return upper
