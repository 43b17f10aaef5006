"""What the core asks of the clock; the server's is broker/server/clock.py, and tests have one that they set."""

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """See to it that the call does not happen."""


class Clock(Protocol):
    """Time in whole milliseconds, and calls that come later."""

    def monotonic_ms(self) -> int:
        """Return the time since some fixed moment; it never goes back."""
        ...

    def wall_ms(self) -> int:
        """Return the time since 1970 (UTC)."""
        ...

    def stamp_ms(self, message_id: int) -> int:
        """Return the time to keep with messages that get ids from ``message_id`` on: wall time, but for steps that
        were not noticed so far.
        """
        ...

    def age_ms(self, message_id: int, stamp_ms: int) -> int:
        """Return how long ago ``stamp_ms`` was taken for that message, at least 0. Steps of the wall clock since the
        start change no age. What was there at the start is as old by the wall clock, but no younger than this process.
        """
        ...

    def call_at(self, due_ms: int, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` when ``monotonic_ms`` has reached ``due_ms``."""
        ...
