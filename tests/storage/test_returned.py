"""How often messages came back to their queue: kept over restarts and trimming, gone with the messages."""

from pathlib import Path

from storage.records import Returned, decode_records, encode_returned
from tests.storage.driving import Driver


def counts_of(driver: Driver, queue_id: int) -> dict[int, int]:
    """Message id -> how often it came back, as recovery tells it for those that did."""
    return {
        message_id: run.return_counts[queue_id]
        for run in driver.store.recovery.messages
        for message_id in run.ids
        if queue_id in run.return_counts
    }


def reopened(driver: Driver, directory: Path) -> Driver:
    driver.wait_durable()
    driver.close()
    return Driver(directory)


def test_record_survives_its_octets() -> None:
    ranges = [range(5, 9), range(20, 30, 3)]
    octets = encode_returned(7, 3, ranges)
    assert [record for _, _, record in decode_records(octets, 0, len(octets))] == [Returned(7, 3, ranges)]


def test_counts_come_back_with_their_messages(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    ids = driver.publish((1, 2), [b"a", b"b", b"c", b"d"])
    driver.store.returned(1, ids[1:3], 1)
    driver.store.returned(1, ids[2:3], 2)
    again = reopened(driver, tmp_path)
    assert counts_of(again, 1) == {ids[1]: 1, ids[2]: 2}
    assert counts_of(again, 2) == {}
    assert [run.ids for run in again.store.recovery.messages] == [ids[:1], ids[1:2], ids[2:3], ids[3:]]
    again.close()


def test_highest_count_holds_whatever_the_order(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    ids = driver.publish((1,), [b"a", b"b"])
    driver.store.returned(1, ids[:1], 2)
    driver.store.returned(1, ids[1:], 1)
    driver.store.returned(1, ids[1:], 2)
    again = reopened(driver, tmp_path)
    assert counts_of(again, 1) == {ids[0]: 2, ids[1]: 2}
    again.close()


def test_settled_and_deleted_messages_leave_no_counts(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    ids = driver.publish((1, 2), [b"a", b"b"])
    for queue_id in (1, 2):
        driver.store.returned(queue_id, ids, 1)
    driver.settle(1, ids[:1])
    driver.delete_queue(2)
    driver.wait_durable()
    assert driver.store._index.return_counts == {1: {ids[1]: 1}}
    again = reopened(driver, tmp_path)
    assert again.store._index.return_counts == {1: {ids[1]: 1}}
    again.close()


def test_counts_move_with_a_message_that_is_copied_forward(tmp_path: Path) -> None:
    driver = Driver(tmp_path, segment_octets=4096)
    (kept, *_) = driver.publish((1,), [b"kept"])
    driver.store.returned(1, range(kept, kept + 1), 5)
    driver.wait_durable()
    for _ in range(40):
        ids = driver.publish((2,), [bytes(1000)] * 4)
        driver.settle(2, ids)
        driver.wait_idle()
    assert not list(tmp_path.glob("log/*0001.*")), "the first segment is to be gone"
    again = reopened(driver, tmp_path)
    assert counts_of(again, 1) == {kept: 5}
    again.close()
