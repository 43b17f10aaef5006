"""Drives a store as an event loop would, and keeps beside it a plain model of what ought to be in it."""

import copy
import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from storage.definitions import JsonValue
from storage.errors import StorageError
from storage.files import Disk
from storage.store import Store
from storage.syncing import FileSync, Synced

DEADLINE_S = 20.0

Queue = dict[int, tuple[bytes, bytes, bool]]  # id -> envelope, body, redelivered


@dataclass
class Model:
    """Unsettled messages of each queue by ascending id, and definitions in order of first put."""

    queues: dict[int, Queue] = field(default_factory=dict)
    definitions: dict[tuple[str, ...], JsonValue] = field(default_factory=dict)

    def copy(self) -> "Model":
        return copy.deepcopy(self)


def recovered_model(store: Store) -> Model:
    """What a recovery found, bodies read back; fails if a message comes twice or out of order."""
    recovery = store.recovery
    model = Model(definitions={tuple(one.key): one.value for one in recovery.definitions})
    upto = 0
    runs = list(recovery.messages)
    found = read_back(store, [run.ids for run in runs])
    for run in runs:
        assert run.ids.start > upto
        assert len(run.ids) > 0
        assert run.queues
        upto = run.ids[-1]
        for message_id in run.ids:
            if message_id in found:  # but for what has become unreadable since
                envelope, piece = found[message_id]
                for queue_id, redelivered in run.queues.items():
                    model.queues.setdefault(queue_id, {})[message_id] = (envelope, piece, redelivered)
    assert recovery.next_message_id > upto
    return model


def read_back(store: Store, spans: list[range], limit_octets: int = 1 << 20) -> dict[int, tuple[bytes, bytes]]:
    """Envelope and body of each message, read in as many steps as it takes; in the order asked for."""
    found: dict[int, tuple[bytes, bytes]] = {}
    wanted = [message_id for ids in spans for message_id in ids]
    while wanted:
        answer = store.reading.read_now(_spans(wanted), limit_octets)
        assert answer.covered > 0
        for run in answer.runs:
            assert len(run.ids) == len(run.pieces)
            found.update({i: (run.envelope, piece) for i, piece in zip(run.ids, run.pieces, strict=True)})
        wanted = wanted[answer.covered :]
    return found


def _spans(ids: list[int]) -> list[range]:
    spans: list[range] = []
    for message_id in ids:
        if spans and spans[-1].stop == message_id:
            spans[-1] = range(spans[-1].start, message_id + 1)
        else:
            spans.append(range(message_id, message_id + 1))
    return spans


class LaterSync:
    """Syncs a file when the loop comes to it, as the kernel does beside the loop. ``refuses``: it cannot begin."""

    def __init__(self, disk: Disk, notify: Callable[[Callable[[], None]], object]) -> None:
        self._disk = disk
        self._notify = notify
        self._begun: tuple[int, Synced] | None = None
        self.count = 0
        self.refuses = False
        self.is_closed = False

    def begin(self, fd: int, then: Synced) -> None:
        assert self._begun is None
        if self.refuses:
            raise OSError(errno.EINVAL, "no such command")
        self.count += 1
        self._begun = fd, then
        self._notify(self.wait)

    def wait(self) -> None:
        if self._begun is None:
            return
        (fd, then), self._begun = self._begun, None
        try:
            self._disk.fdatasync(fd)
        except OSError as error:
            then(error)
        else:
            then(None)

    def close(self) -> None:
        assert self._begun is None
        self.is_closed = True


class Driver:
    """A store, the calls its loop would run, and the model of what it was told; ``sync``, if small batches have one.

    ``make_sync(notify)`` makes another one for them.
    """

    def __init__(
        self,
        directory: Path,
        disk: Disk | None = None,
        segment_octets: int = 64 << 20,
        on_progress: Callable[[int, int], None] = lambda done_octets, whole_octets: None,
        *,
        has_sync: bool = False,
        make_sync: Callable[[Callable[[Callable[[], None]], object]], FileSync] | None = None,
    ) -> None:
        self._calls: SimpleQueue[object] = SimpleQueue()
        self.failures: list[StorageError] = []
        self.shortages: list[bool] = []
        self.durable_steps = 0
        self.sync = LaterSync(disk or Disk(), self._calls.put) if has_sync else None
        self.store = Store.open(
            directory,
            notify=self._calls.put,
            disk=disk,
            segment_octets=segment_octets,
            on_failure=self.failures.append,
            on_space=self.shortages.append,
            on_progress=on_progress,
            sync=self.sync if make_sync is None else make_sync(self._calls.put),
        )
        self.model = recovered_model(self.store)
        self.next_id = self.store.recovery.next_message_id

    def publish(self, queue_ids: tuple[int, ...], pieces: list[bytes], envelope: bytes = b"env") -> range:
        ids = range(self.next_id, self.next_id + len(pieces))
        self.next_id = ids.stop
        self.store.publish(queue_ids, ids, envelope, pieces)
        for queue_id in queue_ids:
            queue = self.model.queues.setdefault(queue_id, {})
            queue.update({i: (envelope, piece, False) for i, piece in zip(ids, pieces, strict=True)})
        return ids

    def settle(self, queue_id: int, ids: range) -> None:
        self.store.settle(queue_id, ids)
        for message_id in ids:
            del self.model.queues[queue_id][message_id]
        if not self.model.queues[queue_id]:
            del self.model.queues[queue_id]

    def delivered(self, queue_id: int, upto: int) -> None:
        self.store.delivered(queue_id, upto)
        queue = self.model.queues.get(queue_id, {})
        for message_id, (envelope, piece, redelivered) in queue.items():
            queue[message_id] = (envelope, piece, redelivered or message_id <= upto)

    def delete_queue(self, queue_id: int) -> None:
        self.store.delete_queue(queue_id)
        self.model.queues.pop(queue_id, None)

    def define(self, key: tuple[str, ...], value: JsonValue) -> None:
        self.store.define(key, value)
        if value is None:
            self.model.definitions.pop(key, None)
        else:
            self.model.definitions[key] = value

    def run_calls(self) -> None:
        """Run what the threads have asked the loop to do so far."""
        while True:
            try:
                call = self._calls.get_nowait()
            except Empty:
                return
            assert callable(call)
            call()

    def wait_durable(self) -> None:
        """Until all that was appended is on disk, or the disk has failed."""
        ticket = self.store.promise(lambda ticket: None)
        self.store.flush()
        self.wait_for(lambda: self.store.durable_ticket >= ticket)

    def wait_idle(self) -> None:
        """Until trimming, too, has nothing more to do."""
        self.wait_durable()
        self.wait_for(lambda: self.store.is_idle)

    def close(self) -> None:
        self.store.close()

    def wait_for(self, is_reached: Callable[[], bool]) -> None:

        deadline_s = time.monotonic() + DEADLINE_S
        while not is_reached() and not self.failures:
            call = self._calls.get(timeout=max(deadline_s - time.monotonic(), 0.001))
            assert callable(call)
            call()
