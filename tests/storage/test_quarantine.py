"""What is damaged is named and copied aside, once, octet for octet; all else is there, and the store opens."""

import errno
from pathlib import Path

import pytest

from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk
from tests.storage.test_damage import DIRECTORY, SEGMENT_OCTETS, newest, opened, replaced, segments, written

QUARANTINE = DIRECTORY / "quarantine"


def flipped(disk: SimulatedDisk, path: Path, at: int) -> SimulatedDisk:
    octets = bytearray(disk.files[path].data)
    octets[at] ^= 1
    return replaced(disk, path, bytes(octets))


def in_quarantine(disk: SimulatedDisk) -> dict[str, bytes]:
    return {path.name: bytes(file.data) for path, file in disk.files.items() if path.parent == QUARANTINE}


def test_a_damaged_batch_is_named_and_copied_aside() -> None:
    disk, _, ends = written(is_closed=True)
    path = segments(disk)[0]
    damaged = flipped(disk, path, 64 + 40)
    octets = bytes(damaged.files[path].data[64 : ends[1]])
    driver = opened(damaged)
    name = f"log-{1:020d}-64-{ends[1]}"
    assert in_quarantine(damaged) == {name: octets}
    (told,) = driver.store.recovery.quarantined
    assert "batch 1 of" in told
    assert str(QUARANTINE / name) in told


def test_ids_and_queues_of_a_damaged_body_are_told() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    driver.publish((3, 4), [b"needle", b"second"])
    driver.wait_durable()
    driver.publish((3,), [b"third"])
    driver.wait_durable()
    driver.close()
    at = bytes(disk.files[newest(disk)].data).index(b"needle")
    found = opened(flipped(disk, newest(disk), at))
    (told,) = found.store.recovery.quarantined
    assert "messages 1..2 of queue ids 3, 4" in told
    assert found.model.queues == {3: {3: (b"env", b"third", False)}}


def test_the_second_start_copies_nothing_again() -> None:
    disk, _, _ = written(is_closed=True)
    damaged = flipped(disk, segments(disk)[0], 64 + 40)
    opened(damaged).close()
    before = in_quarantine(damaged)
    calls = [call for call in damaged.calls if "log-" in call]
    opened(damaged).close()
    assert in_quarantine(damaged) == before
    assert [call for call in damaged.calls if "log-" in call] == calls


def test_what_was_closed_in_order_is_copied_before_it_is_cut_off() -> None:
    disk, _, _ = written(is_closed=True)
    path = newest(disk)
    octets = bytes(disk.files[path].data)
    damaged = flipped(disk, path, len(octets) - 1)
    driver = opened(damaged)
    assert driver.store.recovery.damage
    (copy,) = in_quarantine(damaged).values()
    assert copy == bytes(octets[-len(copy) : -1]) + bytes([octets[-1] ^ 1])


def test_a_whole_last_batch_that_does_not_check_is_kept_aside_after_a_kill_too() -> None:
    disk, _, _ = written(is_closed=False)
    path = newest(disk)
    damaged = flipped(disk, path, len(disk.files[path].data) - 1)
    assert opened(damaged).store.recovery.damage == []
    assert len(in_quarantine(damaged)) == 1


def test_a_torn_batch_is_just_cut_off() -> None:
    disk, _, _ = written(is_closed=False)
    path = newest(disk)
    torn = replaced(disk, path, bytes(disk.files[path].data)[:-1])
    opened(torn)
    assert in_quarantine(torn) == {}


def test_damage_in_the_journal_is_copied_before_it_is_written_anew() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    for name in "abc":
        driver.define(("queue", name), {"id": 1})
        driver.wait_durable()
    driver.close()
    path = DIRECTORY / "definitions" / f"{1:020d}.segment"
    at = bytes(disk.files[path].data).index(b'"b"')
    damaged = flipped(disk, path, at)
    found = opened(damaged)
    assert list(found.model.definitions) == [("queue", "a"), ("queue", "c")]
    assert any("definition" in told for told in found.store.recovery.quarantined)
    assert any(b'#b"' in octets for octets in in_quarantine(damaged).values())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_without_room_for_a_copy_the_store_opens_all_the_same(number: int) -> None:
    disk, _, _ = written(is_closed=True)
    damaged = flipped(disk, segments(disk)[0], 64 + 40)
    damaged.error = OSError(number, "cannot")
    opened(damaged).close()
    first = next(i for i, call in enumerate(damaged.calls) if "log-" in call)
    again = flipped(disk, segments(disk)[0], 64 + 40)
    again.error = damaged.error
    again.fail_at = first + 1
    driver = opened(again)
    assert "not copied aside" in driver.store.recovery.quarantined[0]
    driver.publish((1,), [b"after"])
    driver.wait_durable()
    assert not driver.failures


def test_the_store_goes_on_beside_a_full_quarantine() -> None:
    disk, _, _ = written(is_closed=True)
    damaged = flipped(disk, segments(disk)[0], 64 + 40)
    for _ in range(3):
        driver = Driver(DIRECTORY, damaged, SEGMENT_OCTETS)
        driver.publish((1,), [b"more"])
        driver.close()
    assert len(in_quarantine(damaged)) == 1


def test_what_is_damaged_after_the_start_is_copied_aside_when_it_is_read() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    ids = driver.publish((1,), [b"needle"])
    driver.wait_durable()
    data = disk.files[newest(disk)].data
    data[bytes(data).index(b"needle")] ^= 1
    found = driver.store.reading.read_now([ids], 1 << 20)
    assert (found.covered, found.runs) == (1, [])
    assert any("messages 1..1 are lost" in what for what in driver.store.damage)
    (copy,) = in_quarantine(disk).values()
    assert b"oeedle" in copy
    driver.publish((1,), [b"after"])
    driver.wait_durable()
    assert not driver.failures


def test_a_sector_that_cannot_be_read_loses_its_messages_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    ids = driver.publish((1,), [b"unreadable"])
    driver.wait_durable()
    with monkeypatch.context() as patch:

        def fail(*_: object) -> bytes:
            raise OSError(errno.EIO, "cannot be read")

        patch.setattr(SimulatedDisk, "pread", fail)
        assert driver.store.reading.read_now([ids], 1 << 20).runs == []
    assert driver.store.damage
    driver.wait_durable()
    assert not driver.failures
