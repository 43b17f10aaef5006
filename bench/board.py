"""The board: counters in shared memory between the processes of one round.

One writer for each counter, so no locks: a producer process writes what it has published, a consumer process
what it has been delivered, the round writes the phase. All are 8 octets, aligned, in native order.
"""

import mmap
import time
from enum import IntEnum


class Phase(IntEnum):
    """What the generator's processes are to do."""

    PREPARE = 0
    SEND = 1
    DRAIN = 2
    FINISH = 3
    ABORT = 4


class RoundAborted(Exception):
    """Another process of the round has failed."""


class Board:
    """Counters of a round with ``producers`` and ``consumers`` processes; made before they are forked."""

    __slots__ = ("_cells", "_consumers", "_producers")

    def __init__(self, producers: int, consumers: int) -> None:
        self._producers, self._consumers = producers, consumers
        octets = 8 * (1 + 2 * (producers + consumers))
        self._cells = memoryview(mmap.mmap(-1, octets)).cast("Q")

    @property
    def phase(self) -> Phase:
        return Phase(self._cells[0])

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._cells[0] = phase

    @property
    def published(self) -> int:
        """Messages published by all producers."""
        return sum(self._cells[1 : 1 + self._producers])

    @property
    def delivered(self) -> int:
        """Deliveries to all consumers."""
        start = 1 + self._producers
        return sum(self._cells[start : start + self._consumers])

    @property
    def ready_count(self) -> int:
        """Processes that have said they are ready."""
        return sum(self._cells[1 + self._producers + self._consumers :])

    def published_cell(self, index: int) -> memoryview:
        """The one-cell view that producer process ``index`` counts in."""
        return self._cells[1 + index : 2 + index]

    def delivered_cell(self, index: int) -> memoryview:
        """The one-cell view that consumer process ``index`` counts in."""
        start = 1 + self._producers + index
        return self._cells[start : start + 1]

    @property
    def is_sending(self) -> bool:
        """Producers go on; cheap, asked for each chunk."""
        return self._cells[0] == Phase.SEND

    def say_ready(self, process_index: int) -> None:
        """Process ``process_index`` (producers first, then consumers) is connected and waits."""
        self._cells[1 + self._producers + self._consumers + process_index] = 1

    def wait_phase(self, phase: Phase) -> None:
        """Return when ``phase`` has come. Raises RoundAborted."""
        while (now := self._cells[0]) < phase:
            time.sleep(0.001)
        if now == Phase.ABORT:
            raise RoundAborted
