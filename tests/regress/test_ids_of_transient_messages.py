"""After a restart the ids of transient messages were given out again. "Delivered up to" of before covered the new ones,
so that a second crash marked messages as redelivered that nobody had ever seen.
"""

from pathlib import Path

from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")


def test_an_id_that_a_watermark_covers_is_not_used_again() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    driver.publish((1,), [b"kept"])
    driver.store.delivered(1, 7)  # ids 2 to 7 were those of transient messages, which the log never sees
    driver.wait_durable()
    second = Driver(DIRECTORY, disk.after_kill())
    assert second.next_id == 8
    driver.close()
    second.close()
