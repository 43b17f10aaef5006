"""The data directory: who holds it, of which format it is, and whether it was left in order.

Nothing is written before the directory is known to be ours (or empty), of a version we read, and locked. The
``format`` file is written last when a directory is made, so that its presence says that all else is there.
"""

from pathlib import Path
from typing import Final, NamedTuple

from storage.checksum import crc32
from storage.errors import DirectoryInUse, DirectoryUnreadable, UnknownFormat
from storage.files import Disk
from storage.log import SegmentWriter, Tail, segment_numbers, segment_path
from storage.segment import HEADER_OCTETS, JOURNAL_MAGIC, LOG_MAGIC, SALT_OCTETS
from storage.space import full_disk_told

FORMAT: Final = 1
_OURS: Final = frozenset(
    {
        *("lock", "format", "format.new", "log", "definitions", "clean", "clean.new"),
        *("reserve", "quarantine", "pages", "index", "index.new", "lost+found"),
    }
)


class CleanMark(NamedTuple):
    """Where the log ended when it was closed in order. (An index that spares reading bodies may be added
    here.)
    """

    segment: int
    octets: int
    chain: int


class DataDirectory:
    """A locked data directory. ``close`` unlocks it."""

    __slots__ = ("_disk", "_lock", "path", "salt")

    def __init__(self, disk: Disk, path: Path, lock: int, salt: bytes) -> None:
        self._disk = disk
        self._lock = lock
        self.path = path
        self.salt = salt

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def definitions(self) -> Path:
        return self.path / "definitions"

    @property
    def pages(self) -> Path:
        """Messages of this process alone that had to leave memory."""
        return self.path / "pages"

    @property
    def reserve(self) -> Path:
        return self.path / "reserve"

    @property
    def quarantine(self) -> Path:
        return self.path / "quarantine"

    @classmethod
    def open(cls, disk: Disk, path: Path) -> "DataDirectory":
        """Lock the directory at ``path``; make it if there is none.

        Raises DirectoryInUse, DirectoryUnreadable or UnknownFormat.
        """
        try:
            if disk.exists(path):
                _check(disk, path)
            else:
                disk.mkdir(path)
            lock = disk.lock(path / "lock")
        except BlockingIOError as error:
            raise DirectoryInUse(f"data directory {path} is in use by another process") from error
        except OSError as error:
            raise DirectoryUnreadable(f"data directory {path} cannot be used: {error}") from error
        try:
            disk.dirsync(path)
            salt = _check(disk, path)  # again: it may have been made between the first look and the lock
            if salt is None:
                disk.dirsync(path.parent)
                salt = _make(disk, path)
            return cls(disk, path, lock, salt)
        except OSError as error:
            disk.close(lock)
            raise DirectoryUnreadable(f"data directory {path} cannot be used: {error}") from error
        except BaseException:
            disk.close(lock)
            raise

    @classmethod
    def look_at(cls, disk: Disk, path: Path) -> "DataDirectory":
        """The directory at ``path`` for reading alone, neither locked nor made.

        Raises DirectoryUnreadable or UnknownFormat.
        """
        try:
            salt = _check(disk, path)
        except OSError as error:
            raise DirectoryUnreadable(f"data directory {path} cannot be read: {error}") from error
        if salt is None:
            raise UnknownFormat(f"data directory {path} holds no Leveret data")
        return cls(disk, path, -1, salt)

    def clean_mark(self) -> CleanMark | None:
        """The mark of an orderly end; None if there is none, or it is broken."""
        try:
            words = self._disk.read(self.path / "clean").split()
        except FileNotFoundError:
            return None
        if len(words) != 5 or words[0] != b"clean" or words[4] != _seal(words[:4]):
            return None
        return CleanMark(int(words[1]), int(words[2]), int(words[3]))

    def put_clean_mark(self, mark: CleanMark) -> None:
        words = [b"clean", b"%d" % mark.segment, b"%d" % mark.octets, b"%d" % mark.chain]
        _put_file(self._disk, self.path / "clean", words)

    def remove_clean_mark(self) -> None:
        """Before the first write after it: a mark that came back would call a good log damaged. So goes its index."""
        for name in ("clean", "index"):
            if self._disk.exists(self.path / name):
                self._disk.unlink(self.path / name)
                self._disk.dirsync(self.path)

    def close(self) -> None:
        self._disk.close(self._lock)


def _check(disk: Disk, path: Path) -> bytes | None:
    """The salt of the directory, None when it is yet to be made; raises UnknownFormat. Writes nothing."""
    names = disk.list(path)
    if "format" not in names:
        _check_unmade(disk, path, names)
        return None
    words = disk.read(path / "format").split()
    if len(words) < 2 or words[0] != b"leveret" or not words[1].isdigit():
        raise UnknownFormat(f"data directory {path}: its format file is not one of Leveret's, or is damaged")
    if int(words[1]) != FORMAT:
        found = words[1].decode()
        raise UnknownFormat(f"data directory {path} has format {found}, this version reads format {FORMAT}")
    if len(words) != 4 or words[3] != _seal(words[:3]):
        raise UnknownFormat(f"data directory {path}: its format file is damaged")
    return bytes.fromhex(words[2].decode())


def _check_unmade(disk: Disk, path: Path, names: list[str]) -> None:
    foreign = sorted(set(names) - _OURS)
    if foreign:
        raise UnknownFormat(f"data directory {path} is not empty and holds no Leveret data ({foreign[0]})")
    for folder in ("log", "definitions"):
        inside = disk.list(path / folder) if folder in names else []
        for number in segment_numbers(inside):
            if len(disk.read(segment_path(path / folder, number))) > HEADER_OCTETS:
                raise UnknownFormat(f"data directory {path} holds data but its format file is missing")


def _make(disk: Disk, path: Path) -> bytes:
    salt = disk.entropy(SALT_OCTETS)
    for folder, magic in (("log", LOG_MAGIC), ("definitions", JOURNAL_MAGIC)):
        disk.mkdir(path / folder)
        writer = SegmentWriter(disk, path / folder, magic, salt, Tail(0, HEADER_OCTETS, 0, 1))
        writer.create(1, 1, 1)
        writer.close()
    disk.dirsync(path)
    _put_file(disk, path / "format", [b"leveret", b"%d" % FORMAT, salt.hex().encode()])
    return salt


def _put_file(disk: Disk, path: Path, words: list[bytes]) -> None:
    new_path = path.with_name(path.name + ".new")
    fd = disk.create(new_path)
    try:
        with full_disk_told(lambda: None):
            disk.write(fd, [b" ".join([*words, _seal(words)]) + b"\n"])
        disk.fdatasync(fd)
    finally:
        disk.close(fd)
    disk.rename(new_path, path)
    disk.dirsync(path.parent)


def _seal(words: list[bytes]) -> bytes:
    return b"%08x" % crc32(b" ".join(words))
