"""Page files: where messages wait that had to leave memory and are in no log.

One file holds what left in one go, as opaque octets; it is removed when they are in memory again, or forgotten. Nothing
of this outlives the process: no sync, and at the start all of it goes. A lack of room is no failure; what should have
left then stays in memory.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from storage.checksum import crc32
from storage.committer import Committer
from storage.files import Disk

SUFFIX: Final = ".page"

Result = TypeVar("Result")


class PageFiles:
    """All page files of a node. Called from the loop's thread; ``thread`` does the rest, one job after the other."""

    __slots__ = ("_directory", "_disk", "_is_made", "_next_number", "_sums", "_thread", "unwritten_octets")

    def __init__(self, disk: Disk, directory: Path, thread: Committer) -> None:
        """Remove what an earlier process left."""
        self._disk = disk
        self._directory = directory
        self._thread = thread
        self._next_number = 1
        self._sums: dict[int, int] = {}
        self._is_made = disk.exists(directory)
        self.unwritten_octets = 0
        for name in disk.list(directory) if self._is_made else ():
            if name.endswith(SUFFIX):
                disk.unlink(directory / name)

    def write(
        self, encode: Callable[[], list[bytes]], estimate_octets: int, then: Callable[[int | None], None]
    ) -> None:
        """Keep what ``encode()``, called in the thread, returns in parts; ``then(number)`` in the loop, or None.

        ``estimate_octets`` counts as unwritten until then.
        """
        number = self._next_number
        self._next_number += 1
        self.unwritten_octets += estimate_octets

        def written(checksum: int | None) -> None:
            self.unwritten_octets -= estimate_octets
            if checksum is None:
                then(None)
            else:
                self._sums[number] = checksum
                then(number)

        self._thread.submit(lambda: self._write(number, encode), written)

    def read(self, number: int, convert: Callable[[bytes | None], Result], then: Callable[[Result], None]) -> None:
        """Have ``then(convert(octets))`` called in the loop; ``convert`` in the thread, with None when the page cannot
        be read back as it was written.
        """
        checksum = self._sums[number]
        self._thread.submit(lambda: convert(self._read(number, checksum)), then)

    def read_now(self, number: int) -> bytes | None:
        """As ``read``, blocking."""
        return self._read(number, self._sums[number])

    def drop(self, number: int) -> None:
        """Remove a page: its messages are in memory again, or gone."""
        if self._sums.pop(number, None) is not None:
            self._thread.submit(lambda: self._unlink(number), _nothing)

    def promise(self, then: Callable[[], None]) -> None:
        """Have ``then()`` called in the loop when all that was given here so far has been done."""
        self._thread.submit(lambda: None, lambda _: then())

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:012d}{SUFFIX}"

    def _write(self, number: int, encode: Callable[[], list[bytes]]) -> int | None:
        parts = encode()
        path = self._path(number)
        try:
            if not self._is_made:
                self._disk.mkdir(self._directory)
                self._is_made = True
            fd = self._disk.create(path)
            try:
                self._disk.write(fd, parts)
            finally:
                self._disk.close(fd)
        except OSError:
            self._unlink(number)
            return None
        checksum = 0
        for part in parts:
            checksum = crc32(part, checksum)
        return checksum

    def _read(self, number: int, checksum: int) -> bytes | None:
        try:
            octets = self._disk.read(self._path(number))
        except OSError:
            return None
        return octets if crc32(octets) == checksum else None

    def _unlink(self, number: int) -> None:
        with contextlib.suppress(OSError):  # The next start removes it.
            self._disk.unlink(self._path(number))


def _nothing(_: None) -> None:
    """Nobody waits for this."""
