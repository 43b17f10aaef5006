"""Clients whose sockets have gone: a few are given up at each turn of the loop, so that others get theirs.

A network that fails, or a program that ends, takes thousands of connections at once. To close a socket and to give back
what its connection held takes some twentieth of a millisecond, and the loop would do nothing else until all are done.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

TURN_COUNT: Final = 64
"""So many steps of giving up are taken before others get a turn."""


class Departures:
    """Says who may go at once, and has the others go in order, some at each ``turn``.

    ``schedule_turn`` sees to it that ``turn`` is called at the loop's next turn; it may be asked more than once. Who
    goes at once does not ask: if nobody does, the first one too many will.
    """

    __slots__ = ("_count", "_schedule_turn", "_waiting")

    def __init__(self, schedule_turn: Callable[[], object]) -> None:
        self._schedule_turn = schedule_turn
        self._waiting: deque[Callable[[], object]] = deque()
        self._count = 0

    def may_go(self) -> bool:
        """Whether one more step may be taken in this turn; it counts if so. Who may not has to ``wait``."""
        if self._waiting or self._count >= TURN_COUNT:
            return False
        self._count += 1
        return True

    def wait(self, give_up: Callable[[], object]) -> None:
        """Have ``give_up`` called after all that wait already."""
        self._waiting.append(give_up)
        self._schedule_turn()

    def turn(self) -> None:
        """Let some go that wait."""
        count = self._count = min(TURN_COUNT, len(self._waiting))
        if count:
            # Asked for first: should one of them raise, the others are not forgotten.
            self._schedule_turn()
        for _ in range(count):
            self._waiting.popleft()()
