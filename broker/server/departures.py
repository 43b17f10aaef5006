"""Clients whose sockets have gone: a few are given up at each turn of the loop, so that others get theirs.

A network that fails, or a program that ends, takes thousands of connections at once; to give back what each of them
held takes a twentieth of a millisecond, and the loop would do nothing else until all are done.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

TURN_COUNT: Final = 32
"""So many are given up before others get a turn."""


class Departures:
    """Calls what gives a connection up: at once while few go, else in order, at the loop's next turns."""

    __slots__ = ("_call_soon", "_done_count", "_waiting")

    def __init__(self, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self._call_soon = call_soon
        self._waiting: deque[Callable[[], object]] = deque()
        self._done_count = 0

    def add(self, give_up: Callable[[], object]) -> None:
        """Have ``give_up`` called, now or soon."""
        if not self._done_count:
            self._call_soon(self._next_turn)
        if self._done_count < TURN_COUNT:
            self._done_count += 1
            give_up()
        else:
            self._waiting.append(give_up)

    def _next_turn(self) -> None:
        count = self._done_count = min(TURN_COUNT, len(self._waiting))
        if count:
            # Asked for first: should one of them raise, the others are not forgotten.
            self._call_soon(self._next_turn)
        for _ in range(count):
            self._waiting.popleft()()
