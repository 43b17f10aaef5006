"""A store that was opened while the disk was full had a reserve of no octets, for as long as it was open: publishers
were paused for good at their first message, room or not, and the log wrote empty batches as fast as it could.
"""

from pathlib import Path

from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")


def test_room_that_comes_after_the_start_is_used() -> None:
    disk = SimulatedDisk()
    Driver(DIRECTORY, disk).close()
    full = disk.after_kill()
    full.unlink(DIRECTORY / "reserve")
    full.capacity -= full.free_octets(DIRECTORY)
    driver = Driver(DIRECTORY, full)
    assert driver.store.unwritten_octets < driver.store.unwritten_limit_octets // 2, "what is empty is not too much"
    driver.wait_for(lambda: driver.store.is_short)
    full.capacity = 1 << 30
    driver.store.look_for_room()
    driver.wait_for(lambda: not driver.store.is_short)
    assert driver.store.unwritten_limit_octets > 1 << 20
    driver.publish((1,), [b"now there is room"])
    driver.wait_durable()
    driver.close()
