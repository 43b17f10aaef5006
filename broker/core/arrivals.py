"""When messages came, by their ids: for who looks at a queue, at no cost to the messages.

Ids grow with time, so a mark a second tells it for all queues: which id was next at which moment. While nothing is
published there are no marks and no timer. Old marks are thinned out: what came a while ago is told less exactly.
"""

from array import array
from bisect import bisect_right
from typing import Final

from broker.core.clock import Clock
from broker.core.messages import MessageIds

MARK_MS: Final = 1000
"""How exactly arrivals are told: a message came up to this much later than is told."""
SHARE: Final = 500
"""And what is older is told to a part in so many of its age."""
THINNED_AT: Final = 8192


class Arrivals:
    """Marks of (id, monotonic time): what has that id or a higher one, up to the next mark's, came then or later.

    ``note`` is to be called after messages were given ids, while ``is_timed`` is false. ``first_id`` is the first id
    that was given since the start: what is below it came from the log, which knows its times.
    """

    __slots__ = ("_clock", "_firsts", "_ids", "_thinned_at", "_times_ms", "first_id", "is_timed", "upto")

    def __init__(self, ids: MessageIds, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._firsts = array("Q")
        self._times_ms = array("q")
        self.upto = self.first_id = ids.next_id
        """Which id was next at the last mark: there is nothing to note while it still is."""
        self._thinned_at = THINNED_AT
        self.is_timed = False

    def note(self) -> None:
        """Mark the moment, if any came since the last mark; others follow by the clock."""
        if self._ids.next_id != self.upto:
            self.is_timed = True
            now_ms = self._clock.monotonic_ms()
            self._mark(self.upto, now_ms)
            self.upto = self._ids.next_id
            self._clock.call_at(now_ms + MARK_MS, self._go_on)

    def _go_on(self) -> None:
        next_id = self._ids.next_id
        if next_id == self.upto:
            self.is_timed = False
            return
        now_ms = self._clock.monotonic_ms()
        self._mark(next_id, now_ms)
        self.upto = next_id
        self._clock.call_at(now_ms + MARK_MS, self._go_on)

    def _mark(self, first_id: int, now_ms: int) -> None:
        if self._firsts and self._firsts[-1] == first_id:
            self._times_ms[-1] = now_ms
            return
        self._firsts.append(first_id)
        self._times_ms.append(now_ms)
        if len(self._firsts) >= self._thinned_at:
            self._thin(now_ms)

    def _thin(self, now_ms: int) -> None:
        """Forget marks between others that are near enough to each other, for their age."""
        firsts, times_ms = self._firsts, self._times_ms
        kept_firsts, kept_times_ms = firsts[:1], times_ms[:1]
        for place in range(1, len(firsts) - 1):
            following_ms = times_ms[place + 1]
            if following_ms - kept_times_ms[-1] > max(MARK_MS, (now_ms - following_ms) // SHARE):
                kept_firsts.append(firsts[place])
                kept_times_ms.append(times_ms[place])
        kept_firsts.append(firsts[-1])
        kept_times_ms.append(times_ms[-1])
        self._firsts, self._times_ms = kept_firsts, kept_times_ms
        # Marks that are apart by themselves stay, as many as they are; then not each further one is to look at all.
        self._thinned_at = max(THINNED_AT, 2 * len(kept_firsts))

    def age_ms(self, message_id: int) -> int | None:
        """Return how long ago a message came, about; None where it was there at the start."""
        place = bisect_right(self._firsts, message_id) - 1
        return None if place < 0 else self._clock.monotonic_ms() - self._times_ms[place]
