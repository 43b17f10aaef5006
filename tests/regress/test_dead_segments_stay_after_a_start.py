"""After a start, segments in which all was dead stayed on the disk until somebody published again."""

from pathlib import Path

from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")
SEGMENT_OCTETS = 600


def log_octets(disk: SimulatedDisk) -> int:
    return sum(len(file.data) for path, file in list(disk.files.items()) if path.parent.name == "log")


def test_a_store_that_is_only_opened_gives_back_what_is_dead() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    ids = driver.publish((1,), [b"x" * 100])
    for _ in range(40):
        ids = range(ids.start, driver.publish((1,), [b"x" * 100]).stop)
        driver.wait_durable()
    driver.settle(1, ids)
    driver.store.promise(lambda ticket: None)
    driver.store.flush()
    driver.store._committer.stop()  # it is on the disk, and the loop has not heard of it
    killed = disk.after_kill()
    assert log_octets(killed) > 5 * SEGMENT_OCTETS

    again = Driver(DIRECTORY, killed, SEGMENT_OCTETS)
    assert again.model.queues == {}
    again.store.trim()
    again.wait_for(lambda: again.store.is_idle)
    assert log_octets(killed) < 2 * SEGMENT_OCTETS
    again.close()
    assert Driver(DIRECTORY, killed, SEGMENT_OCTETS).model.queues == {}
