"""Torn tails, flipped bits, and segments that are lost: cut or reported, never taken for good, never silent."""

from pathlib import Path

import pytest

from storage.errors import UnknownFormat
from storage.log import segment_path
from tests.storage.driving import Driver, Model
from tests.storage.simulated_disk import SimulatedDisk, SimulatedFile

DIRECTORY = Path("/data")
LOG = DIRECTORY / "log"
SEGMENT_OCTETS = 300


def written(is_closed: bool) -> tuple[SimulatedDisk, list[Model], list[int]]:
    """A small log of several segments, the model after each batch, and the newest segment's length then."""
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    states = [driver.model.copy()]
    ends = [64]
    for step in range(5):
        ids = driver.publish((1, 2), [b"body %d-%d" % (step, i) for i in range(1 + step % 3)])
        driver.settle(2, ids[:1])
        driver.delivered(1, ids[0])
        driver.wait_durable()
        states.append(driver.model.copy())
        ends.append(len(disk.files[newest(disk)].data))
    if is_closed:
        driver.close()
    return disk, states, ends


def segments(disk: SimulatedDisk) -> list[Path]:
    return sorted(path for path in disk.files if path.parent == LOG)


def newest(disk: SimulatedDisk) -> Path:
    return segments(disk)[-1]


def replaced(disk: SimulatedDisk, path: Path, octets: bytes | None) -> SimulatedDisk:
    files = {name: SimulatedFile(bytes(file.data)) for name, file in disk.files.items()}
    if octets is None:
        del files[path]
    else:
        files[path] = SimulatedFile(octets)
    return SimulatedDisk(files, disk.directories)


def opened(disk: SimulatedDisk) -> Driver:
    return Driver(DIRECTORY, disk, SEGMENT_OCTETS)


def is_part_of(found: Model, whole: Model) -> bool:
    """Every message found is one that was published there, octet for octet."""
    return all(
        whole.queues.get(queue_id, {}).get(message_id, (b"", b""))[:2] == message[:2]
        for queue_id, queue in found.queues.items()
        for message_id, message in queue.items()
    )


def test_a_segment_cut_within_its_header_never_held_anything() -> None:
    disk, states, ends = written(is_closed=False)
    path = newest(disk)
    first = max(i for i in range(1, len(ends)) if ends[i] < ends[i - 1] or i == 1)
    for length in range(64):
        driver = opened(replaced(disk, path, bytes(disk.files[path].data)[:length]))
        assert driver.store.recovery.damage == []
        assert driver.store.recovery.dropped_octets == length
        assert driver.model == states[first - 1]


@pytest.mark.parametrize("name", ["format", "clean", "definitions"])
def test_every_flipped_bit_beside_the_log_is_noticed(name: str) -> None:
    disk, states, _ = written(is_closed=True)
    path = segment_path(DIRECTORY / name, 1) if name == "definitions" else DIRECTORY / name
    octets = bytes(disk.files[path].data)
    for bit in range(8 * (len(octets) - 1)):
        flipped = bytearray(octets)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged = replaced(disk, path, bytes(flipped))
        try:
            driver = opened(damaged)
        except UnknownFormat:
            assert name == "format"
        else:
            assert driver.model == states[-1]
            recovery = driver.store.recovery
            assert recovery.damage or recovery.dropped_octets or not recovery.clean


def test_messages_beside_the_damage_survive() -> None:
    disk, states, ends = written(is_closed=True)
    path = segments(disk)[0]
    octets = bytearray(disk.files[path].data)
    octets[64 + 40] ^= 1
    driver = opened(replaced(disk, path, bytes(octets)))
    assert driver.store.recovery.damage == [f"log: segment 1: octets 64..{ends[1]} are broken"]
    lost = states[1].queues[1].keys()
    assert driver.model.queues[1] == {i: m for i, m in states[-1].queues[1].items() if i not in lost}


@pytest.mark.parametrize("number", [1, 2])
def test_a_lost_segment_is_reported(number: int) -> None:
    disk, states, _ = written(is_closed=False)
    driver = opened(replaced(disk, segment_path(LOG, number), None))
    if number == 1:  # looks as if it had been trimmed
        assert driver.store.recovery.damage == []
    else:
        assert driver.store.recovery.damage == ["log: segments 2..2 are missing"]
    assert is_part_of(driver.model, states[-1])


def test_a_body_cannot_pass_for_a_batch() -> None:
    other, _, _ = written(is_closed=False)
    forged = bytes(other.files[segments(other)[0]].data)[64:]  # whole batches of another store
    disk = SimulatedDisk()
    disk.seed = 99
    driver = Driver(DIRECTORY, disk)
    for body in (forged, b"next"):
        driver.publish((1,), [body])
        driver.wait_durable()
    octets = bytearray(disk.files[newest(disk)].data)
    octets[64] ^= 1  # the batch around it is broken, so that the scan goes through the body
    found = opened(replaced(disk, newest(disk), bytes(octets)))
    assert found.model.queues == {1: {2: (b"env", b"next", False)}}
    assert found.store.recovery.damage


def test_the_store_goes_on_behind_damage() -> None:
    disk, _, _ = written(is_closed=True)
    path = newest(disk)
    octets = bytearray(disk.files[path].data)
    octets[70] ^= 1
    damaged = replaced(disk, path, bytes(octets)[:-3])
    driver = opened(damaged)
    assert driver.store.recovery.damage
    driver.publish((1,), [b"after"])
    driver.wait_durable()
    driver.close()
    assert opened(damaged).model == driver.model


def test_the_end_of_the_journal_is_damaged_only_where_it_was_closed_in_order() -> None:
    """What was torn off by a crash was never promised; what is missing after an orderly end was."""
    for is_closed in (True, False):
        disk = SimulatedDisk()
        driver = Driver(DIRECTORY, disk)
        for name in "ab":
            driver.define(("queue", name), {"id": 1})
            driver.wait_durable()
        if is_closed:
            driver.close()
        path = segment_path(DIRECTORY / "definitions", 1)
        octets = bytearray(disk.files[path].data)
        octets[-1] ^= 1
        found = opened(replaced(disk, path, bytes(octets)))
        assert list(found.model.definitions) == [("queue", "a")]
        damage = found.store.recovery.damage
        assert [what.startswith("definitions: segment 1") for what in damage] == [True] * is_closed
        assert found.store.recovery.clean is False
