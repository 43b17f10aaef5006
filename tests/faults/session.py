"""A store's whole life as a process: made, filled, emptied, closed. Run by the tests, with a fault somewhere in it.

It prints the number of each step that is promised to be on disk, and stops where a tracer may want to attach.
"""

import os
import sys
from pathlib import Path

from storage import definitions, space
from tests.storage.driving import Driver, Model

SEGMENT_OCTETS = 600
STEPS = int(os.environ.get("LEVERET_SESSION_STEPS", "11"))


def step(driver: Driver, number: int) -> None:
    """Publish, settle and define; what it does depends on its number and on nothing else."""
    ids = driver.publish((1, 2), [b"body %d of step %d" % (i, number) for i in range(3)])
    driver.publish((2,), [b"x" * 150])
    driver.settle(1, ids[:2])
    if number:
        driver.settle(2, range(ids.start - 4, ids.start))
        driver.settle(1, range(ids.start - 2, ids.start - 1))
    driver.define(("queue", "/", str(number % 2)), {"step": number})


def states() -> list[Model]:
    """What is in the store after no step, after the first, ..."""
    from tests.storage.simulated_disk import SimulatedDisk

    driver = Driver(Path("/data"), SimulatedDisk(), SEGMENT_OCTETS)
    found = [driver.model.copy()]
    for number in range(STEPS):
        step(driver, number)
        found.append(driver.model.copy())
    driver.close()
    return found


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def stop(name: str) -> None:
    say(f"stop {name}")
    sys.stdin.readline()


def main(directory: Path) -> int:
    """The process; 74 if the disk failed."""
    definitions.SNAPSHOT_RECORDS = 3  # type: ignore[misc]
    space.RETRY_S = 0.01  # type: ignore[misc]
    stop("boot")
    driver = Driver(directory, segment_octets=SEGMENT_OCTETS)
    stop("session")
    for number in range(STEPS):
        step(driver, number)
        driver.wait_durable()
        if driver.failures:
            break
        say(str(number + 1))
        driver.wait_idle()
        if driver.store.is_short:
            driver.store.look_for_room()
            driver.wait_for(lambda: not driver.store.is_short)
            say("short")
    stop("close")
    driver.close()
    if driver.failures or driver.store.failure is not None:
        say(f"failed {driver.store.failure}")
        return 74
    say("closed")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
