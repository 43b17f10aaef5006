"""A store that keeps what queues page out, and answers when the test says so."""

from collections.abc import Callable, Sequence
from typing import Any

from broker.core.clock import Clock
from broker.core.queues.context import QueueContext
from broker.core.residency import Residency
from storage.reading import Found, ReadRun
from tests.core.recording import RecordingLog


class FakeReading:
    """Reads messages that were published, one run at a time; ``lost`` ones are not there."""

    def __init__(self, waiting: list[Callable[[], None]]) -> None:
        self.messages: dict[int, tuple[bytes, bytes]] = {}
        self.lost: set[int] = set()
        self.reads = 0
        self._waiting = waiting

    def read(
        self,
        spans: Sequence[range],
        limit_octets: int,
        convert: Callable[[Found], Any],
        then: Callable[[Any], None],
    ) -> None:
        found = self.read_now(spans, limit_octets)
        self._waiting.append(lambda: then(convert(found)))

    def read_now(self, spans: Sequence[range], limit_octets: int) -> Found:
        self.reads += 1
        covered = octets = 0
        runs: list[ReadRun] = []
        for ids in spans:
            for message_id in ids:
                if octets >= limit_octets:
                    return Found(covered, runs)
                covered += 1
                if message_id in self.lost:
                    continue
                envelope, piece = self.messages[message_id]
                octets += len(piece)
                runs.append(ReadRun(range(message_id, message_id + 1), envelope, [piece]))
        return Found(covered, runs)


class FakePages:
    """Page files; ``is_full`` says that there is no room for more."""

    def __init__(self, waiting: list[Callable[[], None]]) -> None:
        self.files: dict[int, bytes] = {}
        self.is_full = False
        self._waiting = waiting
        self._count = 0

    def write(
        self, encode: Callable[[], list[bytes]], estimate_octets: int, then: Callable[[int | None], None]
    ) -> None:
        self._count += 1
        number = self._count

        def written() -> None:
            if self.is_full:
                then(None)
            else:
                self.files[number] = b"".join(encode())
                then(number)

        self._waiting.append(written)

    def read(self, number: int, convert: Callable[[bytes | None], Any], then: Callable[[Any], None]) -> None:
        octets = self.files[number]
        self._waiting.append(lambda: then(convert(octets)))

    def read_now(self, number: int) -> bytes | None:
        return self.files[number]

    def drop(self, number: int) -> None:
        del self.files[number]


class PagingLog(RecordingLog):
    """A log that can be read: everything is on disk at once, and waits until ``answer`` to be told."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []
        self.reading = FakeReading(self.waiting)
        self.pages = FakePages(self.waiting)
        self.durable_message_id = 0

    def publish(self, queue_ids: Sequence[int], ids: range, envelope: bytes, pieces: list[bytes]) -> None:
        super().publish(queue_ids, ids, envelope, pieces)
        self.reading.messages.update({i: (envelope, piece) for i, piece in zip(ids, pieces, strict=True)})
        self.durable_message_id = ids.stop

    def answer(self) -> bool:
        """Do the first of what was asked for; False if that is nothing."""
        if not self.waiting:
            return False
        self.waiting.pop(0)()
        return True


def paging_context(log: PagingLog, clock: Clock, limit_octets: int) -> QueueContext:
    """A node whose queues page out what is over ``limit_octets``."""
    return QueueContext(
        log,
        clock,
        [],
        lambda *death: None,
        lambda queue: None,
        lambda key, value: None,
        residency=Residency(log, limit_octets),
    )
