"""A disk in memory that keeps apart what is durable and what is only in the page cache, and can fail at any call.

Several threads may use it: what one goes through is copied first, which the interpreter does in one step.
Content is durable after fdatasync of its file, a name after dirsync of its directory. ``after_power_loss``
gives a disk that the machine could find when it comes back: names get to a disk in any order.
"""

import errno
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from storage.files import Disk

SECTOR_OCTETS = 512  # what a disk writes whole, unless it is the one in which the power went
Names = Literal["durable", "all", "even", "odd"]
Content = Literal["durable", "half", "all", "zeros"]


class PowerLoss(OSError):
    """Raised at the chosen call and at every later one."""


class SimulatedFile:
    __slots__ = ("allocated_octets", "data", "durable")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.durable = data
        self.allocated_octets = 0  # and nothing in them

    def survivor(self, content: Content) -> "SimulatedFile":
        """What is found of the file when of its unsynced octets this much got to the disk."""
        durable, data = self.durable, bytes(self.data)
        if content == "durable" or len(data) < len(durable):
            return SimulatedFile(durable if content == "durable" else data)
        if content == "half":
            return SimulatedFile(data[: (len(durable) + len(data)) // 2])
        if content == "zeros":
            return SimulatedFile(durable + bytes(len(data) - len(durable)))
        return SimulatedFile(data)

    def chance_survivor(self, chance: random.Random) -> "SimulatedFile":
        """What may be found of the file: of its unsynced octets any sectors, one of them torn, and any length."""
        old, new = self.durable, bytes(self.data)
        what = chance.random()
        if old == new or what < 0.2:
            return SimulatedFile(old)
        if what < 0.4:
            return SimulatedFile(new)
        if what < 0.6 and len(new) > len(old):
            return SimulatedFile(new[: chance.randint(len(old), len(new))])
        octets = chance.choice((len(old), len(new), chance.randint(*sorted((len(old), len(new))))))
        found = bytearray(old[:octets].ljust(octets, b"\0"))
        likely = chance.choice((0.2, 0.5, 0.9))
        first = len(old) // SECTOR_OCTETS * SECTOR_OCTETS if new.startswith(old) else 0
        for start in range(first, octets, SECTOR_OCTETS):
            if chance.random() < likely:
                stop = start + (SECTOR_OCTETS if chance.random() < 0.7 else chance.randrange(SECTOR_OCTETS))
                found[start:stop] = new[start:stop]
        return SimulatedFile(bytes(found[:octets]))


class SimulatedDisk(Disk):
    """Counts calls that change something; ``fail_at`` (1 for the first) makes that one raise ``error``."""

    __slots__ = (
        "calls",
        "capacity",
        "directories",
        "durable_names",
        "error",
        "fail_at",
        "files",
        "handles",
        "is_off",
        "locks",
        "renames",
        "seed",
    )

    def __init__(self, files: dict[Path, SimulatedFile] | None = None, directories: set[Path] | None = None) -> None:
        self.files = dict(files or {})
        self.durable_names = dict(self.files)
        self.renames: list[list[tuple[Path, SimulatedFile | None]]] = []  # changes of names that are not durable
        self.directories = {Path("/")} | set(directories or ())
        self.handles: dict[int, Path] = {}
        self.locks: set[Path] = set()
        self.calls: list[str] = []
        self.fail_at = 0
        self.error: OSError = PowerLoss(errno.EIO, "power lost")
        self.is_off = False
        self.seed = 7
        self.capacity = 1 << 30  # octets of all files

    def after_power_loss(self, names: Names, content: Content) -> "SimulatedDisk":
        found = dict(self.durable_names)
        for i, changes in enumerate(self.renames):
            if names == "all" or names == ("even", "odd")[i % 2]:
                for path, file in changes:
                    if file is None:
                        found.pop(path, None)
                    else:
                        found[path] = file
        copies = {id(file): file.survivor(content) for file in found.values()}
        files = {path: copies[id(file)] for path, file in found.items()}
        return SimulatedDisk(files, self.directories)

    def after_chance_power_loss(self, chance: random.Random) -> "SimulatedDisk":
        """As after_power_loss, with any of the changes of names, and any sectors of what was not synced."""
        found = dict(self.durable_names)
        likely = chance.choice((0.0, 0.3, 0.7, 1.0))
        for changes in self.renames:
            if chance.random() < likely:
                for path, file in changes:
                    if file is None:
                        found.pop(path, None)
                    else:
                        found[path] = file
        copies = {id(file): file.chance_survivor(chance) for file in found.values()}
        return SimulatedDisk({path: copies[id(file)] for path, file in found.items()}, self.directories)

    def after_kill(self) -> "SimulatedDisk":
        """The process is gone; the page cache is not."""
        copies: dict[int, SimulatedFile] = {}

        def copied(file: SimulatedFile) -> SimulatedFile:
            copy = copies.setdefault(id(file), SimulatedFile(file.durable))
            copy.data[:] = file.data
            return copy

        # Names first: what the dying process unlinks or renames from here on has not happened.
        names, durable_names, renames = dict(self.files), dict(self.durable_names), list(self.renames)
        after = SimulatedDisk({path: copied(file) for path, file in names.items()}, self.directories)
        after.durable_names = {path: copied(file) for path, file in durable_names.items()}
        after.renames = [[(path, file and copied(file)) for path, file in changes] for changes in renames]
        return after

    def list(self, directory: Path) -> list[str]:
        if directory not in self.directories:
            raise FileNotFoundError(errno.ENOENT, "no such directory", str(directory))
        names = {path.name for path in list(self.files) if path.parent == directory}
        names |= {path.name for path in list(self.directories) if path.parent == directory and path != directory}
        return sorted(names)

    def exists(self, path: Path) -> bool:
        return path in self.files or path in self.directories

    def mkdir(self, directory: Path) -> None:
        self._count(f"mkdir {directory.name}")
        self.directories |= {directory, *directory.parents}

    def create(self, path: Path) -> int:
        self._count(f"create {path.name}")
        self.files[path] = file = SimulatedFile()
        self.renames.append([(path, file)])
        return self._handle(path)

    def open(self, path: Path) -> int:
        return self._handle(path)

    def open_read(self, path: Path) -> int:
        return self._handle(path)

    def close(self, fd: int) -> None:
        self.locks.discard(self.handles.pop(fd))

    def read(self, path: Path) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return bytes(self.files[path].data)

    def size(self, path: Path) -> int:
        return len(self.files[path].data)

    def pread(self, fd: int, octets: int, offset: int) -> bytes:
        return bytes(self.files[self.handles[fd]].data[offset : offset + octets])

    def write(self, fd: int, buffers: Sequence[bytes]) -> None:
        path = self.handles[fd]
        octets = b"".join(buffers)
        try:
            self._count(f"write {path.name}")
        except OSError:
            self.files[path].data += octets[: len(octets) * 2 // 3]  # the call fails in the middle
            raise
        self._take(path, len(octets), octets)
        self.files[path].data += octets

    def fdatasync(self, fd: int) -> None:
        path = self.handles[fd]
        self._count(f"fdatasync {path.name}")
        file = self.files[path]
        file.durable = bytes(file.data)

    def truncate(self, fd: int, octets: int) -> None:
        path = self.handles[fd]
        self._count(f"truncate {path.name}")
        del self.files[path].data[octets:]

    def allocate(self, fd: int, octets: int) -> None:
        path = self.handles[fd]
        self._count(f"allocate {path.name}")
        self._take(path, octets)
        self.files[path].allocated_octets = octets

    def free_octets(self, directory: Path) -> int:
        return self.capacity - sum(max(len(file.data), file.allocated_octets) for file in list(self.files.values()))

    def rename(self, source: Path, target: Path) -> None:
        self._count(f"rename {source.name}")
        file = self.files.pop(source)
        self.files[target] = file
        self.renames.append([(source, None), (target, file)])
        for fd, path in list(self.handles.items()):
            if path == source:
                self.handles[fd] = target

    def unlink(self, path: Path) -> None:
        self._count(f"unlink {path.name}")
        self.files.pop(path, None)
        self.renames.append([(path, None)])

    def dirsync(self, directory: Path) -> None:
        self._count(f"dirsync {directory.name}")
        for path in [path for path in list(self.durable_names) if path.parent == directory]:
            del self.durable_names[path]
        self.durable_names.update({path: file for path, file in list(self.files.items()) if path.parent == directory})
        self.renames = [changes for changes in self.renames if changes[0][0].parent != directory]

    def lock(self, path: Path) -> int:
        if path in self.locks:
            raise BlockingIOError(errno.EAGAIN, "locked")
        if path not in self.files:
            self._count(f"create {path.name}")
            self.files[path] = file = SimulatedFile()
            self.renames.append([(path, file)])
        self.locks.add(path)
        return self._handle(path)

    def is_locked(self, path: Path) -> bool:
        return path in self.locks

    def entropy(self, octets: int) -> bytes:
        return bytes(range(self.seed, self.seed + octets))

    def _take(self, path: Path, wanted: int, octets: bytes = b"") -> None:
        """Raise ENOSPC when there is no room for ``wanted`` octets more; what fits of ``octets`` is written."""
        free = self.free_octets(path)
        if wanted > free:
            self.files[path].data += octets[:free]
            raise OSError(errno.ENOSPC, "no room")

    def _count(self, what: str) -> None:
        if self.is_off:
            raise self.error
        self.calls.append(what)
        if len(self.calls) == self.fail_at:
            self.is_off = isinstance(self.error, PowerLoss)
            raise self.error

    def _handle(self, path: Path) -> int:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        fd = max(self.handles, default=2) + 1
        self.handles[fd] = path
        return fd
