"""The one clock: what time it is, and what is to happen later.

Heartbeats, expiries, delays and timeouts all wait in one heap of timers, and the event loop is asked to wake
up for the earliest of them only. Nothing else reads the time or sets timers on the loop. Tests use
``ManualClock``, whose time stands still until the test moves it.
"""

import asyncio
import heapq
import itertools
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

# Cancelled timers stay in the heap until they are the earliest, or until they are this many and more than the others.
CANCELLED_KEPT: Final = 512
STEP_MS: Final = 100
"""By how much the wall clock must be off for that to be a step. Where it is brought round slowly, the monotonic one is
too, or no faster than this a few minutes."""
STEPS_KEPT: Final = 1024


class Timer:
    """A call that waits in the heap; ``cancel`` may come at any time, also twice and after the call."""

    __slots__ = ("_callback", "_clock", "due_ms")

    def __init__(self, clock: "Clock", due_ms: int, callback: Callable[[], object]) -> None:
        self._clock = clock
        self._callback: Callable[[], object] | None = callback
        self.due_ms = due_ms

    @property
    def is_waiting(self) -> bool:
        """Whether the call is still to come."""
        return self._callback is not None

    def cancel(self) -> None:
        """See to it that the call does not happen."""
        if self._callback is not None:
            self._callback = None
            self._clock.count_cancelled()

    def fire(self) -> None:
        """Make the call, once."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class WallSteps:
    """From which message on stamps have which distance from monotonic time: one more entry for each step.

    A stamp is wall time, so that it means something to the next process. It is made of monotonic time, so that this
    process can tell its age however the wall clock was set since. What has a lower id than the first that was stamped
    is from an earlier process: older than this one, whatever its stamp says.
    """

    __slots__ = ("_firsts", "_offsets_ms", "_started_ms", "offset_ms")

    def __init__(self, started_ms: int, offset_ms: int) -> None:
        self._started_ms = started_ms
        self._firsts = array("Q", [0])
        self._offsets_ms = array("q", [offset_ms])
        self.offset_ms: int | None = None
        """By how much stamps are more than monotonic time now; None while there were none."""

    def step(self, message_id: int, offset_ms: int) -> None:
        """Note that the stamps of messages from this one on are by so much more than monotonic time."""
        if len(self._firsts) > STEPS_KEPT:
            # What was there at the start stays exact; of the others the oldest are told by the step that followed.
            del self._firsts[2], self._offsets_ms[1]
        self._firsts.append(message_id)
        self._offsets_ms.append(offset_ms)
        self.offset_ms = offset_ms

    def taken_ms(self, message_id: int, stamp_ms: int) -> int:
        """Return the monotonic time at which the stamp of a message was taken."""
        place = bisect_right(self._firsts, message_id) - 1
        taken_ms = stamp_ms - self._offsets_ms[place]
        return taken_ms if place else min(taken_ms, self._started_ms)


def _nothing() -> None:
    """What is done after due calls, until somebody says otherwise."""


class Clock:
    """Time and timers on an asyncio loop. Times are whole milliseconds. ``after_calls`` is called after due calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._heap: list[tuple[int, int, Timer]] = []
        self._turn = itertools.count()
        self._cancelled_count = 0
        self._wake_up: asyncio.TimerHandle | None = None
        self._wake_up_ms = 0
        self._running_ms: int | None = None
        now_ms = self.monotonic_ms()
        self._steps = WallSteps(now_ms, self.wall_ms() - now_ms)
        self.after_calls: Callable[[], object] = _nothing

    def monotonic_ms(self) -> int:
        """Return the time since some fixed moment; it never goes back. For all intervals."""
        return time.monotonic_ns() // 1_000_000

    def monotonic_us(self) -> int:
        """Return the same in microseconds."""
        return time.monotonic_ns() // 1_000

    def wall_ms(self) -> int:
        """Return the time since 1970 (UTC); it jumps when the machine's clock is set. For timestamps only."""
        return time.time_ns() // 1_000_000

    def processor_ms(self) -> int:
        """Return how long this thread has had a processor. For shares of one only."""
        return time.thread_time_ns() // 1_000_000

    def stamp_ms(self, message_id: int) -> int:
        """Return the time to keep with messages that get ids from ``message_id`` on; ids only grow."""
        now_ms, steps = self.monotonic_ms(), self._steps
        offset_ms = self.wall_ms() - now_ms
        if steps.offset_ms is None or not -STEP_MS < offset_ms - steps.offset_ms < STEP_MS:
            steps.step(message_id, offset_ms)
            return now_ms + offset_ms
        return now_ms + steps.offset_ms

    def age_ms(self, message_id: int, stamp_ms: int) -> int:
        """Return how long ago ``stamp_ms`` was taken for that message, whatever the wall clock did since the start."""
        return max(0, self.monotonic_ms() - self._steps.taken_ms(message_id, stamp_ms))

    def call_at(self, due_ms: int, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` when ``monotonic_ms`` has reached ``due_ms``; of equals the first asked first."""
        if self._running_ms is not None:
            # So that a call which sets itself again at once cannot keep the loop from everything else.
            due_ms = max(due_ms, self._running_ms + 1)
        timer = Timer(self, due_ms, callback)
        heapq.heappush(self._heap, (due_ms, next(self._turn), timer))
        if self._running_ms is None:
            self._arm()
        return timer

    def call_later(self, delay_ms: int, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` after ``delay_ms``."""
        return self.call_at(self.monotonic_ms() + delay_ms, callback)

    def run_due(self) -> None:
        """Make the calls that are due, in order. When one raises, the others are made at the next turn."""
        self._running_ms = now_ms = self.monotonic_ms()
        try:
            while self._heap and self._heap[0][0] <= now_ms:
                timer = heapq.heappop(self._heap)[2]
                if timer.is_waiting:
                    timer.fire()
                else:
                    self._cancelled_count -= 1
        finally:
            self._running_ms = None
            self._arm()
            self.after_calls()

    def count_cancelled(self) -> None:
        """Note one more cancelled timer, and sweep the heap when most of what is in it has been cancelled."""
        self._cancelled_count += 1
        if self._cancelled_count > CANCELLED_KEPT and self._cancelled_count * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2].is_waiting]
            heapq.heapify(self._heap)
            self._cancelled_count = 0

    @property
    def timer_count(self) -> int:
        """How many timers wait, the cancelled ones not counted."""
        return len(self._heap) - self._cancelled_count

    def _arm(self) -> None:
        """Have the loop wake up for the earliest timer that waits, and for none that was cancelled."""
        while self._heap and not self._heap[0][2].is_waiting:
            heapq.heappop(self._heap)
            self._cancelled_count -= 1
        if self._loop is None or not self._heap:
            return
        due_ms = self._heap[0][0]
        if self._wake_up is not None:
            if self._wake_up_ms <= due_ms:
                return
            self._wake_up.cancel()
        self._wake_up_ms = due_ms
        # A delay, not a moment: the loop's own clock need not be ours, and uvloop's stands still in a turn.
        self._wake_up = self._loop.call_later(max(0, due_ms - self.monotonic_ms()) / 1000, self._woken)

    def _woken(self) -> None:
        self._wake_up = None
        self.run_due()


class ManualClock(Clock):
    """A clock for tests: time moves by ``advance`` alone, and what is due is called there and then."""

    def __init__(self, now_ms: int = 1_000_000, wall_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._wall_ms = wall_ms
        self.used_ms = 0
        """What the thread is said to have used of a processor."""
        super().__init__(None)

    def monotonic_ms(self) -> int:
        return self._now_ms

    def monotonic_us(self) -> int:
        return self._now_ms * 1_000

    def wall_ms(self) -> int:
        return self._wall_ms

    def processor_ms(self) -> int:
        return self.used_ms

    def advance(self, by_ms: int) -> None:
        """Move time forward and make each call that becomes due, at its own time."""
        end_ms = self._now_ms + by_ms
        while self._heap and self._heap[0][0] <= end_ms:
            self._move_to(max(self._now_ms, self._heap[0][0]))
            self.run_due()
        self._move_to(end_ms)

    def set_wall_ms(self, wall_ms: int) -> None:
        """Set the wall clock, as an administrator or a time server does."""
        self._wall_ms = wall_ms

    def _move_to(self, now_ms: int) -> None:
        self._wall_ms += now_ms - self._now_ms
        self._now_ms = now_ms
