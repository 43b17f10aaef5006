"""A tail torn at every octet, followed by nothing, zeros, garbage or old batches: cut back to the last whole batch.

Promises P2 and P9. By day the last 4 KB of a log, at night the last 64 KB.
"""

import random
from functools import cache
from pathlib import Path

import pytest

from storage.log import segment_path
from tests.storage.driving import Driver, Model
from tests.storage.simulated_disk import SimulatedDisk, SimulatedFile
from tests.torture import IS_NIGHT, count, ran, those_of_slice

DIRECTORY = Path("/data")
PATH = segment_path(DIRECTORY / "log", 1)
HEADER_OCTETS = 64
OCTETS = count(4096, 65536)
BODY_OCTETS = count(100, 1500)
EACH = count(16, 100)  # of so many offsets, at one the store is written to again


@cache
def written() -> tuple[SimulatedDisk, list[Model], list[int]]:
    """A log in one segment of OCTETS octets or more, the model after each batch, and the log's length then."""
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    chance = random.Random("tail")
    states, ends = [driver.model.copy()], [HEADER_OCTETS]
    while ends[-1] < OCTETS + HEADER_OCTETS:
        ids = driver.publish(
            (1, 2), [chance.randbytes(chance.randrange(BODY_OCTETS)) for _ in range(chance.randint(1, 3))]
        )
        driver.settle(2, ids[:1])
        if chance.random() < 0.8:
            driver.settle(1, range(min(driver.model.queues[1]), min(driver.model.queues[1]) + 1))
        driver.wait_durable()
        states.append(driver.model.copy())
        ends.append(len(disk.files[PATH].data))
    return disk, states, ends


CHANCE = random.Random("garbage")
TAILS = {
    "nothing": b"",
    "zeros": bytes(600),
    "garbage": CHANCE.randbytes(600),
    "marks": b"\xb5LvB" * 20,
}
OLD = "an old batch"


@pytest.mark.parametrize("tail", [*TAILS, OLD])
def test_every_truncation_recovers_what_was_whole_before_it(tail: str) -> None:
    disk, states, ends = written()
    octets = bytes(disk.files[PATH].data)
    after = octets[HEADER_OCTETS : ends[1]] if tail == OLD else TAILS[tail]
    others = {path: file for path, file in disk.files.items() if path != PATH}
    first = ends[1] if tail == OLD else len(octets) - OCTETS
    lengths = range(first, len(octets))
    for length in those_of_slice(lengths, OCTETS if tail == "nothing" else OCTETS // 16):
        torn = octets[:length] + after
        files = {path: SimulatedFile(bytes(file.data)) for path, file in others.items()}
        cut = SimulatedDisk({**files, PATH: SimulatedFile(torn)}, disk.directories)
        driver = Driver(DIRECTORY, cut)
        # A tail of zeros may be just what was cut off.
        last = max(i for i, end in enumerate(ends) if end <= length or torn.startswith(octets[:end]))
        assert driver.model == states[last], length
        if tail == OLD:
            assert driver.store.recovery.damage, "a whole batch that is there twice is no torn tail"
        else:
            assert driver.store.recovery.damage == [], length
            assert driver.store.recovery.dropped_octets == len(torn) - ends[last], length
        if length % EACH == 0:
            _goes_on(driver, cut)
        ran("T4", 1, f"lengths of a tail of {OCTETS // 1024} KB, then {tail}")


def _goes_on(driver: Driver, cut: SimulatedDisk) -> None:
    driver.publish((1,), [b"after"])
    driver.wait_durable()
    driver.close()
    again = Driver(DIRECTORY, cut)
    assert again.model == driver.model
    assert again.store.recovery.dropped_octets == 0


def test_the_log_is_as_long_as_is_said() -> None:
    disk, _, ends = written()
    assert len(disk.files[PATH].data) - HEADER_OCTETS >= OCTETS
    assert len(ends) > 20
    assert IS_NIGHT or OCTETS == 4096
