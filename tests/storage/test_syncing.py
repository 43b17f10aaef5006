"""Small batches: written in the loop and synced beside it, with what a batch in the thread promises."""

import asyncio
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage import space, store, writing
from storage.files import Disk
from storage.syncing import KernelSync
from tests.storage.driving import Driver, LaterSync, recovered_model
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")
SEGMENT = "00000000000000000001.segment"
LARGE = bytes(writing.SMALL_OCTETS)
DEADLINE_S = 20.0


def open_store(disk: Disk, segment_octets: int = 1 << 20) -> tuple[Driver, LaterSync]:
    """A store that syncs small batches beside the loop, its first segment begun."""
    driver = Driver(DIRECTORY, disk, segment_octets, has_sync=True)
    driver.publish((1,), [b"the first may begin a segment, which the thread does"])
    driver.wait_durable()
    assert driver.sync is not None
    driver.sync.count = 0
    return driver, driver.sync


def promised(driver: Driver, kept: list[int]) -> int:
    """Publish a message and ask to be told when it is durable."""
    driver.publish((1,), [b"small"])
    ticket = driver.store.promise(kept.append)
    driver.store.flush()
    return ticket


def test_small_batch_is_promised_after_its_sync_and_not_after_its_write() -> None:
    disk = SimulatedDisk()
    driver, sync = open_store(disk)
    before, kept = len(disk.calls), list[int]()
    ticket = promised(driver, kept)
    assert disk.calls[before:] == [f"write {SEGMENT}"]
    assert sync.count == 1
    assert kept == []
    assert driver.store.durable_ticket < ticket
    driver.run_calls()
    assert disk.calls[before:] == [f"write {SEGMENT}", f"fdatasync {SEGMENT}"]
    assert kept == [ticket]
    assert recovered_model(Driver(DIRECTORY, disk.after_power_loss("durable", "durable")).store) == driver.model
    driver.close()
    assert sync.is_closed


def test_large_batches_and_definitions_and_new_segments_are_the_threads() -> None:
    disk = SimulatedDisk()
    driver, sync = open_store(disk, segment_octets=4 * len(LARGE))
    driver.publish((1,), [LARGE])
    driver.wait_durable()
    driver.define(("queue", "/", "q"), 1)
    driver.publish((1,), [b"small"])
    driver.wait_durable()
    assert sync.count == 0
    for _ in range(5):
        driver.publish((1,), [LARGE])
        driver.wait_durable()
    assert f"create {SEGMENT}" in disk.calls
    assert "create 00000000000000000002.segment" in disk.calls
    assert sync.count == 0
    kept: list[int] = []
    promised(driver, kept)
    driver.run_calls()
    assert sync.count == len(kept) == 1
    driver.close()
    assert recovered_model(Driver(DIRECTORY, disk).store) == driver.model


def test_failed_sync_is_final() -> None:
    disk = SimulatedDisk()
    disk.error = OSError(errno.EIO, "Input/output error")
    driver, _ = open_store(disk)
    kept: list[int] = []
    promised(driver, kept)
    disk.fail_at = len(disk.calls) + 1
    driver.wait_for(lambda: bool(driver.failures))
    promised(driver, kept)
    driver.run_calls()
    assert kept == []
    assert "Input/output error" in str(driver.failures[0])
    assert driver.store.failure is driver.failures[0]
    driver.close()
    assert not disk.exists(DIRECTORY / "clean")


def test_failed_write_is_final() -> None:
    disk = SimulatedDisk()
    disk.error = OSError(errno.EIO, "Input/output error")
    driver, _ = open_store(disk)
    disk.fail_at = len(disk.calls) + 1
    kept: list[int] = []
    promised(driver, kept)
    driver.wait_for(lambda: bool(driver.failures))
    assert kept == []
    driver.close()


def test_batch_that_does_not_fit_waits_for_room_in_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "RETRY_S", 0.005)
    disk = SimulatedDisk()
    driver, sync = open_store(disk)
    disk.capacity -= disk.free_octets(DIRECTORY) - 20  # not even a batch's header
    kept: list[int] = []
    promised(driver, kept)
    assert sync.count == 0
    driver.wait_for(lambda: bool(kept))
    assert driver.shortages == [True]
    # While room is short all is left to the thread.
    promised(driver, kept)
    driver.wait_for(lambda: len(kept) == 2)
    assert sync.count == 0
    disk.capacity = 1 << 30
    driver.store.look_for_room()
    driver.wait_for(lambda: driver.shortages == [True, False])
    promised(driver, kept)
    driver.run_calls()
    assert (sync.count, len(kept)) == (1, 3)
    driver.close()
    assert recovered_model(Driver(DIRECTORY, disk).store) == driver.model


def test_thread_syncs_where_the_kernel_refuses() -> None:
    disk = SimulatedDisk()
    driver, sync = open_store(disk)
    sync.refuses = True
    kept: list[int] = []
    for number in (1, 2):
        promised(driver, kept)
        driver.wait_for(lambda: len(kept) == number)  # noqa: B023 - called within the turn
        assert disk.calls[-1] == f"fdatasync {SEGMENT}"
    assert sync.count == 0
    assert sync.is_closed, "what it takes is kept, and nobody uses it any more"
    assert recovered_model(Driver(DIRECTORY, disk.after_power_loss("durable", "durable")).store) == driver.model
    driver.close()


def test_thread_writes_for_a_while_after_a_write_that_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, takes_s = [100.0], [0.0]
    monkeypatch.setattr(writing, "time", SimpleNamespace(monotonic=lambda: now_s[0]))

    class Frozen(SimulatedDisk):
        def write(self, fd: int, buffers: "list[bytes]") -> None:  # type: ignore[override]
            super().write(fd, buffers)
            now_s[0] += takes_s[0]

    disk = Frozen()
    driver, sync = open_store(disk)
    takes_s[0] = 2 * writing.SLOW_S
    kept: list[int] = []
    promised(driver, kept)
    driver.run_calls()
    assert sync.count == 1
    promised(driver, kept)
    driver.store._committer.stop()
    driver.run_calls()
    assert (sync.count, len(kept)) == (1, 2)
    now_s[0] += writing.REST_S
    promised(driver, kept)
    driver.run_calls()
    assert (sync.count, len(kept)) == (2, 3)
    driver.close()


def test_nothing_goes_to_the_thread_while_a_sync_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BATCH_OCTETS_MAX", 1000)
    disk = SimulatedDisk()
    driver, sync = open_store(disk)
    kept: list[int] = []
    promised(driver, kept)
    before = len(disk.calls)
    driver.publish((1,), [bytes(2000)])
    promised(driver, kept)
    assert sync.count == 1
    assert len(disk.calls) == before
    driver.wait_for(lambda: len(kept) == 2)
    driver.close()


def test_close_waits_for_the_sync_under_way() -> None:
    disk = SimulatedDisk()
    driver, sync = open_store(disk)
    kept: list[int] = []
    first, second = promised(driver, kept), promised(driver, kept)
    driver.close()
    assert kept == [first, second]
    assert sync.is_closed
    assert recovered_model(Driver(DIRECTORY, disk.after_power_loss("durable", "durable")).store) == driver.model


# The kernel's


@pytest.fixture
def kernel_sync() -> Iterator[tuple[asyncio.AbstractEventLoop, KernelSync, Callable[[], int]]]:
    loop = asyncio.new_event_loop()
    ran: list[Callable[[], None]] = []

    def run(call: Callable[[], None]) -> None:
        ran.append(call)
        call()

    try:
        sync = KernelSync(loop, run)
    except OSError as error:
        loop.close()
        pytest.skip(f"this system has no such calls: {error}")
    yield loop, sync, lambda: len(ran)
    sync.close()
    loop.close()


def test_kernel_syncs_a_file_again_and_again_and_tells_the_loop(
    kernel_sync: tuple[asyncio.AbstractEventLoop, KernelSync, Callable[[], int]], tmp_path: Path
) -> None:
    loop, sync, ran = kernel_sync
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    told: list[OSError | None] = []

    async def once() -> None:
        done = asyncio.Event()
        os.write(fd, b"more")

        def then(error: OSError | None) -> None:
            told.append(error)
            done.set()

        sync.begin(fd, then)
        await asyncio.wait_for(done.wait(), DEADLINE_S)

    for _ in range(20):
        loop.run_until_complete(once())
    assert told == [None] * 20
    assert ran() == 20
    os.close(fd)


def test_kernel_is_waited_for_without_the_loop(
    kernel_sync: tuple[asyncio.AbstractEventLoop, KernelSync, Callable[[], int]], tmp_path: Path
) -> None:
    loop, sync, ran = kernel_sync
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    told: list[OSError | None] = []
    sync.begin(fd, told.append)
    sync.wait()
    assert told == [None]
    loop.run_until_complete(asyncio.sleep(0))  # the loop hears of it as well, and there is nothing left to do
    assert told == [None]
    assert ran() == 0
    sync.wait()
    os.close(fd)


@pytest.mark.parametrize("kernel_says", [-1, 0])
def test_what_the_kernel_does_not_tell_is_a_failure_and_no_silence(
    kernel_sync: tuple[asyncio.AbstractEventLoop, KernelSync, Callable[[], int]], tmp_path: Path, kernel_says: int
) -> None:
    _, sync, _ = kernel_sync
    real = sync._call

    def call(number: ctypes.c_long, *arguments: object) -> int:
        result = int(real(number, *arguments))
        if number is not sync._get[0]:
            return result
        ctypes.set_errno(errno.EINVAL)
        return kernel_says

    sync._call = call  # type: ignore[assignment]
    told: list[OSError | None] = []
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    sync.begin(fd, told.append)
    sync.wait()
    (error,) = told
    assert error is not None
    assert error.errno == (errno.EINVAL if kernel_says else errno.EIO)
    sync.wait()
    sync._call = real
    os.close(fd)


def test_what_cannot_be_synced_is_refused_at_once(
    kernel_sync: tuple[asyncio.AbstractEventLoop, KernelSync, Callable[[], int]],
) -> None:
    _, sync, _ = kernel_sync
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="Invalid argument"):
        sync.begin(writer, lambda error: None)
    os.close(reader)
    os.close(writer)
    sync.wait()
