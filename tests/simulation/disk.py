"""The simulated disk in a simulation: each call is a turn's end for the writer's threads, and may be the last one.

What a power cut leaves is drawn: of the names that were not synced any, of each file's unsynced octets none, all, a
prefix, or any of its sectors.
"""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tests.simulation.turns import ProcessGone
from tests.storage.simulated_disk import SimulatedDisk, SimulatedFile

SECTOR_OCTETS = 512
CAPACITY_OCTETS = 1 << 28


class SteppedDisk(SimulatedDisk):
    """``pause`` is called before each call. At call ``cut_at`` (of those that change something) the power fails."""

    __slots__ = ("_unlinked", "chance", "cut_at", "has_failed", "is_cut", "on_cut", "pause")

    def __init__(self, chance: Random, found: SimulatedDisk | None = None) -> None:
        super().__init__(found.files if found else None, found.directories if found else None)
        if found is not None:
            self.durable_names = found.durable_names
            self.renames = found.renames
        self.chance = chance
        self.error = OSError(errno.EIO, "Input/output error")
        self.pause: Callable[[], None] = _nothing
        self.on_cut: Callable[[], None] = _nothing
        self._unlinked: dict[int, SimulatedFile] = {}  # by descriptor: open files that have no name any more
        self.cut_at = 0
        self.is_cut = False
        self.has_failed = False

    def pread(self, fd: int, octets: int, offset: int) -> bytes:
        self.pause()
        if fd in self._unlinked:
            return bytes(self._unlinked[fd].data[offset : offset + octets])
        return super().pread(fd, octets, offset)

    def unlink(self, path: Path) -> None:
        file = self.files.get(path)
        super().unlink(path)
        if file is not None:
            self._unlinked.update({fd: file for fd, name in self.handles.items() if name == path})

    def open_read(self, path: Path) -> int:
        self.pause()
        return super().open_read(path)

    def read(self, path: Path) -> bytes:
        self.pause()
        return super().read(path)

    def close(self, fd: int) -> None:
        if fd not in self.handles:
            raise AssertionError(f"descriptor {fd} is closed twice")
        self._unlinked.pop(fd, None)
        super().close(fd)

    def write(self, fd: int, buffers: Sequence[bytes]) -> None:
        try:
            super().write(fd, buffers)
        except ProcessGone:
            octets = b"".join(buffers)
            self.files[self.handles[fd]].data += octets[: self.chance.randrange(len(octets) + 1)]
            raise

    def fdatasync(self, fd: int) -> None:
        try:
            super().fdatasync(fd)
        except OSError:
            # The kernel takes the pages for clean now, and forgets of them what it likes.
            file = self.files[self.handles[fd]]
            file.data[:] = self._survivor(file).data
            raise

    def _count(self, what: str) -> None:
        self.pause()
        if self.is_cut:
            raise ProcessGone
        if self.cut_at and len(self.calls) + 1 >= self.cut_at:
            self.is_cut = True
            self.on_cut()
            raise ProcessGone
        try:
            super()._count(what)
        except OSError:
            self.has_failed = True
            raise

    def after_cut(self) -> SimulatedDisk:
        """What is found when the power is back."""
        chance = self.chance
        found = dict(self.durable_names)
        share = chance.choice((0.0, 0.5, 1.0))
        for changes in self.renames:
            if chance.random() < share:
                for path, file in changes:
                    if file is None:
                        found.pop(path, None)
                    else:
                        found[path] = file
        copies: dict[int, SimulatedFile] = {}
        for file in found.values():
            if id(file) not in copies:
                copies[id(file)] = self._survivor(file)
        return SimulatedDisk({path: copies[id(file)] for path, file in found.items()}, self.directories)

    def _survivor(self, file: SimulatedFile) -> SimulatedFile:
        chance, durable, data = self.chance, file.durable, bytes(file.data)
        if len(data) <= len(durable):  # cut shorter, or nothing new
            return SimulatedFile(chance.choice((durable, data)))
        kind = chance.choice(("durable", "all", "prefix", "sectors"))
        if kind == "durable":
            return SimulatedFile(durable)
        if kind == "all":
            return SimulatedFile(data)
        if kind == "prefix":
            return SimulatedFile(data[: chance.randrange(len(durable), len(data) + 1)])
        left = bytearray(data)
        for start in range(0, len(data), SECTOR_OCTETS):
            if chance.random() < 0.5:
                for at in range(max(start, len(durable)), min(start + SECTOR_OCTETS, len(data))):
                    left[at] = 0
        return SimulatedFile(bytes(left))


def _nothing() -> None:
    """Until somebody says otherwise."""
