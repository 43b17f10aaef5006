"""Brings filled batches to disk: small ones from the loop, which never waits for the sync; all others in a thread.

The page cache takes a small write in less time than it takes to wake a thread. Where it does not (a disk that is being
frozen for a snapshot, memory that is full of what others wrote), the thread writes for a while.
"""

import time
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Final

from storage.batch import FilledBatch
from storage.committer import Committer
from storage.definitions import Definitions
from storage.errors import DiskFull
from storage.log import SegmentWriter
from storage.metered import Count
from storage.space import Space
from storage.syncing import FileSync

SMALL_OCTETS: Final = 1 << 16
SLOW_S: Final = 0.005
"""After a write in the loop that took longer than this ..."""
REST_S: Final = 1.0
"""... the thread writes, for so long."""


class BatchWriter:
    """Writes and syncs batches in the order in which they come. Called from the loop's thread."""

    __slots__ = (
        "_committer",
        "_journal",
        "_log",
        "_rests_until_s",
        "_space",
        "_sync",
        "_sync_began_ns",
        "_sync_count",
        "is_syncing",
    )

    def __init__(
        self,
        log: SegmentWriter,
        journal: Definitions,
        space: Space,
        committer: Committer,
        sync: FileSync | None,
        sync_count: Count,
    ) -> None:
        self._log = log
        self._journal = journal
        self._space = space
        self._committer = committer
        self._sync = sync
        self._sync_count = sync_count
        self._sync_began_ns = 0
        self._rests_until_s = 0.0
        self.is_syncing = False
        """A batch is being synced without the thread: none may be given to it meanwhile, for a file's failed sync is
        told once, and to whichever of two asks first."""

    def write(self, filled: FilledBatch, is_alone: bool, then: Callable[[FilledBatch], None]) -> None:
        """Have ``then(filled)`` called in the loop when it is durable. ``is_alone``: all before it is so."""
        sync = self._sync
        if sync is None or not is_alone or filled.octets > SMALL_OCTETS or not self._is_plain(filled):
            self._committer.submit(partial(self._write, filled), then)
            return
        began_s = time.monotonic()
        if began_s < self._rests_until_s:
            self._committer.submit(partial(self._write, filled), then)
            return
        try:
            filled.blocks = self._log.write(filled.groups, filled.record_count)
        except DiskFull:
            self._committer.submit(partial(self._write, filled), then)  # where one can wait for room
            return
        except OSError as error:
            self._committer.submit(partial(_fail, error), then)
            return
        if time.monotonic() - began_s > SLOW_S:
            self._rests_until_s = began_s + REST_S
        self._sync_began_ns = perf_counter_ns()
        try:
            sync.begin(self._log.open_fd, partial(self._synced, filled, then))
        except OSError:
            self._sync = None  # an older kernel, say
            sync.close()
            self._committer.submit(partial(self._sync_only, filled), then)
        else:
            self.is_syncing = True

    def stop_syncing(self) -> None:
        """Wait for the sync that is under way, and leave all that comes to the thread."""
        sync, self._sync = self._sync, None
        if sync is not None:
            sync.wait()
            sync.close()

    def _is_plain(self, filled: FilledBatch) -> bool:
        """Whether it is a write to the file that is open, and nothing else; and there is room, as far as is known."""
        log = self._log
        return bool(
            filled.groups
            and not filled.definitions
            and log.open_fd >= 0
            and filled.segment == log.tail.number
            and self._space.has_reserve
        )

    def _synced(self, filled: FilledBatch, then: Callable[[FilledBatch], None], error: OSError | None) -> None:
        self.is_syncing = False
        if error is not None:
            self._committer.submit(partial(_fail, error), then)
        else:
            self._sync_count.add(0, self._sync_began_ns)
            self._committer.done(partial(then, filled))

    # In the writer's thread

    def _write(self, filled: FilledBatch) -> FilledBatch:
        """Wait until there is room for the batch."""
        self._space.until_it_fits(partial(self._append_to_files, filled))
        return filled

    def _append_to_files(self, filled: FilledBatch) -> None:
        """Definitions first, since messages rely on them. Called again after DiskFull, it goes on where it was."""
        if filled.definitions:
            self._journal.append(filled.definitions)
            filled.definitions = []
        if filled.groups:
            if filled.segment != self._log.tail.number:
                self._log.create(filled.segment, filled.next_message_id, filled.next_queue_id)
            filled.blocks = self._log.append(filled.groups, filled.record_count)

    def _sync_only(self, filled: FilledBatch) -> FilledBatch:
        self._log.sync()
        return filled


def _fail(error: OSError) -> FilledBatch:
    """Tell the thread, and by it all others, that the disk has failed."""
    raise error
