"""Descriptors: as many as the system gives, and some of them kept for the disk.

A connection too many is closed as soon as it is accepted: what clients cannot have they must not take from the log,
which would have to stop the broker if it could open no file. RabbitMQ: Networking, "Open File Handle Limit".
"""

import contextlib
from typing import Final

import structlog

from broker.server.clock import Clock

log = structlog.get_logger("leveret.descriptors")

RESERVED_COUNT: Final = 64
"""Kept for segments, page files, listeners and logs; less where the limit is very low."""
WARNING_MS: Final = 1000


def raise_limit() -> None:
    """Allow as many open descriptors as the system lets us have."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS states no limit and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    log.debug("open files allowed", count=soft)


def limit() -> int | None:
    """Return how many descriptors there may be, None for any number."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


class DescriptorRoom:
    """Says whether a socket may stay. The system gives out the lowest free number, so a high one tells that few are."""

    __slots__ = ("_clock", "_refused_count", "_refused_from", "_warned_ms")

    def __init__(self, clock: Clock, limit: int | None) -> None:
        """``limit`` is how many descriptors there may be, None for any number."""
        self._clock = clock
        self._refused_from = None if limit is None else limit - min(RESERVED_COUNT, limit // 4)
        self._refused_count = 0
        self._warned_ms: int | None = None

    def has_room_for(self, descriptor: int) -> bool:
        """Whether a socket with this number may stay; that it may not is logged, once a second at most."""
        if self._refused_from is None or descriptor < self._refused_from:
            return True
        self._refused_count += 1
        now_ms = self._clock.monotonic_ms()
        if self._warned_ms is None or now_ms - self._warned_ms >= WARNING_MS:
            self._warned_ms = now_ms
            log.warning(
                "connections refused: nearly all descriptors are in use (ulimit -n)",
                refused=self._refused_count,
                descriptors_for_clients=self._refused_from,
            )
        return False
