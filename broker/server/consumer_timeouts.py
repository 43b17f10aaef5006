"""Consumer timeout: a delivery that is not settled for too long closes its channel.

Messages carry no time for it. While some queue has a timeout, it is noted at the end of each read how far the tags of
deliveries have come on the channels that were sent something; a tag below a mark was given out before it. A sweep now
and then looks for what is due before the next one, which comes in time for it. So a channel is closed some milliseconds
late, and never early. RabbitMQ: Consumers, "Delivery Acknowledgement Timeout".
"""

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from broker.core.clock import Clock, Timer
from broker.core.queues.classic import ClassicQueue
from protocol.errors import PreconditionFailed

if TYPE_CHECKING:
    from broker.server.channel import Channel
    from broker.server.connection import Connection
    from broker.server.peer import Peer

SWEEPS_A_TIMEOUT: Final = 8
SHORTEST_SWEEP_MS: Final = 10
LONGEST_SWEEP_MS: Final = 60_000
"""How often a sweep comes that nothing is known to be due for, at most and at least. RabbitMQ's come once a minute."""
SOONEST_MS: Final = 5
"""From a sweep to the next one, at the least."""
MARKS_KEPT: Final = 512
"""Of a channel. With fewer marks than reads a timeout is noticed later, never earlier."""
LOOKED_AT: Final = 16
"""How many marks a channel gets before those of deliveries that are settled are dropped."""
CHANNELS_KEPT: Final = 1024
"""So many more than before may have marks before those that have closed are looked for."""


class Mark(NamedTuple):
    """At ``at_ms`` the channel had given out all tags below ``next_tag``."""

    at_ms: int
    next_tag: int


_next_tag = attrgetter("next_tag")


class ConsumerTimeouts:
    """Watches the channels of ``connections``. ``default_ms`` holds for queues without a timeout; 0 is none.

    While it ``is_watching``, ``note`` is to be told who was sent something.
    """

    __slots__ = (
        "_channels_limit",
        "_clock",
        "_connections",
        "_default_ms",
        "_marks",
        "_shortest_ms",
        "_timer",
        "is_watching",
    )

    def __init__(self, connections: "Iterable[Connection]", clock: Clock, default_ms: int) -> None:
        self._connections = connections
        self._clock = clock
        self._default_ms = default_ms
        self._shortest_ms = 0
        self._marks: dict[Channel, list[Mark]] = {}
        self._channels_limit = CHANNELS_KEPT
        self._timer: Timer | None = None
        self.is_watching = False
        if default_ms:
            self.watch(default_ms)

    def watch(self, timeout_ms: int) -> None:
        """See to it that a timeout of this length, of some queue, is kept from now on."""
        if not self.is_watching:
            self.is_watching = True
            self.note(self._connections)
        if self._timer is None or timeout_ms < self._shortest_ms:
            self._shortest_ms = timeout_ms
            self._await_sweep(None)

    def note(self, connections: "Iterable[Peer]") -> None:
        """Mark how far the channels of ``connections`` have come."""
        now_ms, marks_of = self._clock.monotonic_ms(), self._marks
        for connection in connections:
            for channel in connection.channels.values():
                if channel.unacked.count and not channel.is_closing:
                    marks = marks_of.get(channel)
                    if marks is None:
                        marks = marks_of[channel] = []
                    if not marks or marks[-1].next_tag != channel.next_tag:
                        self._mark(channel, marks, now_ms)
        if len(marks_of) > self._channels_limit:
            self._marks = {channel: marks for channel, marks in marks_of.items() if not channel.is_closing}
            self._channels_limit = 2 * len(self._marks) + CHANNELS_KEPT

    def _mark(self, channel: "Channel", marks: list[Mark], now_ms: int) -> None:
        if marks and marks[-1].at_ms == now_ms:
            marks.pop()
        marks.append(Mark(now_ms, channel.next_tag))
        if len(marks) > MARKS_KEPT:
            _drop_unneeded(channel, marks)
            if len(marks) > MARKS_KEPT // 2:
                # Not the first one, which the oldest delivery has.
                del marks[1 : len(marks) // 2 : 2]
        elif len(marks) % LOOKED_AT == 0:
            _drop_settled(channel, marks)

    def _sweep(self) -> None:
        """Close the channels that hold a delivery for too long, and find out when the next is due."""
        now_ms = self._clock.monotonic_ms()
        before, self._marks = self._marks, {}
        overdue: list[tuple[Channel, int]] = []
        next_due_ms: int | None = None
        for connection in self._connections:
            for channel in connection.channels.values():
                if not channel.unacked.count or channel.is_closing:
                    continue
                marks = before.get(channel, [])
                if not marks or marks[-1].next_tag != channel.next_tag:
                    marks.append(Mark(now_ms, channel.next_tag))
                _drop_settled(channel, marks)
                self._marks[channel] = marks
                due_ms, timeout_ms = self._first_due(channel, marks, now_ms)
                if due_ms is None:
                    continue
                if due_ms <= now_ms:
                    overdue.append((channel, timeout_ms))
                elif next_due_ms is None or due_ms < next_due_ms:
                    next_due_ms = due_ms
        for channel, timeout_ms in overdue:
            del self._marks[channel]
            channel.connection.fail_channel(channel, _timed_out(channel.number, timeout_ms))
        self._await_sweep(next_due_ms)

    def _interval_ms(self) -> int:
        return min(max(self._shortest_ms // SWEEPS_A_TIMEOUT, SHORTEST_SWEEP_MS), LONGEST_SWEEP_MS)

    def _await_sweep(self, next_due_ms: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now_ms = self._clock.monotonic_ms()
        at_ms = now_ms + self._interval_ms()
        if next_due_ms is not None:
            at_ms = min(at_ms, max(next_due_ms, now_ms + SOONEST_MS))
        self._timer = self._clock.call_at(at_ms, self._sweep)

    def _first_due(self, channel: "Channel", marks: list[Mark], now_ms: int) -> tuple[int | None, int]:
        """Return when the first of a channel's open deliveries is past its timeout, and the timeout; None if that is
        not before the next sweep.
        """
        first_due_ms: int | None = None
        its_timeout_ms = place = 0
        latest_ms = now_ms + self._interval_ms()
        for delivery in channel.unacked.open():
            place = bisect_right(marks, delivery.first_tag, place, key=_next_tag)
            if place == len(marks):
                break  # It cannot be: the last mark is above all.
            given_ms = marks[place].at_ms
            # Those behind it were given out at the same time or later.
            if given_ms + self._shortest_ms >= (latest_ms if first_due_ms is None else first_due_ms):
                break
            timeout_ms = self._timeout_of(delivery.queue)
            if timeout_ms and (first_due_ms is None or given_ms + timeout_ms < first_due_ms):
                first_due_ms, its_timeout_ms = given_ms + timeout_ms + 1, timeout_ms
        return first_due_ms, its_timeout_ms

    def _timeout_of(self, queue: ClassicQueue) -> int:
        """Return a queue's timeout in milliseconds, 0 for none."""
        own_ms = queue.rules.consumer_timeout_ms
        return self._default_ms if own_ms is None else own_ms


def _drop_settled(channel: "Channel", marks: list[Mark]) -> None:
    """Forget marks below the oldest open delivery; there must be one."""
    oldest = next(channel.unacked.open())
    del marks[: bisect_right(marks, oldest.first_tag, key=_next_tag)]


def _drop_unneeded(channel: "Channel", marks: list[Mark]) -> None:
    """Forget marks that no open delivery has, as far as that is soon found out."""
    kept: list[Mark] = []
    place = done = 0
    for delivery in channel.unacked.open():
        place = bisect_right(marks, delivery.first_tag, place, key=_next_tag)
        stop = bisect_right(marks, delivery.stop_tag - 1, place, key=_next_tag)
        kept += marks[max(place, done) : stop + 1]
        place, done = stop, stop + 1
        if len(kept) > MARKS_KEPT // 2:
            break
    else:
        done = max(done, len(marks) - 1)
    marks[:] = kept + marks[done:]


def _timed_out(channel: int, timeout_ms: int) -> PreconditionFailed:
    return PreconditionFailed(
        f"delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout_ms} ms. "
        "This timeout value can be configured, see consumers doc guide to learn more"
    )
