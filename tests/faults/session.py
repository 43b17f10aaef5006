"""A store's whole life as a process: made, filled, emptied, closed. Run by the tests, with a fault somewhere in it.

It prints the number of each step that is promised to be on disk, and stops where a tracer may want to attach.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from storage import definitions, space, writing
from storage.syncing import KernelSync, Synced
from tests.storage.driving import Driver, Model

SEGMENT_OCTETS = 600
KERNEL = "kernel"
"""The second argument for a session whose small batches the kernel syncs: messages alone, and more in a segment."""
KERNEL_SEGMENT_OCTETS = 4000
STEPS = int(os.environ.get("LEVERET_SESSION_STEPS", "11"))


def step(driver: Driver, number: int, is_kernels: bool = False) -> None:
    """Publish, settle and define; what it does depends on the arguments and on nothing else."""
    ids = driver.publish((1, 2), [b"body %d of step %d" % (i, number) for i in range(3)])
    driver.publish((2,), [b"x" * 150])
    driver.settle(1, ids[:2])
    if number:
        driver.settle(2, range(ids.start - 4, ids.start))
        driver.settle(1, range(ids.start - 2, ids.start - 1))
    if not is_kernels or number % 5 == 3:
        driver.define(("queue", "/", str(number % 2)), {"step": number})


class KernelsAlone:
    """The kernel's sync without a loop that watches a descriptor: as soon as nothing else is to do it is waited for."""

    def __init__(self, notify: Callable[[Callable[[], None]], object]) -> None:
        self._notify = notify
        self._kernel = KernelSync(self, lambda call: call())

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> None:
        """Nobody watches."""

    def remove_reader(self, fd: int, /) -> None:
        """As little."""

    def begin(self, fd: int, then: Synced) -> None:
        self._kernel.begin(fd, then)
        self._notify(self.wait)

    def wait(self) -> None:
        self._kernel.wait()

    def close(self) -> None:
        self._kernel.close()


def states(is_kernels: bool = False) -> list[Model]:
    """What is in the store after no step, after the first, ..."""
    from tests.storage.simulated_disk import SimulatedDisk

    driver = Driver(Path("/data"), SimulatedDisk(), SEGMENT_OCTETS)
    found = [driver.model.copy()]
    for number in range(STEPS):
        step(driver, number, is_kernels)
        found.append(driver.model.copy())
    driver.close()
    return found


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def stop(name: str) -> None:
    say(f"stop {name}")
    sys.stdin.readline()


def main(directory: Path, is_kernels: bool) -> int:
    """The process; 74 if the disk failed."""
    definitions.SNAPSHOT_RECORDS = 3  # type: ignore[misc]
    space.RETRY_S = 0.01  # type: ignore[misc]
    writing.SLOW_S = 1e9  # type: ignore[misc]  # or a slow machine would have other calls in each run
    stop("boot")
    if is_kernels:
        driver = Driver(directory, segment_octets=KERNEL_SEGMENT_OCTETS, make_sync=KernelsAlone)
    else:
        driver = Driver(directory, segment_octets=SEGMENT_OCTETS)
    stop("session")
    for number in range(STEPS):
        step(driver, number, is_kernels)
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
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:] == [KERNEL]))
