"""While there was little room on the disk, a broker that did nothing began a new segment at every look for room, ten
times a second: a file made, synced and removed, each time.
"""

from pathlib import Path

from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")


def test_a_second_look_for_room_writes_nothing() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    driver.settle(1, driver.publish((1,), [b"x" * 100]))
    driver.wait_idle()
    driver.store.look_for_room()
    driver.wait_idle()
    assert list(driver.store._index.segments) == [2], "all was dead in the first one, and it has gone"
    calls = len(disk.calls)
    for _ in range(3):
        driver.store.look_for_room()
        driver.wait_idle()
    assert disk.calls[calls:] == []
    driver.close()
    assert Driver(DIRECTORY, disk).store.recovery.clean


def test_a_look_after_an_empty_start_writes_nothing_either() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    calls = len(disk.calls)
    driver.store.look_for_room()
    driver.wait_idle()
    assert disk.calls[calls:] == []
    driver.close()
