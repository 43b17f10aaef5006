"""What the store promises its caller: tickets, order of callbacks, grouping, failure, bounded files."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage import store
from tests.storage.driving import Driver, recovered_model
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")


def test_promises_are_kept_in_order_and_never_within_the_call() -> None:
    driver = Driver(DIRECTORY, SimulatedDisk())
    kept: list[tuple[str, int]] = []
    driver.publish((1,), [b"a"])
    first = driver.store.promise(lambda ticket: kept.append(("one", ticket)))
    driver.store.promise(lambda ticket: kept.append(("two", ticket)))
    driver.store.flush()
    assert kept == []
    second = driver.store.promise(lambda ticket: kept.append(("three", ticket)))
    driver.wait_durable()
    assert kept == [("one", first), ("two", first), ("three", second)]
    assert driver.store.durable_ticket >= second > first
    assert driver.store.unwritten_octets == 32  # the header of the batch being filled
    driver.close()


def test_promise_with_nothing_to_write_is_kept() -> None:
    driver = Driver(DIRECTORY, SimulatedDisk())
    driver.wait_durable()
    driver.close()


def test_batches_gather_while_one_is_written() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    before = len(disk.calls)
    for _ in range(50):
        driver.publish((1,), [b"body"])
        driver.store.promise(lambda ticket: None)
        driver.store.flush()
    driver.wait_durable()
    assert disk.calls[before:].count("fdatasync 00000000000000000001.segment") == 2
    driver.close()


def test_settlements_without_promise_are_written_soon() -> None:
    driver = Driver(DIRECTORY, SimulatedDisk())
    ids = driver.publish((1,), [b"a", b"b"])
    driver.wait_durable()
    driver.settle(1, ids[:1])
    ticket = driver.store.ticket
    driver.store.flush()
    driver.wait_for(lambda: driver.store.durable_ticket >= ticket)
    driver.close()


def test_exception_of_a_callback_does_not_take_the_others_turn() -> None:
    driver = Driver(DIRECTORY, SimulatedDisk())
    kept: list[int] = []

    def fails(ticket: int) -> None:
        raise RuntimeError("a bug in the broker")

    driver.store.promise(fails)
    driver.store.promise(kept.append)
    driver.store.flush()
    with pytest.raises(RuntimeError, match="a bug in the broker"):
        driver.wait_for(lambda: bool(kept))
    driver.wait_for(lambda: bool(kept))
    driver.close()


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_failed_disk_call_is_final(nth: int) -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    driver.publish((1,), [b"safe"])
    driver.wait_durable()
    promised = driver.model.copy()
    durable = driver.store.durable_ticket
    disk.error = OSError(errno.EIO, "Input/output error")  # only this once; later calls would succeed
    disk.fail_at = len(disk.calls) + nth
    kept: list[int] = []
    for _ in range(4):
        if driver.failures:
            break
        driver.define(("queue", "q"), nth)
        driver.publish((1,), [b"unsafe"])
        driver.wait_durable()
    durable = driver.store.durable_ticket
    calls = len(disk.calls)
    for _ in range(3):
        driver.publish((1,), [b"later"])
        driver.store.promise(kept.append)
        driver.store.flush()
        driver.run_calls()
    driver.close()
    assert len(driver.failures) == 1
    assert driver.failures[0].exit_code == 74
    assert driver.store.failure is driver.failures[0]
    assert (driver.store.durable_ticket, kept) == (durable, [])
    assert len(disk.calls) == calls
    found = Driver(DIRECTORY, disk.after_kill()).store
    assert recovered_model(found).queues[1].keys() >= promised.queues[1].keys()
    assert not found.recovery.clean


def test_endless_stream_beside_an_old_message_keeps_the_directory_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "LAZY_S", 0.0)
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, segment_octets=4096)
    driver.publish((1,), [b"old"])
    largest = largest_idle = 0
    for step in range(1000):
        ids = driver.publish((2,), [b"x" * 200] * 3)
        driver.wait_durable()
        driver.settle(2, ids)
        octets = sum(len(file.data) for path, file in disk.files.items() if path.parent.name == "log")
        largest = max(largest, octets)
        if step % 20 == 0:  # trimming has caught up
            driver.wait_idle()
            octets = sum(len(file.data) for path, file in disk.files.items() if path.parent.name == "log")
            largest_idle = max(largest_idle, octets)
    driver.close()
    assert largest_idle < 6 * 4096
    assert largest < 25 * 4096  # of some 850,000 octets written: trimming runs beside the stream and may lag
    found = Driver(DIRECTORY, disk).store
    assert recovered_model(found).queues == {1: {1: (b"env", b"old", False)}}
    assert found.recovery.next_message_id == 3002


def test_settled_while_it_is_read_for_copying_is_not_copied() -> None:
    class Slow(SimulatedDisk):
        released = threading.Event()

        def open_read(self, path: Path) -> int:
            assert self.released.wait(20)
            return super().open_read(path)

    disk = Slow()
    driver = Driver(DIRECTORY, disk, segment_octets=500)
    driver.publish((1,), [b"old", b"older"])
    for _ in range(12):
        ids = driver.publish((2,), [b"x" * 200])
        driver.wait_durable()
        driver.settle(2, ids)
    assert not driver.store.is_idle  # the reader waits for the disk
    driver.settle(1, range(1, 3))
    driver.wait_durable()
    disk.released.set()
    driver.wait_idle()
    driver.close()
    assert not driver.store.damage
    assert driver.model.queues == {}
    assert Driver(DIRECTORY, disk).model.queues == {}


def test_ids_do_not_return_when_all_messages_are_trimmed() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, segment_octets=100)
    ids = driver.publish((9,), [b"x" * 100] * 5)
    driver.wait_durable()
    driver.settle(9, ids)
    driver.wait_durable()
    for _ in range(5):
        driver.store.delivered(1, driver.next_id)
        driver.next_id += 1
        driver.wait_idle()
    driver.close()
    assert "00000000000000000001.segment" not in disk.list(DIRECTORY / "log")
    recovery = Driver(DIRECTORY, disk).store.recovery
    assert (recovery.next_message_id, recovery.next_queue_id) == (11, 10)  # five published, five more delivered


CHILD = """
import sys
import threading
from pathlib import Path
from tests.storage.driving import Driver
driver = Driver(Path(sys.argv[1]), segment_octets=20_000)
print("open", flush=True)
while True:
    ids = driver.publish((1, 2), [b"%d" % (driver.next_id + i) * 20 for i in range(5)])
    driver.settle(2, ids)
    if len(driver.model.queues[1]) > 50:
        oldest = list(driver.model.queues[1])[:5]
        driver.settle(1, range(oldest[0], oldest[-1] + 1))
    driver.wait_durable()
    print(ids[-1], flush=True)
"""


def test_kill_9_loses_nothing_promised(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"open\n"
            for _ in range(100):
                promised = int(child.stdout.readline())
            os.kill(child.pid, signal.SIGKILL)
            for line in child.stdout.read().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    promised = int(line)
        driver = Driver(tmp_path, segment_octets=20_000)
        queue = driver.model.queues[1]
        assert driver.store.recovery.damage == []
        assert promised in queue
        # A segment whose first batch did not get to be written has used up that batch's ids.
        assert list(queue)[-1] - promised in (0, 5, 10)
        assert list(queue) == sorted(queue)
        assert len(queue) == 50
        assert all(piece == b"%d" % message_id * 20 for message_id, (_, piece, _) in queue.items())
        assert 2 not in driver.model.queues
        driver.close()
