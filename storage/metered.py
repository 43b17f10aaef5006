"""Disks that count: how often, how much and for how long is read, written and synced. For metrics.

A count costs a fraction of a microsecond beside a call to the disk. Several threads may count at once.
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from storage.files import Disk, UnsyncedDisk


class Count:
    """Calls of one kind: how many, their octets, and the time in them."""

    __slots__ = ("_lock", "calls", "ns", "octets")

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self.calls = 0
        self.octets = 0
        self.ns = 0

    def add(self, octets: int, began_ns: int) -> None:
        """Count a call that ends now."""
        ns = time.perf_counter_ns() - began_ns
        with self._lock:
            self.calls += 1
            self.octets += octets
            self.ns += ns


class DiskCounts:
    """What has been done since the start."""

    __slots__ = ("read", "sync", "write")

    def __init__(self) -> None:
        self.read = Count()
        self.write = Count()
        self.sync = Count()


class MeteredDisk(Disk):
    """The real disk, counted."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = DiskCounts()

    def read(self, path: Path) -> bytes:
        """As ``Disk.read``."""
        began_ns = time.perf_counter_ns()
        data = super().read(path)
        self.counts.read.add(len(data), began_ns)
        return data

    def pread(self, fd: int, octets: int, offset: int) -> bytes:
        """As ``Disk.pread``."""
        began_ns = time.perf_counter_ns()
        data = super().pread(fd, octets, offset)
        self.counts.read.add(len(data), began_ns)
        return data

    def write(self, fd: int, buffers: Sequence[bytes]) -> None:
        """As ``Disk.write``."""
        began_ns = time.perf_counter_ns()
        super().write(fd, buffers)
        self.counts.write.add(sum(map(len, buffers)), began_ns)

    def fdatasync(self, fd: int) -> None:
        """As ``Disk.fdatasync``."""
        began_ns = time.perf_counter_ns()
        super().fdatasync(fd)
        self.counts.sync.add(0, began_ns)


class MeteredUnsyncedDisk(MeteredDisk, UnsyncedDisk):
    """The same for a disk that nothing waits for: it syncs nothing, so no sync is counted."""

    __slots__ = ()

    def fdatasync(self, fd: int) -> None:
        """Promise nothing."""


def counts_of(disk: Disk) -> DiskCounts:
    """Return what a disk has counted; nothing for one that does not."""
    return disk.counts if isinstance(disk, MeteredDisk) else DiskCounts()
