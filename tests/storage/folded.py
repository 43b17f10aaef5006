"""What a log says, folded by the plainest code there is: beside the store's own index, which is made to be fast."""

from pathlib import Path

from storage.log import segment_numbers, segment_path
from storage.records import Copied, Delivered, Published, QueueDeleted, Settled, cut_pieces, decode_records
from storage.segment import HEADER_OCTETS, Batch, scan
from tests.storage.simulated_disk import SimulatedDisk


class FoldedLog:
    """The unsettled messages of each queue, as far as the log was read: ``read_on`` takes what was appended since."""

    def __init__(self, directory: Path, salt: bytes) -> None:
        self._directory = directory / "log"
        self._salt = salt
        self._read: dict[int, int] = {}  # by segment: up to where it was read
        self._bodies: dict[int, bytes] = {}
        self._live: dict[int, set[int]] = {}  # by queue: ids
        self._marks: dict[int, int] = {}  # by queue: up to which id all were delivered

    def read_on(self, disk: SimulatedDisk) -> int:
        """Fold what was appended since the last call; return how many batches that were."""
        count = 0
        for number in segment_numbers(disk.list(self._directory)):
            path = segment_path(self._directory, number)
            at = self._read.get(number, HEADER_OCTETS)
            if disk.size(path) <= at:
                continue
            octets = disk.read(path)
            for batch in scan(octets, self._salt, at):
                self._fold(octets, batch)
                self._read[number] = batch.stop
                count += 1
        return count

    def queue(self, queue_id: int) -> list[tuple[bytes, bool]]:
        """Body and whether it was delivered of each message of a queue, by ascending id."""
        upto = self._marks.get(queue_id, 0)
        return [(self._bodies[i], i <= upto) for i in sorted(self._live.get(queue_id, ()))]

    def _fold(self, octets: bytes, batch: Batch) -> None:
        for _, _, record in decode_records(octets, batch.body, batch.stop):
            if isinstance(record, Published):
                ids = range(record.first_id, record.first_id + record.message_count)
                pieces = cut_pieces(octets, record.pieces, record.lengths, record.message_count)
                for queue_id in record.queue_ids:
                    self._live.setdefault(queue_id, set()).update(ids)
                self._bodies.update(zip(ids, pieces, strict=True))
            elif isinstance(record, Copied):
                for live in self._live.values():
                    live.difference_update(range(record.first_id, record.first_id + record.message_count))
                pieces = cut_pieces(octets, record.pieces, record.lengths, len(record.offsets))
                for offset, index, piece in zip(record.offsets, record.set_indexes, pieces, strict=True):
                    self._bodies[record.first_id + offset] = piece
                    for queue_id in record.queue_sets[index]:
                        self._live.setdefault(queue_id, set()).add(record.first_id + offset)
            elif isinstance(record, Settled):
                for ids in record.ranges:
                    self._live.get(record.queue_id, set()).difference_update(ids)
            elif isinstance(record, Delivered):
                self._marks[record.queue_id] = max(record.upto, self._marks.get(record.queue_id, 0))
            elif isinstance(record, QueueDeleted):
                self._live.pop(record.queue_id, None)
                self._marks.pop(record.queue_id, None)
