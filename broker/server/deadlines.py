"""Deadlines of one length: for what hardly ever is late and comes by the thousand, such as a client's next step.

They stand in the order in which they were set, which is that in which they are due, and one timer watches the first: so
to set one and to lift it again are a dictionary's entry each.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from broker.server.clock import Clock

T = TypeVar("T")


class Deadlines(Generic[T]):
    """``act`` is called with who has not been heard of for ``delay_ms``. Each may stand here once."""

    __slots__ = ("_act", "_clock", "_delay_ms", "_due_ms", "_is_timed")

    def __init__(self, clock: Clock, delay_ms: int, act: Callable[[T], object]) -> None:
        self._clock = clock
        self._delay_ms = delay_ms
        self._act = act
        self._due_ms: dict[T, int] = {}
        self._is_timed = False

    def set(self, who: T) -> None:
        """Give ``who`` so much time from now on."""
        due_ms = self._clock.monotonic_ms() + self._delay_ms
        self._due_ms[who] = due_ms
        if not self._is_timed:
            self._is_timed = True
            self._clock.call_at(due_ms, self._look)

    def lift(self, who: T) -> None:
        """Let ``who`` be, if it stands here."""
        self._due_ms.pop(who, None)

    def _look(self) -> None:
        """Act on all that are due. The timer goes on while others wait; when the last is lifted, it comes once more."""
        now_ms, waiting = self._clock.monotonic_ms(), self._due_ms
        try:
            while waiting:
                who, due_ms = next(iter(waiting.items()))
                if due_ms > now_ms:
                    break
                del waiting[who]
                self._act(who)
        finally:
            self._is_timed = bool(waiting)
            if waiting:
                self._clock.call_at(next(iter(waiting.values())), self._look)
