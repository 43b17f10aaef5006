"""Checksums of a segment's octets, block by block, in memory: so that a part of a large batch can be read and checked
without the rest of it.

The file has one checksum for each batch. On the way to it, the checksum of what came so far is known after every
block, and the checksum after a block follows from the one before it and the block's octets. So nothing is stored for
this, and it costs 12 octets of memory for each block.
"""

from array import array
from bisect import bisect_right
from typing import Final, NamedTuple

from storage.checksum import crc32

BLOCK_OCTETS: Final = 1 << 15


class BatchBlocks(NamedTuple):
    """A batch's blocks: where its records begin in the file, where each block stops, the checksum up to there."""

    start: int
    stops: "array[int]"
    checksums: "array[int]"

    @classmethod
    def begin(cls, start: int) -> "BatchBlocks":
        return cls(start, array("I"), array("I"))

    @property
    def checksum(self) -> int:
        """Of all octets so far."""
        return self.checksums[-1] if self.checksums else 0

    def extend(self, octets: bytes | memoryview) -> None:
        """Go on with ``octets``, which follow the ones before. Lets go of the interpreter's lock meanwhile."""
        view = memoryview(octets)
        checksum = self.checksum
        stop = self.stops[-1] if self.stops else self.start
        for at in range(0, len(view), BLOCK_OCTETS):
            block = view[at : at + BLOCK_OCTETS]
            checksum = crc32(block, checksum)
            stop += len(block)
            self.stops.append(stop)
            self.checksums.append(checksum)


class Blocks:
    """The blocks of one segment, ascending. Added to by the loop's thread alone; others may read meanwhile."""

    __slots__ = ("_checksums", "_starts", "_stops")

    def __init__(self) -> None:
        self._starts = array("I")
        self._stops = array("I")
        self._checksums = array("I")

    def add(self, batch: BatchBlocks) -> None:
        """Add the blocks of a batch, which lies behind all before but where a disk has moved things. An empty one has
        none.
        """
        if self._starts and batch.start < self._starts[-1]:
            place = bisect_right(self._starts, batch.start)
            self._starts[place:place] = array("I", [batch.start, *batch.stops][: len(batch.stops)])
            self._checksums[place:place] = batch.checksums
            self._stops[place:place] = batch.stops
        elif batch.stops:
            self._starts.append(batch.start)
            self._starts.extend(batch.stops[:-1])
            self._checksums.extend(batch.checksums)
            self._stops.extend(batch.stops)  # last: it tells a reader in another thread how many there are

    def columns(self) -> tuple["array[int]", "array[int]", "array[int]"]:
        """Starts, stops and checksums, to be kept somewhere."""
        return self._starts, self._stops, self._checksums

    @classmethod
    def of_columns(cls, starts: "array[int]", stops: "array[int]", checksums: "array[int]") -> "Blocks":
        blocks = cls()
        blocks._starts, blocks._stops, blocks._checksums = starts, stops, checksums
        return blocks

    def __len__(self) -> int:
        return len(self._stops)

    def holding(self, offset: int) -> int:
        """The place of the block that holds ``offset``, or of the last one before it; -1 if there is none."""
        return bisect_right(self._starts, offset) - 1

    def span(self, place: int) -> tuple[int, int]:
        """Where the block at ``place`` starts and stops."""
        return self._starts[place], self._stops[place]

    def is_intact(self, place: int, octets: memoryview) -> bool:
        """Whether ``octets`` are those of the block at ``place``."""
        follows = place > 0 and self._stops[place - 1] == self._starts[place]
        before = self._checksums[place - 1] if follows else 0
        return crc32(octets, before) == self._checksums[place]
