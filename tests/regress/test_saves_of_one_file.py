"""lavinmq, before 2.9.0: two saves of one file at the same time shared the temporary name, and spoilt each other.

Here the loop and the thread that reads ahead may both come upon a damaged block and copy it aside: the second one
emptied the file that the first was writing, and then missed it when it came to give it its name.
"""

import threading
from pathlib import Path

from storage.files import Disk
from storage.log import Broken
from storage.quarantine import Quarantine

DEADLINE_S = 20.0
SALT = b"salt"


class SlowDisk(Disk):
    """Stops in the middle of the first copy until it is let go on."""

    __slots__ = ("go_on", "is_copying")

    def __init__(self) -> None:
        self.is_copying = threading.Event()
        self.go_on = threading.Event()

    def fdatasync(self, fd: int) -> None:
        is_first = not self.is_copying.is_set()
        self.is_copying.set()
        if is_first:
            self.go_on.wait(DEADLINE_S)
        super().fdatasync(fd)


def test_one_damaged_place_met_by_two_threads_is_copied_once_and_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    octets = bytes(range(256)) * 4
    (log / f"{1:020d}.segment").write_bytes(octets)
    disk = SlowDisk()
    quarantine = Quarantine(disk, tmp_path / "quarantine")
    told: list[str] = []

    def put() -> None:
        told.append(quarantine.put(log, Broken(1, 100, 900), SALT).told)

    first, second = threading.Thread(target=put), threading.Thread(target=put)
    first.start()
    assert disk.is_copying.wait(DEADLINE_S)
    second.start()
    second.join(0.2)  # without a lock it would be done by now
    disk.go_on.set()
    first.join(DEADLINE_S)
    second.join(DEADLINE_S)
    assert len(told) == 2
    assert all("; copied to " in line for line in told), told
    (copy,) = quarantine.names()
    assert (tmp_path / "quarantine" / copy).read_bytes() == octets[100:900]
