"""Room on the disk: a reserve that is given up when there is no more, and the wait until there is.

A full disk is no failing disk. The batch that does not fit is cut off again and waits in the writer's thread; the
reserve, a file of some MiB that was allocated in good times, is removed, so that what waits (settlements above all,
which let segments go) still fits. Room is there again when the reserve could be made anew.
"""

import contextlib
import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from storage.errors import DiskFull, StorageError
from storage.files import Disk

RESERVE_OCTETS_MAX: Final = 32 << 20
RESERVE_OCTETS_LEAST: Final = 1024
"""A smaller one is none: no batch but the emptiest would fit."""
RETRY_S: Final = 0.2
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def full_disk_told(undo: Callable[[], None]) -> Iterator[None]:
    """Raise DiskFull for a lack of room (of the disk or of a quota) after ``undo()``, which may raise as well.

    Never put a sync inside: after a failed one nobody knows what is on the disk, whatever the error says.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        undo()
        raise DiskFull(f"there is no room on the disk: {error}") from error


class Space:
    """The reserve, and the writer's wait. ``tell(is_short)`` is called in the writer's thread."""

    __slots__ = ("_disk", "_is_closing", "_octets", "_path", "_tell", "has_reserve")

    def __init__(self, disk: Disk, path: Path, tell: Callable[[bool], None]) -> None:
        """Make the reserve at ``path``; on a small disk a sixteenth of what is free."""
        self._disk = disk
        self._path = path
        self._tell = tell
        self._is_closing = threading.Event()
        self.has_reserve = False
        self._octets = 0
        with contextlib.suppress(OSError):
            if disk.exists(path):
                disk.unlink(path)  # of a size for the disk as it was then
            self._octets = min(RESERVE_OCTETS_MAX, disk.free_octets(path.parent) // 16)
            self.has_reserve = self._octets >= RESERVE_OCTETS_LEAST and self._allocate()

    @property
    def batch_octets(self) -> int:
        """How much may wait to be written so that it still fits, settlements behind it included, on a full disk."""
        return max(self._octets, RESERVE_OCTETS_LEAST) * 3 // 4

    def has_room_for(self, octets: int) -> bool:
        """Whether so much fits on a full disk, and settlements behind it. In the loop's thread."""
        try:
            free_octets = self._disk.free_octets(self._path.parent)
        except OSError:
            return False
        return free_octets - octets > max(self._octets, RESERVE_OCTETS_LEAST) - self.batch_octets

    def until_it_fits(self, write: Callable[[], None]) -> None:
        """Call ``write`` until it does not raise DiskFull. Raises StorageError when the store is closed meanwhile."""
        while True:
            try:
                write()
            except DiskFull as full:
                if self.has_reserve:
                    self._release()
                elif self._is_closing.wait(RETRY_S):
                    raise StorageError(f"closed with a batch that was never promised unwritten: {full}") from full
                self._tell(True)
            else:
                return

    def refill(self) -> bool:
        """Make the reserve anew; False when there is too little room for it and what will come. In the writer's
        thread.
        """
        try:
            if not self.has_reserve:
                free_octets = self._disk.free_octets(self._path.parent)
                # The disk may have been full when the store was opened, and have been no measure for a reserve.
                self._octets = max(self._octets, min(RESERVE_OCTETS_MAX, free_octets // 16))
                if self._octets >= RESERVE_OCTETS_LEAST and free_octets > 2 * self._octets:
                    self.has_reserve = self._allocate()
        except OSError:
            return False
        return self.has_reserve

    def give_up(self) -> None:
        """Wait for room no more: the store is being closed."""
        self._is_closing.set()

    def _allocate(self) -> bool:
        fd = self._disk.create(self._path)
        try:
            self._disk.allocate(fd, self._octets)
        except OSError:
            self._release()
            return False
        finally:
            self._disk.close(fd)
        return True

    def _release(self) -> None:
        self._disk.unlink(self._path)
        self.has_reserve = False
