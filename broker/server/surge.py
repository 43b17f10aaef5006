"""A client that sends faster than it is read: its reads are put together, so that more of it is done at once.

The event loop reads a socket again and again while its buffer comes back full. Where messages go to many queues by
turns, a few of these reads together have more messages for each queue, and what is done once for all of them costs
less. Where they do not, reads are best handled one by one, while they are in the processor's cache. A read that is not
full is never kept.
"""

from collections.abc import Callable, Sequence
from typing import Final

FULL_READ_OCTETS: Final = 250_000
"""From here on a read has filled the loop's buffer: uvloop's holds 256,000 octets, asyncio's 262,144."""
TOGETHER_OCTETS: Final = 4 << 20
"""So much of one connection is put together at most."""
HELD_OCTETS: Final = 32 << 20
"""So much of all connections waits for more at most."""


RUN_OCTETS: Final = 4096
"""Messages are scattered where less than this goes the same way at once, on average."""
SURGES_A_LOOK: Final = 8
"""After so many that do not tell, one read is handled by itself, which does."""


class Surges:
    """What the reads of all connections hold that wait for the next ones.

    ``count_runs`` tells how often messages were appended to queues so far.
    """

    __slots__ = ("count_runs", "held_octets")

    def __init__(self, count_runs: Callable[[], int]) -> None:
        self.count_runs = count_runs
        self.held_octets = 0


class Surge:
    """One connection's full reads that wait for the next; ``handle`` gets them, at the loop's next turn at last."""

    __slots__ = ("_call_soon", "_handle", "_is_scattered", "_octets", "_reads", "_surge_count", "_surges")

    def __init__(
        self,
        surges: Surges,
        call_soon: Callable[[Callable[[], object]], object],
        handle: Callable[[bytes, Sequence[bytes]], None],
    ) -> None:
        self._surges = surges
        self._call_soon = call_soon
        self._handle = handle
        self._reads: list[bytes] = []
        self._octets = 0
        self._is_scattered = False
        self._surge_count = 0

    def add(self, data: bytes) -> None:
        """Take the next read."""
        reads, surges, octets = self._reads, self._surges, len(data)
        if not reads and octets < FULL_READ_OCTETS:
            self._handle(data, ())
            return
        if not self._is_scattered:
            self._look_at(octets, data)
            return
        reads.append(data)
        self._octets += octets
        surges.held_octets += octets
        if octets < FULL_READ_OCTETS or self._octets >= TOGETHER_OCTETS or surges.held_octets > HELD_OCTETS:
            self.take()
        elif len(reads) == 1:
            self._call_soon(self.take)

    @property
    def is_waiting(self) -> bool:
        """Whether something of what was read is not handled yet."""
        return bool(self._reads)

    def take(self) -> None:
        """Have handled what waits."""
        reads = self._reads
        if reads:
            self._reads = []
            self._surges.held_octets -= self._octets
            octets, self._octets = self._octets, 0
            self._look_at(octets, reads[0], reads[1:])

    def _look_at(self, octets: int, data: bytes, more: Sequence[bytes] = ()) -> None:
        """Have ``data`` and ``more`` handled, so many octets, and see whether more at once would be better."""
        before = self._surges.count_runs()
        self._handle(data, more)
        run_octets = (self._surges.count_runs() - before) * RUN_OCTETS
        if run_octets > octets:
            self._is_scattered, self._surge_count = True, 0
        elif more and run_octets > FULL_READ_OCTETS and self._surge_count < SURGES_A_LOOK:
            # So many runs would be scattered in one read: that they are longer now is what it is for.
            self._surge_count += 1
        else:
            self._is_scattered, self._surge_count = False, 0
