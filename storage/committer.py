"""A thread that does what must not hold up the event loop, one job after the other, and reports back to the
loop.

The store has one for writing (a job is a batch) and one for the slow reads of trimming. Results come back
through ``notify`` (the loop's call_soon_threadsafe), in the order of the jobs. The first job that fails is
the last: after a failed sync the kernel may have dropped the pages, so no later success may be believed.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from storage.errors import StorageError

Result = TypeVar("Result")
Call = Callable[[], None]


class Committer:
    """One thread, started with its first job. All but ``report`` and the private methods are for the loop's thread."""

    __slots__ = ("_done", "_jobs", "_name", "_notify", "_on_failure", "_reported", "_submitted", "_thread", "failure")

    def __init__(self, name: str, notify: Callable[[Call], None], on_failure: Callable[[StorageError], None]) -> None:
        self._name = name
        self._notify = notify
        self._on_failure = on_failure
        self._jobs: SimpleQueue[Callable[[], Call] | tuple[float, Call] | None] = SimpleQueue()
        self._done: deque[Call] = deque()
        self._thread: threading.Thread | None = None
        self._submitted = self._reported = 0
        self.failure: StorageError | None = None

    def submit(self, work: Callable[[], Result], then: Callable[[Result], None]) -> None:
        """Have ``work()`` done in the thread, and ``then(result)`` called in the loop."""
        self._submitted += 1
        self._put(lambda: partial(then, work()))

    @property
    def is_working(self) -> bool:
        """Whether the thread has a job, or jobs wait for it; after a failure none does."""
        return self.failure is None and self._submitted != self._reported

    def call_after(self, seconds: float, then: Call) -> None:
        """Have ``then()`` called in the loop after ``seconds``; at once if a job comes in between."""
        self._put((seconds, then))

    def defer(self, then: Call) -> None:
        """Have ``then()`` called by the next reap, before anything else."""
        self._done.appendleft(then)

    def done(self, then: Call) -> None:
        """Call ``then()`` in the loop, after what finished jobs have asked for."""
        self._done.append(then)
        self.reap()

    def reap(self) -> None:
        """Run, in the loop, what the finished jobs asked for. If one raises, the rest still runs, in a later
        call.
        """
        try:
            while self._done:
                self._done.popleft()()
        finally:
            if self._done:
                self._notify(self.reap)

    def stop(self) -> None:
        """Wait until all jobs are done and the thread has ended; then reap."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        self.reap()

    def _put(self, job: Callable[[], Call] | tuple[float, Call]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _run(self) -> None:
        job = self._jobs.get()
        while job is not None:
            following: Callable[[], Call] | tuple[float, Call] | None
            if isinstance(job, tuple):
                seconds, then = job
                try:
                    following = self._jobs.get(timeout=seconds)
                except Empty:
                    self.report(then)
                    following = self._jobs.get()
                else:
                    self.report(then)
                job = following
                continue
            if self.failure is None:
                self._do(job)
            job = self._jobs.get()

    def _do(self, job: Callable[[], Call]) -> None:
        try:
            then = job()
        except Exception as error:  # noqa: BLE001  whatever it was, what is on disk is unknown from here on
            if isinstance(error, StorageError):
                self.failure = error
            else:
                self.failure = StorageError(f"storage failed: {error.__class__.__name__}: {error}")
                self.failure.__cause__ = error
            then = partial(self._on_failure, self.failure)
        self._reported += 1  # Before who waits for the report may look.
        self.report(then)

    def report(self, then: Call) -> None:
        """From the thread: have ``then()`` called in the loop."""
        self._done.append(then)
        with contextlib.suppress(RuntimeError):  # the loop is closed: stop() reaps
            self._notify(self.reap)
