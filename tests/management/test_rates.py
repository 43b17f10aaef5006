"""Rates come from samples, which are taken only while somebody asks."""

from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any, cast

from broker.management.rates import KEPT_MS, SAMPLE_MS, Rates
from broker.server.broker import Broker
from broker.server.clock import ManualClock


class Counters:
    """Counts that the test sets; ``asked`` is how often they were brought up to date."""

    def __init__(self) -> None:
        self.values: dict[Hashable, tuple[int, ...]] = {"queue": (0, 10)}
        self.asked = 0

    def gather(self, broker: object) -> None:
        self.asked += 1

    def samples(self, broker: object) -> dict[Hashable, tuple[int, ...]]:
        return dict(self.values)


def new_rates() -> tuple[Rates, Counters, ManualClock]:
    counters, clock = Counters(), ManualClock()
    broker: Any = SimpleNamespace(clock=clock, counters=counters)
    return Rates(cast(Broker, broker)), counters, clock


def test_rate_is_what_came_between_two_samples() -> None:
    rates, counters, clock = new_rates()
    rates.ask()
    assert rates.of("queue", 0) == 0.0
    counters.values = {"queue": (50, 5), "new": (7, 7)}
    clock.advance(SAMPLE_MS)
    assert (rates.of("queue", 0), rates.of("queue", 1)) == (10.0, -1.0)
    assert rates.of("new", 0) == 0.0
    clock.advance(SAMPLE_MS)
    assert rates.of("queue", 0) == 0.0


def test_what_nothing_happens_to_is_idle_since_the_first_sample_of_it() -> None:
    rates, counters, clock = new_rates()
    began_ms = clock.wall_ms()
    rates.ask()
    assert rates.idle_since("queue", (0, 10)) is None
    clock.advance(2 * SAMPLE_MS)
    assert rates.idle_since("queue", (0, 10)) == began_ms
    assert rates.idle_since("queue", (1, 10)) is None, "something has happened since"
    counters.values = {"queue": (1, 10)}
    clock.advance(SAMPLE_MS)
    assert rates.idle_since("queue", (1, 10)) is None
    clock.advance(SAMPLE_MS)
    assert rates.idle_since("queue", (1, 10)) == began_ms + 3 * SAMPLE_MS
    clock.advance(KEPT_MS + 2 * SAMPLE_MS)
    assert rates.idle_since("queue", (1, 10)) is None, "nobody has looked"


def test_nothing_is_sampled_once_nobody_asks() -> None:
    rates, counters, clock = new_rates()
    rates.ask()
    clock.advance(KEPT_MS + 2 * SAMPLE_MS)
    asked = counters.asked
    clock.advance(10 * SAMPLE_MS)
    assert (counters.asked, clock.timer_count) == (asked, 0)
    rates.ask()
    assert clock.timer_count == 1
