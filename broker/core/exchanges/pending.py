"""Messages that wait for their time: a heap by due time, and one timer of the clock for the first of them.

What is persistent lies in the log meanwhile, under an id as queues have. A record there holds when it was published,
and the header how long it is to wait, so the time at which it is due outlives the process. What is too much for memory
leaves it, and comes back a little before it is due.
"""

import heapq
from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Final

from broker.core.clock import Timer
from broker.core.consumers import Consumer
from broker.core.exchanges.kept import KeptMessages
from broker.core.exchanges.parked_delays import PAGE_OCTETS, Due, ParkedDelays
from broker.core.messages import Stretch
from broker.core.queues.context import QueueContext
from broker.core.queues.parked import Page, PageFiller, is_in_log
from broker.core.residency import Residency
from protocol.content import Shape
from protocol.headers import decode_headers, with_header_payload, with_headers
from protocol.tables import FieldTable, SignedInt, is_integer

X_DELAY: Final = "x-delay"
DELAY_MAX_MS: Final = (1 << 32) - 1
"""What the plugin takes; a message that is to wait longer goes on at once, as there."""
TURN_COUNT: Final = 256
"""How many messages go on in one turn, so that a crowd that is due at once leaves the others their turns."""
LEAD_MS: Final = 500
"""So long before it is due a message is read back; what is due within twice that stays in memory."""
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

    __slots__ = ("_heap", "_parked", "_release", "_resident_octets", "_timer", "_timer_ms")
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
        self._parked = ParkedDelays(context.residency, self._came_back)
        self._resident_octets = 0
        self._timer: Timer | None = None
        self._timer_ms = 0

    def next_due_ms(self) -> int | None:
        """Return the monotonic time at which the next message goes on, None if none waits."""
        parked = self._parked.first_key
        if parked is not None and (not self._heap or parked < self._heap[0][:2]):
            return parked[0]
        return self._heap[0][0] if self._heap else None

    def waiting(self) -> list[tuple[int, Stretch]]:
        """Return what waits in memory, with the monotonic time (ms) at which it is due, the first first."""
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
        self._parked.clear()
        self._resident_octets = 0
        if self._timer is not None:
            self._timer.cancel()
        return super().stop()

    def _wait(self, stretch: Stretch, delay_ms: int) -> None:
        due_ms = self.context.clock.monotonic_ms() + delay_ms
        self._keep(due_ms, stretch)
        self.message_count += len(stretch.pieces)
        self._arm()

    def _keep(self, due_ms: int, stretch: Stretch) -> None:
        # Of those due at the same time, the first published goes first.
        heapq.heappush(self._heap, (due_ms, stretch.ids.start, stretch))
        self._resident_octets += stretch.resident_octets()

    # What leaves memory

    def resident_octets(self) -> int:
        """As ``ClassicQueue.resident_octets``."""
        return self._resident_octets

    def page_out(self, residency: Residency, octets: int) -> int:
        """Let about ``octets`` leave memory, of what is not due soon; return how many did."""
        store = residency.store
        assert store is not None
        soon_ms = self.context.clock.monotonic_ms() + 2 * LEAD_MS
        heap, paged_octets = self._heap, 0
        leaving: list[tuple[int, int, Stretch]] = []
        staying: list[tuple[int, int, Stretch]] = []
        while heap and paged_octets < octets:
            entry = heap.pop()  # The last of a heap may go, and it is one.
            due_ms, _, stretch = entry
            if due_ms <= soon_ms or (is_in_log(self, stretch) and stretch.ids[-1] >= store.durable_message_id):
                staying.append(entry)
            else:
                leaving.append(entry)
                paged_octets += stretch.resident_octets()
        for entry in staying:
            heapq.heappush(heap, entry)
        self._resident_octets -= paged_octets
        self._park(sorted(leaving, key=_key), residency)
        self._arm()
        return paged_octets

    def _park(self, entries: list[tuple[int, int, Stretch]], residency: Residency) -> None:
        filler = PageFiller(residency, PAGE_OCTETS)
        dues: dict[Page | None, list[Due]] = {}
        octets: dict[Page | None, int] = {}
        for due_ms, _, stretch in entries:
            page = None if is_in_log(self, stretch) else filler.add(stretch)
            dues.setdefault(page, []).append(Due(due_ms, stretch.ids))
            octets[page] = octets.get(page, 0) + stretch.resident_octets()
        filler.finish()
        for page, those in dues.items():
            self._parked.put(page, those, octets[page])

    def _came_back(self, found: list[tuple[int, Stretch]], lost_count: int) -> None:
        """Messages that are due soon are in memory again."""
        for due_ms, stretch in found:
            # Neighbours of one run were joined; where their headers differ, each goes on by itself.
            alone = 1 if not stretch.shape.lead else len(stretch.pieces)
            for place in range(0, len(stretch.pieces), alone):
                self._keep(due_ms, stretch.part(place, place + alone))
            self.context.residency.arrived_octets += stretch.resident_octets()
        if lost_count:
            self.lost(lost_count)
        self._arm()

    # What is due

    def _arm(self) -> None:
        heap, parked = self._heap, self._parked
        due_ms: int | None = None
        key = parked.first_key
        if key is not None and not parked.is_fetching:
            due_ms = key[0] - LEAD_MS
            if due_ms <= self.context.clock.monotonic_ms():
                due_ms = None
                is_room = self._resident_octets < self.context.residency.head_octets
                if is_room or key < heap[0][:2]:
                    parked.fetch()
                    if not parked.is_fetching:
                        return  # It was in memory still, and has called this.
        if heap and (key is None or heap[0][:2] < key):
            due_ms = heap[0][0] if due_ms is None else min(due_ms, heap[0][0])
        if due_ms is None:
            return  # What is being read goes first; this is called again when that is there.
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
                parked = self._parked.first_key
                if parked is not None and parked < heap[0][:2]:
                    break  # It goes first, and is being read.
                due_ms, _, stretch = heapq.heappop(heap)
                self._resident_octets -= stretch.resident_octets()
                if len(stretch.pieces) > left:
                    rest = stretch.part(left, len(stretch.pieces))
                    self._keep(due_ms, rest)
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


def _key(entry: tuple[int, int, Stretch]) -> tuple[int, int]:
    return entry[:2]


def _headers_of(stretch: Stretch) -> FieldTable:
    return decode_headers(stretch.shape.header_payload(stretch.pieces[0]))
