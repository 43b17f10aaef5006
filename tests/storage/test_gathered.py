"""What gathers while no batch can be written has a bound: settlements in any order, and messages that come back."""

from pathlib import Path
from random import Random

import pytest

from storage import gathered, space, store
from storage.messages import MERGE_AT
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk
from tests.storage.test_returned import counts_of

DIRECTORY = Path("/data")
SEGMENT_OCTETS = 20_000
SETTLED_MAX = 50
RANGE_OCTETS = 16


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "RETRY_S", 0.005)
    monkeypatch.setattr(store, "SETTLED_MAX", SETTLED_MAX)
    monkeypatch.setattr(store, "RETURNED_MAX", 100)


def full(live_count: int) -> tuple[SimulatedDisk, Driver, list[range]]:
    """A store with messages on a disk that has no octet left, reserve and all."""
    disk = SimulatedDisk()
    disk.capacity = 1 << 20
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    published = [driver.publish((1, 2), [b"%d" % number]) for number in range(live_count)]
    driver.wait_durable()
    driver.wait_idle()
    disk.capacity += driver.store.space._octets - disk.free_octets(DIRECTORY)
    driver.publish((3,), [bytes(2 * driver.store.space._octets)])
    driver.store.promise(lambda ticket: None)
    driver.store.flush()
    driver.wait_for(lambda: driver.store.is_short)
    return disk, driver, published


def test_settlements_out_of_order_on_a_full_disk_take_sixteen_octets_each_and_their_index_goes() -> None:
    disk, driver, published = full(2000)
    before = driver.store.unwritten_octets
    order = [ids for place, ids in enumerate(published) if place % 4 < 2 and place % 4 != place % 3]
    Random(1).shuffle(order)
    for count, ids in enumerate(order, 1):
        driver.settle(1, ids)
        driver.settle(2, ids)
        driver.store.flush()
        assert sum(map(len, driver.store._settling.values())) <= SETTLED_MAX + 2
        most = 2 * count * RANGE_OCTETS + (count * 2 // SETTLED_MAX + 2) * 100
        assert driver.store.unwritten_octets - before <= most
    live = set(driver.store._index.entries())
    gone = {ids.start for ids in order if ids.start not in live}
    assert len(gone) >= len(order) - SETTLED_MAX, "what waits as settled is in the index no more"
    disk.capacity += 1 << 20
    driver.wait_durable()
    driver.close()
    after = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    assert after.store.recovery.damage == []
    assert after.model == driver.model


def test_a_message_that_comes_back_again_and_again_is_noted_once() -> None:
    disk, driver, published = full(50)
    for turn in range(1, 200):
        for ids in published[::2]:
            driver.store.returned(1, ids, turn)
        noted = sum(map(len, driver.store._returned.values()))
        assert noted <= 100 + len(published)
    driver.settle(1, published[0])
    disk.capacity += 1 << 20
    driver.wait_durable()
    driver.close()
    after = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    assert counts_of(after, 1) == {ids.start: 199 for ids in published[2::2]}


def test_the_latest_count_holds_and_what_is_settled_is_left_out() -> None:
    returned = {(1, 1): [range(5, 9)], (1, 2): [range(6, 7), range(8, 9)], (2, 1): [range(5, 6)]}
    assert gathered.keep_latest(returned, {1: {5: 1, 6: 2, 8: 2}}) == 2
    assert returned == {(1, 1): [range(5, 6)], (1, 2): [range(6, 9, 2)]}


@pytest.mark.parametrize("queue_ids", [(1,), (1, 2)])
def test_a_run_that_is_settled_one_by_one_takes_few_ranges(queue_ids: tuple[int, ...]) -> None:
    """In order, or every other one, as the consumers of a queue who take turns do."""
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    ids = driver.publish(queue_ids, [b"%d" % number for number in range(1000)])
    driver.publish(queue_ids, [b"behind"])
    for start, step in ((0, 2), (1, 4)):
        for message_id in ids[start::step]:
            for queue_id in queue_ids:
                driver.settle(queue_id, range(message_id, message_id + 1))
            driver.store._append_gathered()
            for queue_id in queue_ids:
                driver.store._settling.pop(queue_id)
        (chunk,) = driver.store._index.chunks()
        assert len(chunk.settled[ids.start]) <= (MERGE_AT + 4) * len(queue_ids)
    driver.wait_durable()
    driver.close()
    assert Driver(DIRECTORY, disk).model == driver.model
