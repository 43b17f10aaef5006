"""A store that was closed while it gave back dead segments went on doing so, in a directory that others had by then."""

from pathlib import Path

from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")


def test_nothing_touches_the_directory_behind_a_close() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, 600)
    first = driver.next_id
    for _ in range(40):
        last = driver.publish((1,), [b"x" * 100]).stop
        driver.wait_durable()
    driver.settle(1, range(first, last))
    driver.wait_durable()
    assert driver.store._trimmer.is_busy, "the first segment is on its way out, and many would follow"
    driver.close()
    assert driver.store._reader._thread is None
    calls = len(disk.calls)
    again = Driver(DIRECTORY, disk, 600)
    assert (again.model.queues, again.store.recovery.clean) == ({}, True)
    assert not [call for call in disk.calls[calls:] if call.startswith("unlink 0")]
