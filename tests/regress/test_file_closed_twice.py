"""A read that found its next segment gone closed the last one's file twice.

The second close hit whatever file had got the number meanwhile: that of the newest segment, so that the next write
failed with EBADF and the broker stopped.
"""

from pathlib import Path

from storage.blocks import Blocks
from storage.files import Disk
from storage.reading import _Window


class CountingDisk(Disk):
    """Remembers which files were closed."""

    def __init__(self) -> None:
        self.closed: list[int] = []

    def close(self, fd: int) -> None:
        self.closed.append(fd)
        super().close(fd)


def test_window_closes_its_file_once(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"octets")
    disk = CountingDisk()
    window = _Window(disk, disk.open_read(path), 1, Blocks())
    window.close()
    window.close()
    assert len(disk.closed) == 1
