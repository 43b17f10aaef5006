"""Flipped bits, and blocks that a disk has put elsewhere: each is noticed, and takes no more than its own batch along.

Promise P9. A log of three segments and 16 KB, each bit of it at night; and one of 100 MB, with bits flipped here and
there. LEVERET_DAMAGE_SEED sets another course for what is random.
"""

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

from storage import inspection
from storage.log import segment_path
from tests.storage.driving import Driver, Model
from tests.storage.simulated_disk import SimulatedDisk, SimulatedFile
from tests.torture import SLICE, count, ran, share, those_of_slice

DIRECTORY = Path("/data")
HEADER_OCTETS = 64
SEGMENT_OCTETS = 6000
SEGMENTS = 3
SEED = int(os.environ.get("LEVERET_DAMAGE_SEED", "1")) + SLICE
BLOCK_OCTETS = (16, 64, 512, 1024)


class Log:
    """A log that is whole: its octets, and which messages each batch brought."""

    def __init__(self, is_closed: bool) -> None:
        self.is_closed = is_closed
        self.disk = SimulatedDisk()
        driver = Driver(DIRECTORY, self.disk, SEGMENT_OCTETS)
        chance = random.Random("log")
        self.published = Model()
        self.ends: list[tuple[int, int, set[int]]] = []  # segment, where a batch ends in it, its messages
        while len(self.segments()) < SEGMENTS or self._newest_octets() < SEGMENT_OCTETS - 1500:
            pieces = [chance.randbytes(chance.randrange(300)) for _ in range(chance.randint(1, 5))]
            ids = driver.publish((1, 2), pieces)
            for queue_id in (1, 2):
                self.published.queues.setdefault(queue_id, {}).update(
                    {i: (b"env", piece, False) for i, piece in zip(ids, pieces, strict=True)}
                )
            driver.settle(2, ids[:1])
            driver.wait_durable()
            self.ends.append((len(self.segments()), self._newest_octets(), set(ids)))
        self.state = driver.model.copy()
        if is_closed:
            driver.close()
        self.octets = [bytes(self.disk.files[path].data) for path in self.segments()]

    def segments(self) -> list[Path]:
        return sorted(path for path in self.disk.files if path.parent.name == "log")

    def _newest_octets(self) -> int:
        return len(self.disk.files[self.segments()[-1]].data)

    def batch_at(self, segment: int, offset: int) -> set[int]:
        """The messages of the batch in which the offset lies; none for a segment's header."""
        if offset < HEADER_OCTETS:
            return set()
        return next(ids for number, end, ids in self.ends if number == segment and offset < end)

    def opened(self, segment: int, octets: bytes) -> Driver:
        """What a start finds when one segment holds other octets."""
        files = {path: SimulatedFile(bytes(file.data)) for path, file in self.disk.files.items()}
        files[segment_path(DIRECTORY / "log", segment)] = SimulatedFile(octets)
        return Driver(DIRECTORY, SimulatedDisk(files, self.disk.directories), SEGMENT_OCTETS)

    def check_found(self, found: Model, may_lose: set[int]) -> None:
        """All messages but those are there, octet for octet, and none that was never published."""
        for queue_id, queue in self.state.queues.items():
            left = found.queues.get(queue_id, {})
            assert queue.keys() - left.keys() <= may_lose
        for queue_id, left in found.queues.items():
            for message_id, message in left.items():
                assert message[:2] == self.published.queues[queue_id][message_id][:2]


@pytest.fixture(scope="module", params=[True, False], ids=["closed", "killed"])
def log(request: pytest.FixtureRequest) -> Log:
    log = Log(request.param)
    assert sum(map(len, log.octets)) >= 16_384 - 1500
    assert len(log.octets) == SEGMENTS
    return log


def test_a_flipped_bit_is_noticed_and_takes_its_batch_alone(log: Log) -> None:
    bits = [
        (segment, bit) for segment, octets in enumerate(log.octets, 1) for bit in range(8 * len(octets))
    ]  # bit 0 is the lowest of the first octet
    for segment, bit in those_of_slice(bits, 1000):
        flipped = bytearray(log.octets[segment - 1])
        flipped[bit // 8] ^= 1 << bit % 8
        driver = log.opened(segment, bytes(flipped))
        recovery = driver.store.recovery
        log.check_found(driver.model, log.batch_at(segment, bit // 8))
        if segment == SEGMENTS and not log.is_closed:
            assert recovery.damage or recovery.dropped_octets, bit
        else:
            assert recovery.damage, bit
            assert not recovery.clean
        ran("T5", 1, "bits of a small log, flipped one at a time")


def test_blocks_that_are_elsewhere_are_noticed(log: Log) -> None:
    """Two blocks are swapped, or one is written over another: a disk that confuses addresses."""
    chance = random.Random(f"blocks {SEED}")
    for _ in range(share(100, 5_000)):
        segment = chance.randint(1, SEGMENTS)
        whole = log.octets[segment - 1]
        block = chance.choice(BLOCK_OCTETS)
        one, other = (block * chance.randrange(len(whole) // block) for _ in range(2))
        octets = bytearray(whole)
        octets[one : one + block] = whole[other : other + block]
        if chance.random() < 0.5:
            octets[other : other + block] = whole[one : one + block]
        if octets == whole:
            continue
        touched = [at for at in range(len(whole)) if octets[at] != whole[at]]
        driver = log.opened(segment, bytes(octets))
        lost = set[int]().union(*(log.batch_at(segment, at) for at in touched))
        log.check_found(driver.model, lost)
        assert driver.store.recovery.damage or driver.store.recovery.dropped_octets
        ran("T5", 1, "blocks swapped or written twice")


def test_batches_that_are_swapped_or_twice_there_are_noticed(log: Log) -> None:
    """Each batch is whole; what they say is used once and in order, and what is wrong is told."""
    for segment in range(1, SEGMENTS + 1):
        whole = log.octets[segment - 1]
        ends = [HEADER_OCTETS, *(end for number, end, _ in log.ends if number == segment)]
        batches = [whole[start:stop] for start, stop in pairwise(ends)]
        for i in range(len(batches) - 1):
            swapped = [*batches[:i], batches[i + 1], batches[i], *batches[i + 2 :]]
            twice = [*batches[: i + 1], batches[i], *batches[i + 1 :]]
            for changed in (swapped, twice):
                driver = log.opened(segment, whole[:HEADER_OCTETS] + b"".join(changed))
                log.check_found(driver.model, may_lose=set())
                assert driver.store.recovery.damage
                ran("T5", 1, "batches swapped or there twice")


def test_flips_in_a_long_log_are_each_told() -> None:
    """By day 4 MB and 200 flips, at night 100 MB and 10,000: as many damaged places as there were batches hit."""
    batches, pieces, octets = count(200, 1000), 10, count(2000, 10_000)
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, count(1 << 20, 10 << 20))
    chance = random.Random(f"long {SEED}")
    for _ in range(batches):
        driver.publish((1,), [chance.randbytes(octets)] * pieces)
        driver.wait_durable()
    driver.close()
    paths = sorted(path for path in disk.files if path.parent.name == "log")
    assert sum(len(disk.files[path].data) for path in paths) > batches * pieces * octets
    size = len(disk.files[paths[0]].data) - HEADER_OCTETS
    batch_octets = next(end for end in range(pieces * octets, size) if size % end == 0)
    for _ in range(share(5, 250)):
        files = {path: SimulatedFile(bytes(file.data)) for path, file in disk.files.items()}
        hit: set[tuple[Path, int]] = set()
        for _ in range(40):
            path = chance.choice(paths[:-1])  # the newest's end would be a torn tail
            at = chance.randrange(HEADER_OCTETS, len(files[path].data))
            batch = path, (at - HEADER_OCTETS) // batch_octets
            if hit & {(path, batch[1] + step) for step in (-1, 0, 1)}:
                continue  # neighbours would be one damaged place
            hit.add(batch)
            files[path].data[at] ^= 1 << chance.randrange(8)
            ran("T5", 1, f"bits of a log of {batches * pieces * octets // 1_000_000} MB, flipped at random")
        found = inspection.inspect(DIRECTORY, SimulatedDisk(files, disk.directories))
        assert sum("are broken" in what for what in found.damage) == len(hit)
        assert found.message_count == pieces * (batches - len(hit))
