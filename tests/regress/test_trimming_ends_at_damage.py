"""A damaged batch with live messages in the oldest segment: nothing was trimmed any more until a restart, however much
was settled behind it."""

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")
SEGMENT_OCTETS = 2000
NEEDLE = b"needle"


def segments(disk: SimulatedDisk) -> list[Path]:
    return sorted(path for path in disk.files if path.parent == DIRECTORY / "log")


def in_quarantine(disk: SimulatedDisk) -> list[bytes]:
    return [bytes(file.data) for path, file in disk.files.items() if path.parent == DIRECTORY / "quarantine"]


def churn(driver: Driver, rounds: int = 40) -> None:
    """What is published is settled, and trimming has its turns."""
    for _ in range(rounds):
        ids = driver.publish((1,), [bytes(300)])
        driver.wait_durable()
        driver.settle(1, ids)
        driver.wait_durable()
        driver.wait_idle()


def with_three_live() -> tuple[SimulatedDisk, Driver, range]:
    """A store whose oldest segment has three batches with live messages; the ids of the middle one's."""
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    driver.publish((1,), [b"before"])
    driver.wait_durable()
    ids = driver.publish((1, 2), [NEEDLE, b"with it"])
    driver.wait_durable()
    driver.publish((2,), [b"behind"])
    driver.wait_durable()
    return disk, driver, ids


def damage(disk: SimulatedDisk) -> None:
    data = disk.files[segments(disk)[0]].data
    data[bytes(data).index(NEEDLE)] ^= 1


def forget(driver: Driver, ids: range) -> None:
    """The model does without messages that are lost."""
    for queue in driver.model.queues.values():
        for message_id in ids:
            queue.pop(message_id, None)


def test_what_is_damaged_is_copied_aside_and_given_up_and_the_rest_moves_on() -> None:
    disk, driver, ids = with_three_live()
    first = segments(disk)[0]
    damage(disk)
    churn(driver)
    assert first not in disk.files
    assert len(segments(disk)) < 8
    (copy,) = in_quarantine(disk)
    assert b"with it" in copy
    (told,) = driver.store.damage
    assert f"messages {ids.start}..{ids[-1]} of queue ids 1, 2" in told
    assert not driver.failures
    forget(driver, ids)
    driver.close()
    after = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    assert after.store.recovery.damage == []
    assert after.model == driver.model
    assert {body for queue in after.model.queues.values() for _, body, _ in queue.values()} == {b"before", b"behind"}


def test_what_a_queue_has_of_it_in_memory_may_be_settled_later() -> None:
    disk, driver, ids = with_three_live()
    damage(disk)
    churn(driver)
    driver.store.settle(1, ids)
    driver.store.settle(2, ids[1:])
    driver.wait_durable()
    churn(driver, 5)
    forget(driver, ids)
    driver.close()
    assert Driver(DIRECTORY, disk, SEGMENT_OCTETS).model == driver.model


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_cannot_be_copied_aside_stays_until_it_can(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, driver, ids = with_three_live()
    first = segments(disk)[0]
    damage(disk)
    create = SimulatedDisk.create

    def fail(self: SimulatedDisk, path: Path) -> int:
        if path.parent.name == "quarantine":
            raise OSError(number, "cannot")
        return create(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedDisk, "create", fail)
        churn(driver)
    assert first in disk.files
    assert in_quarantine(disk) == []
    (told,) = driver.store.damage
    assert "not copied aside" in told
    churn(driver)
    assert first not in disk.files
    assert len(in_quarantine(disk)) == 1
    forget(driver, ids)
    driver.close()
    assert Driver(DIRECTORY, disk, SEGMENT_OCTETS).model == driver.model


def test_what_cannot_be_read_now_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, driver, _ = with_three_live()
    first = segments(disk)[0]

    def fail(*_: Any) -> bytes:
        raise OSError(errno.EIO, "cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedDisk, "pread", fail)
        churn(driver)
    assert first in disk.files
    (told,) = driver.store.damage
    assert "cannot be read and is kept" in told
    churn(driver)
    assert first not in disk.files
    driver.close()
    assert Driver(DIRECTORY, disk, SEGMENT_OCTETS).model == driver.model


def test_a_segment_that_somebody_removed_holds_up_nothing(tmp_path: Path) -> None:
    driver = Driver(tmp_path / "data", segment_octets=SEGMENT_OCTETS)
    driver.publish((1,), [NEEDLE])
    driver.wait_durable()
    log = tmp_path / "data" / "log"
    min(log.iterdir()).unlink()
    churn(driver)
    assert len(list(log.iterdir())) < 8
    assert [what for what in driver.store.damage if "its file is gone" in what]
    assert not driver.failures
    driver.close()


def test_power_lost_on_the_way_loses_what_was_damaged_and_nothing_else() -> None:
    disk, driver, ids = with_three_live()
    damage(disk)
    for _ in range(40):
        one = driver.publish((1,), [bytes(300)])
        driver.wait_durable()
        driver.settle(1, one)
        driver.wait_durable()
        for left in (disk.after_power_loss("durable", "durable"), disk.after_kill()):
            after = Driver(DIRECTORY, left, SEGMENT_OCTETS)
            found = {i: body for queue in after.model.queues.values() for i, (_, body, _) in queue.items()}
            assert found == {1: b"before", ids.stop: b"behind"}
            after.close()
    assert in_quarantine(disk)
