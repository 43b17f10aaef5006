"""Tells in the log how far a long recovery is, so that nobody takes it for a hang and kills it."""

from typing import Final

import structlog

from broker.server.clock import Clock

INTERVAL_MS: Final = 1000

log = structlog.get_logger()


class RecoveryProgress:
    """Logs one line for each INTERVAL_MS that ``what`` takes; nothing where it is quick."""

    __slots__ = ("_began_ms", "_clock", "_done", "_due_ms", "_what")

    def __init__(self, clock: Clock, what: str) -> None:
        self._clock = clock
        self._what = what
        self._done = 0
        self._began_ms = clock.monotonic_ms()
        self._due_ms = self._began_ms + INTERVAL_MS

    def more(self, count: int, whole: int) -> None:
        """``count`` more are done, ``whole`` is all there is to do."""
        self.reached(self._done + count, whole)

    def reached(self, done: int, whole: int) -> None:
        """``done`` of ``whole`` are done."""
        self._done = done
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + INTERVAL_MS
        log.info(
            "recovering",
            what=self._what,
            done=done,
            whole=whole,
            percent=100 * done // whole if whole else 100,
            elapsed_ms=now_ms - self._began_ms,
        )
