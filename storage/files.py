"""The single seam for disk calls: everything storage does to a file goes through one ``Disk``.

But for one: the sync of small batches that the kernel does beside the loop (storage/syncing.py). Tests put a simulated
disk in its place (one that loses what was not synced, or fails at the nth call).
File handles are plain descriptors and paths are ``Path``; errors are ``OSError`` as the system gives them.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

_BINARY = getattr(os, "O_BINARY", 0)
_BUFFERS_MAX = 512  # octets objects given to one writev; IOV_MAX is at least 1024 on every system we run on


class Disk:
    """The real disk. Stateless, so one instance serves any number of threads."""

    __slots__ = ()

    def list(self, directory: Path) -> list[str]:
        """Names in ``directory``, sorted. Raises FileNotFoundError when it is not there."""
        return sorted(os.listdir(directory))

    def exists(self, path: Path) -> bool:
        return path.exists()

    def mkdir(self, directory: Path) -> None:
        """Make ``directory`` and what lies above it; it may exist. Durable after a dirsync of its parent."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, path: Path) -> int:
        """Open a new, empty file for writing and reading; one that is there is emptied."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _BINARY, 0o600)

    def open(self, path: Path) -> int:
        """Open an existing file for reading and appending at its end."""
        fd = os.open(path, os.O_RDWR | _BINARY)
        os.lseek(fd, 0, os.SEEK_END)
        return fd

    def close(self, fd: int) -> None:
        os.close(fd)

    def read(self, path: Path) -> bytes:
        """The whole of a file."""
        return path.read_bytes()

    def size(self, path: Path) -> int:
        """Octets of a file."""
        return path.stat().st_size

    def open_read(self, path: Path) -> int:
        """Open an existing file for pread."""
        return os.open(path, os.O_RDONLY | _BINARY)

    def pread(self, fd: int, octets: int, offset: int) -> bytes:
        """Up to ``octets`` octets from ``offset`` of a file of open_read; fewer at its end."""
        os.lseek(fd, offset, os.SEEK_SET)
        data = os.read(fd, octets)
        while data and len(data) < octets:
            more = os.read(fd, octets - len(data))
            if not more:
                break
            data += more
        return data

    def write(self, fd: int, buffers: Sequence[bytes]) -> None:
        """Append ``buffers`` to the file, all of them; a short write is gone on with."""
        for start in range(0, len(buffers), _BUFFERS_MAX):
            _write_some(fd, list(buffers[start : start + _BUFFERS_MAX]))

    def fdatasync(self, fd: int) -> None:
        """Make the file's content and length durable; not its name (see dirsync)."""
        if sys.platform == "darwin":  # pragma: no cover
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync alone stays in the drive's cache there
        elif sys.platform == "win32":  # pragma: no cover
            os.fsync(fd)
        else:
            os.fdatasync(fd)

    def truncate(self, fd: int, octets: int) -> None:
        """Cut the file to ``octets``, and append from there. Durable after fdatasync."""
        os.ftruncate(fd, octets)
        os.lseek(fd, 0, os.SEEK_END)

    def allocate(self, fd: int, octets: int) -> None:
        """Have the disk set ``octets`` aside for an empty file. Not durable, and nothing to be read."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, octets)
        else:  # pragma: no cover
            os.write(fd, bytes(octets))

    def free_octets(self, directory: Path) -> int:
        """Octets that this process may still write to the disk of ``directory``."""
        return shutil.disk_usage(directory).free

    def rename(self, source: Path, target: Path) -> None:
        """Give ``source`` the name ``target``, whose file is replaced. Durable after dirsync."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """Remove the file; it may be gone already. Durable after dirsync."""
        path.unlink(missing_ok=True)

    def dirsync(self, directory: Path) -> None:
        """Make the names in ``directory`` durable: what was created, renamed or unlinked in it."""
        if sys.platform == "win32":  # pragma: no cover
            return  # no such call there; NTFS journals names
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self, path: Path) -> int:
        """Open (or create) ``path`` and lock it for this process; BlockingIOError when another has it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
        try:
            if sys.platform == "win32":  # pragma: no cover
                try:
                    msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
                except OSError as error:
                    raise BlockingIOError(*error.args) from error
            else:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        return fd

    def is_locked(self, path: Path) -> bool:
        """Whether a process has locked ``path``. Changes nothing, and does not keep others from locking it."""
        if sys.platform == "win32":  # pragma: no cover
            return False
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def entropy(self, octets: int) -> bytes:
        """Octets nobody can guess; here so that a simulated disk is repeatable."""
        return os.urandom(octets)


class UnsyncedDisk(Disk):
    """The real disk, but nothing waits for it: what was written is the operating system's to keep."""

    __slots__ = ()

    def fdatasync(self, fd: int) -> None:
        """Promise nothing."""

    def dirsync(self, directory: Path) -> None:
        """Promise nothing."""


def _write_some(fd: int, buffers: list[bytes]) -> None:
    if not hasattr(os, "writev"):  # pragma: no cover
        buffers = [b"".join(buffers)]
    while buffers:
        written = os.writev(fd, buffers) if hasattr(os, "writev") else os.write(fd, buffers[0])
        while buffers and written >= len(buffers[0]):
            written -= len(buffers[0])
            del buffers[0]
        if buffers and written:
            buffers[0] = buffers[0][written:]
