"""A full disk stops nothing for good: what does not fit waits, settlements make room, all goes on by itself."""

import errno
from pathlib import Path
from queue import Empty

import pytest

from storage import space
from storage.errors import StorageError
from tests.storage import driving
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk
from tests.torture import ran, those_of_slice

DIRECTORY = Path("/data")
SEGMENT_OCTETS = 4000
BODY = b"x" * 500


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "RETRY_S", 0.005)


def filled_up(disk: SimulatedDisk) -> tuple[Driver, list[range]]:
    """A store that has just told that its disk is full; some of its messages are not durable then."""
    disk.capacity = 100_000
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    published: list[range] = []
    while not driver.shortages:
        published.append(driver.publish((1,), [BODY] * 3))
        driver.store.promise(lambda ticket: None)
        driver.store.flush()
        driver.wait_for(lambda: bool(driver.shortages) or not driver.store.unwritten_octets > 32)
        assert len(published) < 200
    assert driver.shortages == [True]
    assert driver.store.is_short
    return driver, published


def test_settling_everything_makes_room_and_the_store_goes_on_by_itself() -> None:
    disk = SimulatedDisk()
    driver, published = filled_up(disk)
    for ids in published:
        driver.settle(1, ids)
    driver.wait_durable()
    driver.wait_idle()
    while driver.store.is_short:
        driver.store.look_for_room()
        driver.wait_idle()
        driver.wait_for(lambda: not driver.store._is_looking)
    assert driver.shortages == [True, False]
    assert not driver.failures
    for _ in range(30):  # as much again, several times over
        driver.settle(1, driver.publish((1,), [BODY] * 3))
        driver.wait_idle()
    driver.publish((1,), [b"last"])
    driver.close()
    after = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    assert after.store.recovery.damage == []
    assert after.model == driver.model


def test_room_made_by_somebody_else_lets_the_batch_through(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk()
    driver, _ = filled_up(disk)
    ids = driver.publish((1,), [BODY] * 30)  # more than the reserve
    ticket = driver.store.promise(lambda ticket: None)
    driver.store.flush()
    monkeypatch.setattr(driving, "DEADLINE_S", 0.1)
    with pytest.raises(Empty):
        driver.wait_for(lambda: driver.store.durable_ticket >= ticket)
    monkeypatch.undo()
    disk.capacity = 1 << 20
    driver.wait_for(lambda: driver.store.durable_ticket >= ticket)
    driver.store.look_for_room()
    driver.wait_for(lambda: not driver.store.is_short)
    driver.close()
    assert recovered_ids(disk) >= set(ids)


def recovered_ids(disk: SimulatedDisk) -> set[int]:
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    assert driver.store.recovery.damage == []
    return set(driver.model.queues.get(1, {}))


def test_closing_on_a_full_disk_gives_up_only_what_was_never_promised() -> None:
    disk = SimulatedDisk()
    driver, _ = filled_up(disk)
    driver.wait_for(lambda: not driver.store.unwritten_octets > 32)
    promised = set(driver.model.queues[1])
    ids = driver.publish((1,), [BODY] * 30)
    driver.store.promise(lambda ticket: None)
    driver.close()
    assert "never promised" in str(driver.store.failure)
    assert isinstance(driver.store.failure, StorageError)
    found = recovered_ids(disk)
    assert found >= promised
    assert not found & set(ids)


def test_a_batch_that_is_cut_short_anywhere_is_overwritten_whole() -> None:
    """The disk gets full at every octet of a batch; what is there afterwards is the batch, once, and no damage."""
    for room in range(1, 140, 3):
        disk = SimulatedDisk()
        driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
        driver.publish((1,), [b"before"])
        driver.wait_durable()
        disk.capacity += room - disk.free_octets(DIRECTORY)
        driver.publish((1,), [b"one", b"two", b"three"])
        driver.define(("queue", "q"), 1)
        driver.wait_durable()
        driver.close()
        after = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
        assert (after.store.recovery.damage, after.store.recovery.dropped_octets) == ([], 0)
        assert after.model == driver.model


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_at_any_call_but_a_sync_is_survived(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of a session in turn says once that there is no room."""
    monkeypatch.setattr("storage.definitions.SNAPSHOT_RECORDS", 2)
    whole = SimulatedDisk()
    session(whole)
    for call in those_of_slice(range(1, len(whole.calls) + 1), len(whole.calls)):
        disk = SimulatedDisk()
        disk.error = OSError(number, "no room")
        disk.fail_at = call
        what = whole.calls[call - 1]
        try:
            session(disk)
        except StorageError:
            # While the directory is made, or where nobody can tell what is on the disk.
            assert "sync" in what or "unlink" in what or call < first_publish(whole), what
            disk.fail_at = 0
            session(disk)
        ran("T6", 1, f"calls of the simulated disk: {errno.errorcode[number]}")


def first_publish(disk: SimulatedDisk) -> int:
    return disk.calls.index("fdatasync clean.new")


def session(disk: SimulatedDisk) -> None:
    """Two runs, with segments that begin and go and a journal that is written anew; nothing promised may be missing."""
    Driver(DIRECTORY, disk, 600).close()
    driver = Driver(DIRECTORY, disk, 600)
    for step in range(6):
        ids = driver.publish((1, 2), [b"body %d" % step] * 5)
        driver.define(("queue", str(step % 2)), step)
        driver.settle(2, ids)
        driver.wait_idle()
        if step:
            driver.settle(1, range(ids.start - 4, ids.start))
    driver.wait_idle()
    driver.close()
    if driver.failures:
        raise driver.failures[0]
    after = Driver(DIRECTORY, disk, 600)
    after.close()
    assert (after.store.recovery.damage, after.model) == ([], driver.model)
