"""Rates: how fast counters grow, from samples that are taken while somebody asks for them.

The first to ask sets the sampler going; it stops when nobody has asked for a while, so that a broker that is not
looked at does nothing. What is counted is the server's (counters.py). RabbitMQ: Management Plugin, "Sampling".
"""

from collections.abc import Hashable
from typing import Final

from broker.server.broker import Broker
from broker.server.clock import Timer

SAMPLE_MS: Final = 5000
KEPT_MS: Final = 60_000
"""Sampling goes on for this long after the last question."""

Values = tuple[int, ...]


class Rates:
    """Rates by the object that was counted: queues, exchanges, channels, connections, virtual hosts, the node."""

    __slots__ = ("_asked_ms", "_before", "_before_ms", "_broker", "_idle", "_rates", "_timer")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._before: dict[Hashable, Values] = {}
        self._before_ms = 0
        self._rates: dict[Hashable, tuple[float, ...]] = {}
        self._idle: dict[Hashable, int] = {}
        self._timer: Timer | None = None
        self._asked_ms = 0

    def ask(self) -> None:
        """Bring the counters up to date, and begin to sample if nobody has asked for a while."""
        self._broker.counters.gather(self._broker)
        self._asked_ms = self._broker.clock.monotonic_ms()
        if self._timer is None:
            self._before.clear()
            self._rates.clear()
            self._idle.clear()
            self._before = self._broker.counters.samples(self._broker)
            self._before_ms = self._asked_ms
            self._timer = self._broker.clock.call_later(SAMPLE_MS, self._sample)

    def of(self, counted: Hashable, place: int) -> float:
        """Return the rate, per second, of the value at ``place`` of a sample; 0.0 where there is none yet."""
        rates = self._rates.get(counted)
        return rates[place] if rates is not None else 0.0

    def idle_since(self, counted: Hashable, values: Values) -> int | None:
        """Return since when (wall, milliseconds) nothing has happened to what is at ``values`` now; or even longer.

        None where something has happened since the last sample, or nobody has looked before.
        """
        return self._idle.get(counted) if self._before.get(counted) == values else None

    def _sample(self) -> None:
        self._timer = None
        now_ms = self._broker.clock.monotonic_ms()
        if now_ms - self._asked_ms > KEPT_MS:
            self._before.clear()
            self._rates.clear()
            self._idle.clear()
            return
        self._broker.counters.gather(self._broker)
        samples = self._broker.counters.samples(self._broker)
        seconds = max(1, now_ms - self._before_ms) / 1000
        before, idle = self._before, self._idle
        before_wall_ms = self._broker.clock.wall_ms() - (now_ms - self._before_ms)
        self._idle = {
            counted: idle.get(counted, before_wall_ms)
            for counted, values in samples.items()
            if before.get(counted) == values
        }
        self._rates = {
            counted: tuple(round((now - then) / seconds, 3) for now, then in zip(values, before[counted], strict=True))
            for counted, values in samples.items()
            if counted in before
        }
        self._before, self._before_ms = samples, now_ms
        self._timer = self._broker.clock.call_later(SAMPLE_MS, self._sample)
