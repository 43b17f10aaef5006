"""Consumer timeout: a delivery that is not settled for too long closes its channel.

Messages carry no time for it. While some queue has a timeout, a sweep notes now and then how far each channel's
delivery tags have come; a tag below a mark was given out before it. So a channel is closed late by a part of the
timeout, and never early. RabbitMQ: Consumers, "Delivery Acknowledgement Timeout".
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from broker.core.clock import Clock, Timer
from broker.core.queues.classic import ClassicQueue
from protocol.errors import PreconditionFailed

if TYPE_CHECKING:
    from broker.server.channel import Channel
    from broker.server.connection import Connection

SWEEPS_A_TIMEOUT: Final = 8
SHORTEST_SWEEP_MS: Final = 100
LONGEST_SWEEP_MS: Final = 60_000
"""How often a sweep comes, at most and at least. RabbitMQ's comes once a minute."""
MARKS_KEPT: Final = 256


class Mark(NamedTuple):
    """At ``at_ms`` the channel had given out all tags below ``next_tag``."""

    at_ms: int
    next_tag: int


class ConsumerTimeouts:
    """Watches the channels of ``connections``. ``default_ms`` holds for queues without a timeout; 0 is none."""

    __slots__ = ("_clock", "_connections", "_default_ms", "_longest_ms", "_marks", "_shortest_ms", "_timer")

    def __init__(self, connections: "Iterable[Connection]", clock: Clock, default_ms: int) -> None:
        self._connections = connections
        self._clock = clock
        self._default_ms = default_ms
        self._shortest_ms = self._longest_ms = 0
        self._marks: dict[Channel, list[Mark]] = {}
        self._timer: Timer | None = None
        if default_ms:
            self.watch(default_ms)

    def watch(self, timeout_ms: int) -> None:
        """See to it that a timeout of this length, of some queue, is kept from now on."""
        self._longest_ms = max(self._longest_ms, timeout_ms)
        if self._timer is None or timeout_ms < self._shortest_ms:
            self._shortest_ms = timeout_ms
            self._await_sweep()

    def _sweep(self) -> None:
        """Mark where all channels are, and close those that hold a delivery for too long."""
        now_ms = self._clock.monotonic_ms()
        before, self._marks = self._marks, {}
        overdue: list[tuple[Channel, int]] = []
        for connection in self._connections:
            for channel in connection.channels.values():
                if channel.unacked.count and not channel.is_closing:
                    marks = self._marks[channel] = self._marked(before.get(channel, []), now_ms, channel.next_tag)
                    timeout_ms = self._timeout_of_overdue(channel, marks, now_ms)
                    if timeout_ms:
                        overdue.append((channel, timeout_ms))
        for channel, timeout_ms in overdue:
            del self._marks[channel]
            channel.connection.fail_channel(channel, _timed_out(channel.number, timeout_ms))
        self._await_sweep()

    def _await_sweep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        interval_ms = min(max(self._shortest_ms // SWEEPS_A_TIMEOUT, SHORTEST_SWEEP_MS), LONGEST_SWEEP_MS)
        self._timer = self._clock.call_at(self._clock.monotonic_ms() + interval_ms, self._sweep)

    def _marked(self, marks: list[Mark], now_ms: int, next_tag: int) -> list[Mark]:
        """Return ``marks`` with one more, without those that no timeout asks for."""
        if not marks or marks[-1].next_tag != next_tag:
            marks.append(Mark(now_ms, next_tag))
        while len(marks) > 1 and marks[1].at_ms <= now_ms - self._longest_ms:
            del marks[0]
        if len(marks) > MARKS_KEPT:
            # With fewer marks a timeout is noticed later, never earlier.
            del marks[0 : len(marks) // 2 : 2]
        return marks

    def _timeout_of_overdue(self, channel: "Channel", marks: list[Mark], now_ms: int) -> int:
        """Return the timeout in milliseconds that a delivery of ``channel`` is past, 0 for none."""
        newest_tag = _tag_before(marks, now_ms - self._shortest_ms)
        for delivery in channel.unacked.open():
            if delivery.first_tag >= newest_tag:
                break
            timeout_ms = self._timeout_of(delivery.queue)
            if timeout_ms and delivery.first_tag < _tag_before(marks, now_ms - timeout_ms):
                return timeout_ms
        return 0

    def _timeout_of(self, queue: ClassicQueue) -> int:
        """Return a queue's timeout in milliseconds, 0 for none."""
        own_ms = queue.rules.consumer_timeout_ms
        return self._default_ms if own_ms is None else own_ms


def _tag_before(marks: list[Mark], at_ms: int) -> int:
    """Return the tag below which all had been given out by ``at_ms``."""
    return next((mark.next_tag for mark in reversed(marks) if mark.at_ms <= at_ms), 0)


def _timed_out(channel: int, timeout_ms: int) -> PreconditionFailed:
    return PreconditionFailed(
        f"delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout_ms} ms. "
        "This timeout value can be configured, see consumers doc guide to learn more"
    )
