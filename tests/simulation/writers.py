"""The store's threads as actors: each runs from one disk call to the next, when the simulation has drawn it."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from storage.committer import Call, Committer
from storage.errors import StorageError
from storage.files import Disk
from storage.syncing import Synced
from tests.simulation.turns import Actor, Happening, ProcessGone, Stuck, Turns

Job = Callable[[], Call] | tuple[float, Call] | None


class Writers:
    """All such threads of one life of a broker. ``is_gone``: the process has ended."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.actors: list[Actor] = []
        self.is_gone = False

    def make(
        self, name: str, notify: Callable[[Call], None], on_failure: Callable[[StorageError], None]
    ) -> "SteppedCommitter":
        """Stands where the store makes a Committer."""
        return SteppedCommitter(self, name, notify, on_failure)

    def possible(self) -> Sequence[Happening]:
        now_us = self.turns.now_us
        return [partial(self._step, actor) for actor in self.actors if actor.is_ready(now_us)]

    def due_us(self) -> int | None:
        return min((actor.wake_us for actor in self.actors if actor.wake_us and not actor.is_finished), default=None)

    def _step(self, actor: Actor) -> None:
        self.turns.note(f"step {actor.name}")
        actor.step()

    def current(self) -> Actor | None:
        """The actor whose thread is running, None in the loop's own."""
        me = threading.current_thread()
        return next((actor for actor in self.actors if actor.thread is me), None)

    def pause(self) -> None:
        """Before each disk call: others may run first. In the loop's own thread nobody may."""
        actor = self.current()
        if actor is not None:
            actor.pause(lambda: True, None)

    def run_until_finished(self, actor: Actor) -> None:
        """The loop's thread waits for one of them; the others go on meanwhile, and time does if it must."""
        while not actor.is_finished:
            if self.is_gone:
                raise ProcessGone
            choices = self.possible()
            if choices:
                self.turns.chance.choice(choices)()
                continue
            due_us = self.due_us()
            if due_us is None:
                raise Stuck(f"{actor.name} never ends")
            self.turns.now_us = max(self.turns.now_us, due_us)

    def kill(self) -> None:
        """The process is gone."""
        self.is_gone = True
        for actor in self.actors:
            actor.kill()


class SteppedCommitter(Committer):
    """A Committer whose thread is an actor."""

    __slots__ = ("_actor", "_line", "_writers")

    def __init__(
        self,
        writers: Writers,
        name: str,
        notify: Callable[[Call], None],
        on_failure: Callable[[StorageError], None],
    ) -> None:
        super().__init__(name, notify, on_failure)
        self._writers = writers
        self._line: deque[Job] = deque()
        self._actor: Actor | None = None

    def stop(self) -> None:
        if self._writers.is_gone:
            raise ProcessGone
        if self._actor is not None:
            self._line.append(None)
            self._writers.run_until_finished(self._actor)
            self._actor = None
        self.reap()

    def _put(self, job: Callable[[], Call] | tuple[float, Call]) -> None:
        if self._actor is None:
            self._actor = Actor(self._name, self._work)
            self._writers.actors.append(self._actor)
        self._line.append(job)

    def _work(self) -> None:
        while True:
            self._wait(None)
            job = self._line.popleft()
            if job is None:
                return
            if isinstance(job, tuple):
                seconds, then = job
                self._wait(seconds)
                self.report(then)
            elif self.failure is None:
                self._do(job)

    def _wait(self, seconds: float | None) -> None:
        """Until there is a job, for so long at most."""
        assert self._actor is not None
        wake_us = None if seconds is None else self._writers.turns.now_us + int(seconds * 1_000_000)
        self._actor.pause(lambda: bool(self._line), wake_us)


class SteppedSync:
    """In place of the kernel that syncs small batches: an actor too, and its word comes to the loop as any other."""

    def __init__(self, writers: Writers, disk: Disk, notify: Callable[[Call], None]) -> None:
        self._disk = disk
        self._line = SteppedCommitter(writers, "kernel", notify, _never)

    def begin(self, fd: int, then: Synced) -> None:
        self._line.submit(partial(self._attempt, fd), then)

    def wait(self) -> None:
        self._line.stop()

    def close(self) -> None:
        """It takes nothing."""

    def _attempt(self, fd: int) -> OSError | None:
        try:
            self._disk.fdatasync(fd)
        except OSError as error:
            return error
        return None


def _never(error: StorageError) -> None:
    raise AssertionError(error)


class SteppedEvent:
    """In place of the threading.Event on which the writer waits for room on a full disk."""

    def __init__(self, writers: Writers) -> None:
        self._writers = writers
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        actor = self._writers.current()
        if actor is not None:
            wake_us = self._writers.turns.now_us + int(seconds * 1_000_000)
            actor.pause(self.is_set, wake_us)
        elif not self._is_set:
            # In the loop's own thread, at the very end: only time can help.
            self._writers.turns.now_us += int(seconds * 1_000_000)
        return self._is_set
