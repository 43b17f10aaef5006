"""Messages are read back from the log while it is written, trimmed and damaged, and by way of the index of an orderly
end.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import blocks, reading, snapshot, store
from storage.pages import PageFiles
from storage.reading import Found
from storage.records import cut_pieces
from tests.storage.driving import Driver, read_back
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimulatedDisk:
    """A disk, with everything else made small: blocks, windows, waiting."""
    monkeypatch.setattr(store, "LAZY_S", 0.0)
    monkeypatch.setattr(blocks, "BLOCK_OCTETS", 64)
    monkeypatch.setattr(reading, "WINDOW_OCTETS", 500)
    monkeypatch.setattr(reading, "GAP_OCTETS", 100)
    return SimulatedDisk()


def bodies_of(driver: Driver, *spans: range, limit_octets: int = 1 << 20) -> list[bytes]:
    return [piece for _, piece in read_back(driver.store, list(spans), limit_octets).values()]


def expected(driver: Driver, queue_id: int) -> dict[int, tuple[bytes, bytes]]:
    queue = driver.model.queues.get(queue_id, {})
    return {message_id: (envelope, body) for message_id, (envelope, body, _) in queue.items()}


def test_runs_are_read_whole_or_in_part_in_the_order_asked_for(disk: SimulatedDisk) -> None:
    driver = Driver(DIRECTORY, disk)
    first = driver.publish((1,), [b"a%d" % i for i in range(10)], b"one")
    driver.publish((2,), [b"other" * 50])
    second = driver.publish((1, 2), [b"", b"b" * 200, b"c"], b"two")
    driver.wait_durable()
    assert bodies_of(driver, first[3:6]) == [b"a3", b"a4", b"a5"]
    assert bodies_of(driver, second, first[:1]) == [b"", b"b" * 200, b"c", b"a0"]
    assert read_back(driver.store, [second[:1]]) == {second[0]: (b"two", b"")}
    driver.close()


def test_reading_stops_when_enough_is_read(disk: SimulatedDisk) -> None:
    driver = Driver(DIRECTORY, disk)
    ids = range(1, 101)
    for _ in ids:
        driver.publish((1,), [b"x" * 50])
    driver.wait_durable()
    found = driver.store.reading.read_now([ids], 200)
    assert 2 <= found.covered <= 4
    assert sum(len(run.ids) for run in found.runs) == found.covered
    assert bodies_of(driver, ids, limit_octets=1) == [b"x" * 50] * 100
    driver.close()


def test_answer_comes_in_the_loop_and_is_converted_in_the_thread(disk: SimulatedDisk) -> None:
    driver = Driver(DIRECTORY, disk)
    ids = driver.publish((1,), [b"a", b"b"])
    driver.wait_durable()
    answers: list[list[bytes]] = []

    def convert(found: Found) -> list[bytes]:
        return [piece for run in found.runs for piece in run.pieces]

    driver.store.reading.read([ids], 100, convert, answers.append)
    driver.wait_for(lambda: bool(answers))
    assert answers == [[b"a", b"b"]]
    driver.close()


def test_segment_that_goes_while_it_is_to_be_read_is_read_elsewhere(disk: SimulatedDisk) -> None:
    driver = Driver(DIRECTORY, disk, segment_octets=600)
    old = driver.publish((1,), [b"old"])
    answers: list[Found] = []
    for _ in range(200):
        ids = driver.publish((2,), [b"x" * 100])
        driver.wait_durable()
        driver.settle(2, ids)
        driver.store.reading.read([old], 100, lambda found: found, answers.append)
    driver.wait_idle()
    assert 1 not in driver.store._index.segments
    driver.wait_for(lambda: len(answers) == 200)
    assert {found.runs[0].pieces[0] for found in answers} == {b"old"}
    assert bodies_of(driver, old) == [b"old"]
    driver.close()


@pytest.mark.parametrize("count", [1, 50])
def test_damaged_octets_are_never_given_out(disk: SimulatedDisk, count: int) -> None:
    driver = Driver(DIRECTORY, disk)
    ids = range(1, 50 * count + 1)
    for number in range(50):
        driver.publish((1,), [b"%05d" % (number * count + i) for i in range(count)])
    driver.wait_durable()
    (file,) = (file for path, file in disk.files.items() if path.parent.name == "log")
    file.data[len(file.data) // 2] ^= 4
    found = read_back(driver.store, [ids])
    assert 0 < len(found) < len(ids)
    assert all(body == b"%05d" % (message_id - 1) for message_id, (_, body) in found.items())
    assert driver.store.reading.damage
    driver.close()


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=300), size=st.integers(0, 300))
@settings(deadline=None)
def test_pieces_are_cut_where_they_were_joined(sizes: list[int], size: int) -> None:
    same = [bytes([i % 256]) * size for i in range(len(sizes))]
    assert cut_pieces(b"--" + b"".join(same), 2, (size,), len(same)) == same
    mixed = [bytes([i % 256]) * each for i, each in enumerate(sizes)]
    if len(mixed) > 1:
        assert cut_pieces(b"-" + b"".join(mixed), 1, sizes, len(mixed)) == mixed


@pytest.fixture
def with_index(disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch) -> SimulatedDisk:
    """A disk whose store leaves an index at its end, however short the log is."""
    monkeypatch.setattr(snapshot, "LEAST_OCTETS", 0)
    monkeypatch.setattr(snapshot, "CHUNK_RECORDS", 5)
    return disk


def busy(disk: SimulatedDisk) -> Driver:
    """A store with all that an index has to tell."""
    driver = Driver(DIRECTORY, disk, segment_octets=900)
    for number in range(40):
        driver.publish((1,), [b"%d" % number])
    run = driver.publish((1, 2), [b"run %d" % i for i in range(9)], b"envelope")
    driver.settle(1, range(3, 30))
    driver.settle(2, run[2:8:3])
    driver.delivered(1, 35)
    driver.store.returned(2, run[:2], 4)
    driver.publish((3,), [b"gone"])
    driver.delete_queue(3)
    driver.wait_idle()
    return driver


def test_index_of_an_orderly_end_stands_for_the_log(with_index: SimulatedDisk) -> None:
    first = busy(with_index)
    first.close()
    assert DIRECTORY / "index" in with_index.files
    logs = {path for path in with_index.files if path.parent.name == "log"}
    read: list[Path] = []
    original = SimulatedDisk.read

    def noting(disk: SimulatedDisk, path: Path) -> bytes:
        read.append(path)
        return original(disk, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedDisk, "read", noting)
        again = Driver(DIRECTORY, with_index, segment_octets=900)
    assert not logs & set(read)
    assert again.store.recovery.clean
    assert again.model == first.model
    assert again.next_id == first.next_id
    assert again.store._index.return_counts == first.store._index.return_counts
    found = {number: (use.live, use.octets) for number, use in again.store._index.segments.items()}
    assert {n: (use.live, use.octets) for n, use in first.store._index.segments.items() if n in found} == found
    assert DIRECTORY / "index" not in with_index.files
    # It goes on as any other, and can be read without an index as well.
    again.publish((1,), [b"new"])
    again.settle(1, range(1, 3))
    again.wait_idle()
    model = again.model
    killed = with_index.after_kill()
    again.close()
    last = Driver(DIRECTORY, killed, segment_octets=900)
    assert last.model == model
    last.close()


@pytest.mark.parametrize("harm", ["flipped", "cut", "other mark", "longer log", "missing segment"])
def test_index_that_does_not_fit_is_not_believed(with_index: SimulatedDisk, harm: str) -> None:
    first = busy(with_index)
    first.close()
    index = with_index.files[DIRECTORY / "index"]
    logs = sorted(path for path in with_index.files if path.parent.name == "log")
    if harm == "flipped":
        index.data[len(index.data) // 2] ^= 1
    elif harm == "cut":
        del index.data[10:]
    elif harm == "other mark":
        del with_index.files[DIRECTORY / "clean"]
    elif harm == "longer log":
        with_index.files[logs[-1]].data += b"more"
    else:
        del with_index.files[logs[0]]
    again = Driver(DIRECTORY, with_index, segment_octets=900)
    if harm != "missing segment":
        assert again.model == first.model
    assert again.store.recovery.clean == (harm in ("flipped", "cut", "longer log"))
    again.close()


def test_pages_come_back_and_go() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    pages = driver.store.pages
    numbers: list[int | None] = []
    pages.write(lambda: [b"o", b"ne"], 3, numbers.append)
    pages.write(lambda: [b"two"], 3, numbers.append)
    assert pages.unwritten_octets == 6
    driver.wait_for(lambda: len(numbers) == 2)
    assert pages.unwritten_octets == 0
    first, second = numbers
    assert first is not None
    assert second is not None
    answers: list[bytes | None] = []
    pages.read(first, lambda octets: octets, answers.append)
    driver.wait_for(lambda: bool(answers))
    assert (answers, pages.read_now(second)) == ([b"one"], b"two")
    next(file for path, file in disk.files.items() if path.suffix == ".page").data[0] ^= 1
    assert pages.read_now(first) is None
    pages.drop(first)
    done: list[bool] = []
    pages.promise(lambda: done.append(True))
    driver.wait_for(lambda: bool(done))
    assert sum(path.suffix == ".page" for path in disk.files) == 1
    driver.close()
    again = Driver(DIRECTORY, disk)
    assert not any(path.suffix == ".page" for path in disk.files)
    again.close()


def test_page_without_room_is_told() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    disk.error, disk.fail_at = OSError(28, "no space"), len(disk.calls) + 2
    numbers: list[int | None] = []
    driver.store.pages.write(lambda: [b"one"], 3, numbers.append)
    driver.wait_for(lambda: bool(numbers))
    assert numbers == [None]
    assert not driver.failures
    assert isinstance(driver.store.pages, PageFiles)
    driver.close()
