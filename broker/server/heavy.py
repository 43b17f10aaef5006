"""Clients that send much: so much of all of them together is read in one turn of the loop, and they take turns.

The loop reads every socket that has something, one that fills its buffer up to 32 times, before it looks who else has
sent something meanwhile. Where some clients flood, that is tens of milliseconds for all others. So when enough was read
in a turn, those that send much are read no more until the next one, and then who was read longest ago comes first.
"""

from collections.abc import Callable
from typing import Final, Protocol

HEAVY_OCTETS: Final = 16 << 10
"""A read of so much, or more, is one of a client that sends much."""
TURN_OCTETS: Final = 250_000
"""After so much of them in a turn the others come first: a read that fills the loop's buffer is enough."""


class Sender(Protocol):
    """A connection that can be left unread for a while."""

    def hold(self) -> None:
        """Read nothing until ``go_on``."""

    def go_on(self) -> None:
        """Read again."""


class HeavySenders:
    """Is told every read of ``HEAVY_OCTETS`` and more, when it has been handled."""

    __slots__ = ("_call_soon", "_is_scheduled", "_octets", "_read", "_read_before", "_waiting")

    def __init__(self, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self._call_soon = call_soon
        self._is_scheduled = False
        self._octets = 0
        # Who sent how much, in the order of their last reads: in this turn, in the last one in which somebody did,
        # and of those who are not read now.
        self._read: dict[Sender, int] = {}
        self._read_before: dict[Sender, int] = {}
        self._waiting: dict[Sender, int] = {}

    def sent(self, sender: Sender, octets: int) -> None:
        """Count a read; hold all that send much if it was enough for this turn."""
        self._read_before.pop(sender, None)
        self._read.pop(sender, None)
        self._read[sender] = octets
        self._schedule()
        self._octets += octets
        if self._octets >= TURN_OCTETS:
            for senders in (self._read_before, self._read):
                for each, last_octets in senders.items():
                    if each not in self._waiting:
                        self._waiting[each] = last_octets
                        each.hold()

    def forget(self, sender: Sender) -> None:
        """Drop one that has gone."""
        for senders in (self._read_before, self._read, self._waiting):
            senders.pop(sender, None)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        """Read those again who have waited longest, as many as are enough for a turn by what they sent last."""
        self._is_scheduled = False
        self._octets = expected_octets = 0
        self._read_before, self._read = self._read, {}
        while self._waiting and expected_octets < TURN_OCTETS:
            sender = next(iter(self._waiting))
            expected_octets += self._waiting.pop(sender)
            sender.go_on()
        if self._waiting:
            self._schedule()
