"""A disk wrote a block where it does not belong, and recovery let go of batches beside it that were whole.

A batch's header over another place was believed as to its length, so that what lies behind was jumped over; and the
copy of a later batch in front of earlier ones made these look like old ones that are there twice.
"""

from pathlib import Path

from storage.log import segment_path
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")
HEADER_OCTETS = 64
BATCH_HEADER_OCTETS = 32
SIZES = (1000, 10, 10, 10, 1000, 10)  # of the body in each batch
WHOLE = set(range(1, len(SIZES) + 1))


def written() -> tuple[SimulatedDisk, bytearray, list[int]]:
    """A log, its octets, and where its batches begin."""
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    path = segment_path(DIRECTORY / "log", 1)
    starts = [HEADER_OCTETS]
    for size in SIZES:
        driver.publish((1,), [b"x" * size])
        driver.wait_durable()
        starts.append(len(disk.files[path].data))
    killed = disk.after_kill()
    return killed, killed.files[path].data, starts


def test_a_header_in_a_wrong_place_hides_no_batch_behind_it() -> None:
    disk, octets, starts = written()
    header = octets[starts[4] : starts[4] + BATCH_HEADER_OCTETS]  # of a long batch, over that of a short one
    octets[starts[1] : starts[1] + BATCH_HEADER_OCTETS] = header
    driver = Driver(DIRECTORY, disk)
    assert driver.model.queues[1].keys() == WHOLE - {2}
    assert driver.store.recovery.damage


def test_a_batch_in_front_of_earlier_ones_does_not_replace_them() -> None:
    disk, octets, starts = written()
    last = bytes(octets[starts[5] :])
    octets[starts[1] : starts[1] + len(last)] = last
    driver = Driver(DIRECTORY, disk)
    assert driver.model.queues[1].keys() == WHOLE - {2}
    assert driver.store.recovery.damage


def test_a_log_out_of_order_is_gone_on_with() -> None:
    """Read back, settled, trimmed and opened again."""
    disk, octets, starts = written()
    octets[starts[1] : starts[4]] = octets[starts[2] : starts[4]] + octets[starts[1] : starts[2]]
    driver = Driver(DIRECTORY, disk, 1500)
    assert driver.model.queues[1].keys() == WHOLE
    assert driver.store.recovery.damage
    for _ in range(40):
        driver.publish((1,), [b"y" * 100])
        driver.wait_idle()
    for message_id in sorted(driver.model.queues[1])[1:30]:
        driver.settle(1, range(message_id, message_id + 1))
        driver.wait_idle()
    driver.close()
    again = Driver(DIRECTORY, disk, 1500)
    assert again.model == driver.model
    assert 1 in again.model.queues[1]
    assert not again.store.recovery.damage
