"""A queue's ready messages, in the order in which they leave.

The plain backlog goes by id; priority.py has the one that goes by priority first. Nothing here knows consumers,
limits or the log.
"""

from bisect import bisect_left
from collections import deque

from broker.core.messages import Stretch


def _first_id(stretch: Stretch) -> int:
    return stretch.ids.start


class Backlog:
    """Ready messages by id.

    What was never delivered stands in ``_ready``; what came back stands in ``_returned``, by id. Messages leave from
    the lowest id on, so all that came back is older than all that never left.
    """

    __slots__ = ("_ready", "_ready_at", "_returned")

    def __init__(self) -> None:
        self._ready: deque[Stretch] = deque()
        self._ready_at = 0
        self._returned: list[Stretch] = []

    @property
    def is_empty(self) -> bool:
        """Whether no message is left."""
        return not self._ready and not self._returned

    def append(self, stretch: Stretch) -> None:
        """Add messages with higher ids than all before."""
        self._ready.append(stretch)

    def put_back(self, stretch: Stretch) -> None:
        """Add messages that left and came back, in their places."""
        for part in stretch.returned():
            if not self._returned or part.ids.start > self._returned[-1].ids.start:
                self._returned.append(part)
            else:
                place = bisect_left(self._returned, part.ids.start, key=_first_id)
                self._returned.insert(place, part)

    def head(self) -> Stretch:
        """Return the stretch that the next message is of; some of its first messages may have left."""
        return self._returned[0] if self._returned else self._ready[0]

    def head_count(self) -> int:
        """Return how many messages are left of the first stretch."""
        if self._returned:
            return len(self._returned[0].pieces)
        return len(self._ready[0].pieces) - self._ready_at

    def take(self, limit: int) -> Stretch:
        """Take at most ``limit`` messages of the first stretch."""
        if self._returned:
            stretch = self._returned[0]
            if len(stretch.pieces) <= limit:
                del self._returned[0]
                return stretch
            self._returned[0] = stretch.part(limit, len(stretch.pieces))
            return stretch.part(0, limit)
        stretch, at = self._ready[0], self._ready_at
        if len(stretch.pieces) - at <= limit:
            self._ready.popleft()
            self._ready_at = 0
            return stretch.part(at, len(stretch.pieces))
        self._ready_at = at + limit
        return stretch.part(at, at + limit)

    def stretches(self) -> list[Stretch]:
        """Return all messages."""
        ready = list(self._ready)
        if self._ready_at:
            ready[0] = ready[0].part(self._ready_at, len(ready[0].pieces))
        return self._returned + ready

    def clear(self) -> None:
        """Forget all messages."""
        self._ready.clear()
        self._returned.clear()
        self._ready_at = 0
