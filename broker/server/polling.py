"""Busy polling: to ask for the next read for a moment instead of sleeping until it comes, while that pays.

To put the loop's thread to sleep and to wake it takes the kernel as long as a quick client needs to answer. Where one
waits for the other all the time, a request and its reply say, it is a third of a round trip. While polling is on, the
loop takes up to ``TURNS`` turns after a read before it sleeps. Where clients are slower than that, send at a pace of
their own, or need the processor themselves, it would only cost. So now and then it is tried, on and off by turns, and
stays on only if more octets were read with it. A loop that sleeps is not woken for any of this.
"""

import sys
from collections.abc import Callable
from typing import Final

from broker.server.clock import Clock

TURNS: Final = 64
"""So many turns of the loop without a read, and it sleeps: some 140 us, with uvloop where it was measured."""
TURN_US: Final = 50
"""A turn that took longer was not idle, or the thread had no processor."""
SAMPLE_READS: Final = 128
SAMPLE_MS: Final = 20
"""A sample lasts for so many reads, and for so long."""
SLOW_MS: Final = 500
"""Where a sample lasts for longer than this, some microseconds more or less are nothing to its clients."""
PATTERN: Final = (False, True, False, True)
"""Whether polling is on, in each sample of a try."""
GAIN: Final = 1.15
"""It pays if each sample with it had so many times the octets of each without, in the same time."""
ON_MS: Final = 4_000
"""It is on for so long before it is tried again."""
OFF_MS: Final = 2_000
"""It is off for so long when it did not pay: what clients do may change at any time, and a try costs little."""


class BusyPolling:
    """Whether the loop polls. ``may_poll()`` says whether nothing under way needs the processor, or the interpreter."""

    __slots__ = (
        *("_call_soon", "_clock", "_is_polling", "_look_at", "_may_poll", "_octets"),
        *("_rates", "_reads", "_sample_from_ms", "_seen", "_turned_us", "_turns", "_until_ms", "idle_us", "is_on"),
    )

    def __init__(
        self,
        clock: Clock,
        call_soon: Callable[[Callable[[], object]], object],
        may_poll: Callable[[], bool],
        *,
        is_wanted: bool = True,
    ) -> None:
        self._clock = clock
        self._call_soon = call_soon
        self._may_poll = may_poll
        self._reads = self._octets = 0
        self._is_polling = False
        self._seen = self._turns = self._turned_us = 0
        self._rates: list[float] = []
        self.idle_us = 0
        """For how long the loop has polled in vain, all in all: between turns that brought no read."""
        self._begin_try(clock.monotonic_ms())
        if not is_wanted:
            self._until_ms = sys.maxsize

    def noted(self, octets: int) -> None:
        """Count a read of so many octets, when it has been handled."""
        self._reads += 1
        self._octets += octets
        if self._reads >= self._look_at:
            self._look()
        if self.is_on and not self._is_polling and self._may_poll():
            self._is_polling = True
            self._seen = self._reads
            self._call_soon(self._poll)

    def _poll(self) -> None:
        """Come again in the next turn, until there were enough."""
        if self._reads != self._seen:
            self._seen = self._reads
            self._turns = 0
        else:
            now_us = self._clock.monotonic_us()
            if self._turns:
                self.idle_us += min(now_us - self._turned_us, TURN_US)
            self._turned_us = now_us
            self._turns += 1
        if self._turns < TURNS and self.is_on and self._may_poll():
            self._call_soon(self._poll)
        else:
            self._turns = 0
            self._is_polling = False

    def _look(self) -> None:
        """See whether a sample is over, or it is time for another try."""
        now_ms = self._clock.monotonic_ms()
        if self._until_ms:
            if now_ms >= self._until_ms:
                self._begin_try(now_ms)
            else:
                self._begin_sample(now_ms)
            return
        passed_ms = now_ms - self._sample_from_ms
        if passed_ms > SLOW_MS:
            self._begin_try(now_ms)
        elif passed_ms < SAMPLE_MS:
            self._look_at += SAMPLE_READS
        else:
            self._rates.append(self._octets / passed_ms)
            if len(self._rates) < len(PATTERN):
                self.is_on = PATTERN[len(self._rates)]
            else:
                self._judge(now_ms)
            self._begin_sample(now_ms)

    def _begin_try(self, now_ms: int) -> None:
        self._rates.clear()
        self._until_ms = 0
        self.is_on = PATTERN[0]
        self._begin_sample(now_ms)

    def _begin_sample(self, now_ms: int) -> None:
        self._sample_from_ms = now_ms
        self._look_at = self._reads + SAMPLE_READS
        self._octets = 0

    def _judge(self, now_ms: int) -> None:
        """Decide by the samples of a try."""
        without = max(rate for rate, is_on in zip(self._rates, PATTERN, strict=True) if not is_on)
        with_it = min(rate for rate, is_on in zip(self._rates, PATTERN, strict=True) if is_on)
        self.is_on = with_it >= GAIN * without > 0
        self._until_ms = now_ms + (ON_MS if self.is_on else OFF_MS)
