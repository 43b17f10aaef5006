"""Messages that wait for their time: a heap by due time, and one timer of the clock for the first of them.

What is persistent lies in the log meanwhile, under an id as queues have. A record there holds when it was published,
and the header how long it is to wait, so the time at which it is due outlives the process.
"""

import heapq
from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Final

from broker.core.clock import Timer
from broker.core.consumers import Consumer
from broker.core.exchanges.kept import KeptMessages
from broker.core.messages import Stretch
from broker.core.queues.context import QueueContext
from protocol.content import Shape
from protocol.headers import decode_headers, with_header_payload, with_headers
from protocol.tables import FieldTable, SignedInt, is_integer

X_DELAY: Final = "x-delay"
DELAY_MAX_MS: Final = (1 << 32) - 1
"""What the plugin takes; a message that is to wait longer goes on at once, as there."""
TURN_COUNT: Final = 256
"""How many messages go on in one turn, so that a crowd that is due at once leaves the others their turns."""
_SIGNED_INT_MAX: Final = (1 << 31) - 1


def delay_of(headers: FieldTable) -> int:
    """Return how long a message with ``headers`` is to wait, in milliseconds; 0 for one that goes on at once.

    Text and fractions are taken as the plugin takes them; what cannot be read does not delay.
    """
    delay = headers.get(X_DELAY, 0)
    if isinstance(delay, str):
        digits = delay[1:] if delay[:1] in ("+", "-") else delay
        delay = int(delay) if digits.isascii() and digits.isdigit() and len(digits) < 20 else 0
    elif isinstance(delay, float | Decimal):
        delay = int(delay) if isfinite(delay) else 0
    elif not is_integer(delay):
        return 0
    return int(delay) if 0 < delay <= DELAY_MAX_MS else 0


class DelayedMessages(KeptMessages):
    """The messages that wait at one exchange; ``message_count`` counts them.

    ``release(shape, stretch)`` publishes those that are due, ``shape`` and pieces with the header negated. It happens
    in one batch of the log with their settlement here, so that each goes on exactly once.
    """

    __slots__ = ("_heap", "_release", "_timer", "_timer_ms")
    is_routed_again = True

    def __init__(
        self,
        exchange: str,
        vhost_name: str,
        queue_id: int,
        durable: bool,
        context: QueueContext,
        release: Callable[[Shape, Stretch], None],
    ) -> None:
        super().__init__(exchange, vhost_name, queue_id, durable, context)
        self._release = release
        self._heap: list[tuple[int, int, Stretch]] = []
        self._timer: Timer | None = None
        self._timer_ms = 0

    def next_due_ms(self) -> int | None:
        """Return the monotonic time at which the next message goes on, None if none waits."""
        return self._heap[0][0] if self._heap else None

    def waiting(self) -> list[tuple[int, Stretch]]:
        """Return what waits, with the monotonic time (ms) at which it is due, the first first."""
        return [(due_ms, stretch) for due_ms, _, stretch in sorted(self._heap, key=lambda entry: entry[:2])]

    def publish(self, stretch: Stretch) -> None:
        """Keep ``stretch``, whose messages have one content header, until it is due."""
        self._wait(stretch, delay_of(_headers_of(stretch)))

    def restore(self, stretch: Stretch, age_ms: int, return_count: int = 0) -> None:
        """Keep what the log gave back at start, published ``age_ms`` ago, for what is left of its delay.

        What became due meanwhile is due in the past, so that it goes on in the order of its times.
        """
        self._wait(stretch, delay_of(_headers_of(stretch)) - age_ms)

    def stop(self) -> list[Consumer]:
        """Forget what waits, as the exchange is deleted."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
        return super().stop()

    def _wait(self, stretch: Stretch, delay_ms: int) -> None:
        due_ms = self.context.clock.monotonic_ms() + delay_ms
        # Of those due at the same time, the first published goes first.
        heapq.heappush(self._heap, (due_ms, stretch.ids.start, stretch))
        self.message_count += len(stretch.pieces)
        self._arm()

    def _arm(self) -> None:
        if not self._heap:
            return
        due_ms = self._heap[0][0]
        if self._timer is not None:
            if self._timer_ms <= due_ms:
                return
            self._timer.cancel()
        self._timer_ms = due_ms
        self._timer = self.context.clock.call_at(due_ms, self._first_is_due)

    def _first_is_due(self) -> None:
        self._timer = None
        now_ms = self.context.clock.monotonic_ms()
        heap, left = self._heap, TURN_COUNT
        try:
            while heap and heap[0][0] <= now_ms and left:
                due_ms, _, stretch = heapq.heappop(heap)
                if len(stretch.pieces) > left:
                    rest = stretch.part(left, len(stretch.pieces))
                    heapq.heappush(heap, (due_ms, rest.ids.start, rest))
                    stretch = stretch.part(0, left)
                left -= len(stretch.pieces)
                self._go_on(stretch)
        finally:
            self._arm()

    def _go_on(self, stretch: Stretch) -> None:
        shape, pieces = stretch.shape, stretch.pieces
        self.message_count -= len(pieces)
        payload = shape.header_payload(pieces[0])
        headers = decode_headers(payload)
        delay_ms = delay_of(headers)
        headers[X_DELAY] = SignedInt(-delay_ms) if delay_ms <= _SIGNED_INT_MAX else -delay_ms
        new_shape, new_pieces = with_header_payload(shape, pieces, with_headers(payload, headers))
        self._release(new_shape, Stretch(new_shape, stretch.ids, new_pieces))
        if self.log is not None and shape.facts.persistent and not self.is_deleted:
            self.log.settle(self.id, stretch.ids)


def _headers_of(stretch: Stretch) -> FieldTable:
    return decode_headers(stretch.shape.header_payload(stretch.pieces[0]))
