"""Virtual time, and who does what next: every choice is drawn from one seeded generator and goes into one trace.

``Turns`` knows of things that could happen now (a read, a step of the writer's thread, a client's next move). The
broker's event loop asks it for one of them where a real loop would wait for its sockets; time moves only here.
"""

import asyncio
import threading
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol, cast

from broker.server.clock import Clock

HAPPENINGS_MOST = 300_000  # ten times what a long simulation takes
DEADLINE_US = 3_600_000_000  # of virtual time: nothing that is waited for takes as long
WALL_BEGINS_MS = 1_700_000_000_000


class ProcessGone(BaseException):
    """The broker's process has ended between two of its instructions, as by a kill or a power cut."""


class Stuck(AssertionError):
    """Something that had to happen does not: nothing can, or all the time that it may take is over."""


class Happening(Protocol):
    """What can happen now."""

    def __call__(self) -> None: ...


class Source(Protocol):
    """Somebody who may have something to do."""

    def possible(self) -> Sequence[Happening]:
        """What could happen now, in a fixed order."""

    def due_us(self) -> int | None:
        """When more will be possible without anything happening before."""


class Turns:
    """The time of a simulation and its generator. ``wall_offset_ms`` is what somebody sets the machine's clock by."""

    def __init__(self, seed: int, keeps_lines: bool = False) -> None:
        self.chance = Random(seed)
        self.now_us = 1_000_000
        self.wall_offset_ms = WALL_BEGINS_MS
        self.forward_ms = 0  # by which the wall clock had been set forward when the broker started last
        self._forward_since_ms = 0  # and since then
        self.haste = 0.97  # how likely something happens before time goes on
        self.trace = 0
        self.count = 0
        self.lines: list[str] | None = [] if keeps_lines else None
        self.sources: list[Source] = []

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    @property
    def wall_ms(self) -> int:
        return self.now_us // 1000 + self.wall_offset_ms

    @property
    def age_ms(self) -> int:
        """A time by which nothing can be early: what has gone by, and what the clock was set forward by before the last
        start. A broker that starts has nothing but the wall clock; while it runs, steps make nothing early.
        """
        return self.now_us // 1000 + self.forward_ms

    def set_wall_clock(self, by_ms: int) -> None:
        self.wall_offset_ms += by_ms
        self._forward_since_ms += max(0, by_ms)

    def begin_life(self) -> None:
        """A broker starts, and takes the wall clock as it is."""
        self.forward_ms += self._forward_since_ms
        self._forward_since_ms = 0

    def note(self, what: str) -> None:
        """Put a line into the trace."""
        self.count += 1
        self.trace = zlib.crc32(what.encode(), self.trace)
        if self.lines is not None:
            self.lines.append(f"{self.now_us / 1_000_000:.6f} {what}")

    def act(self) -> bool:
        """Have one of all possible things happen; False if there is none."""
        chance = self.chance
        if self.count > HAPPENINGS_MOST:
            raise Stuck("something happens again and again, and nothing comes of it")
        choices = [each for source in self.sources for each in source.possible()]
        if not choices:
            return False
        self.now_us += chance.randrange(200)
        chance.choice(choices)()
        return True

    def next_due_us(self) -> int | None:
        return min((due for source in self.sources if (due := source.due_us()) is not None), default=None)

    def advance(self, due_us: int | None) -> None:
        """Let time go on: to ``due_us``, or to when a source has something to do, if that is earlier."""
        soonest = self.next_due_us()
        times = [each for each in (due_us, soonest) if each is not None]
        if not times:
            raise Stuck("nothing more can happen")
        self.now_us = max(self.now_us, min(times))

    def move_on(self, due_us: int | None) -> None:
        """Have something happen, or let time go on, whichever comes first this time."""
        chance = self.chance
        if chance.random() < self.haste:
            if not self.act():
                self.advance(due_us)
            return
        # What is under way takes its time: timers come in between.
        target = self.now_us + chance.choice((1000, 5000, 25000))
        soonest = self.next_due_us()
        self.now_us = max(self.now_us, min(each for each in (target, due_us, soonest) if each is not None))


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own loop, whose selector is the simulation and whose time is virtual. One for each life of a broker."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns
        self._selector = self
        self.is_process_gone = False

    def time(self) -> float:
        return self._turns.now_us / 1_000_000

    def select(self, _timeout: float | None) -> Sequence[object]:
        """Instead of waiting for sockets: let things happen until there is something to do in the loop."""
        turns, ready = self._turns, cast(Any, self)._ready
        if ready:
            self._check_life()
            if turns.chance.random() < 0.3:
                turns.act()
        while not ready:
            self._check_life()
            due_us = self._next_timer_us()
            if due_us is not None and due_us <= turns.now_us:
                break
            turns.move_on(due_us)
        self._check_life()
        return ()

    def _check_life(self) -> None:
        if self.is_process_gone:
            raise ProcessGone

    def _next_timer_us(self) -> int | None:
        scheduled = cast(Any, self)._scheduled
        return int(scheduled[0]._when * 1_000_000) + 1 if scheduled else None

    def _process_events(self, _events: Sequence[object]) -> None:
        """There are none: what happened has called the loop itself."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nothing in the loop may raise."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            raise error
        raise AssertionError(context)


class VirtualClock(Clock):
    """The broker's clock on virtual time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turns: Turns) -> None:
        self._turns = turns
        turns.begin_life()
        super().__init__(loop)

    def monotonic_ms(self) -> int:
        return self._turns.now_us // 1000

    def monotonic_us(self) -> int:
        return self._turns.now_us

    def wall_ms(self) -> int:
        return self._turns.wall_ms

    def processor_ms(self) -> int:
        return 0


class Actor:
    """A thread that runs only while it is told to, from one ``pause`` to the next."""

    def __init__(self, name: str, main: Callable[[], None]) -> None:
        self.name = name
        self.is_finished = False
        self.is_killed = False
        self.condition: Callable[[], bool] = bool
        self.wake_us: int | None = 0
        self._main = main
        self._error: BaseException | None = None
        self._go = threading.Lock()
        self._back = threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def is_ready(self, now_us: int) -> bool:
        return not self.is_finished and (self.condition() or (self.wake_us is not None and self.wake_us <= now_us))

    def step(self) -> None:
        """From the simulation: let it run up to its next pause."""
        self._go.release()
        self._back.acquire()
        if self.is_finished:
            self.thread.join()
            if self._error is not None:
                raise self._error

    def pause(self, condition: Callable[[], bool], wake_us: int | None) -> None:
        """From the thread: wait for ``condition``, or that time. Raises ProcessGone when there is no more to come."""
        self.condition, self.wake_us = condition, wake_us
        self._back.release()
        self._go.acquire()
        if self.is_killed:
            raise ProcessGone

    def kill(self) -> None:
        """End it where it is."""
        if not self.is_finished:
            self.is_killed = True
            self.step()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.is_killed:
                self._main()
        except ProcessGone:
            pass
        except BaseException as error:  # noqa: BLE001  handed to the simulation, which raises it
            self._error = error
        finally:
            self.is_finished = True
            self._back.release()
