"""Series: the same load while one thing grows, to see that the work for each message does not.

The figure is the broker's processor time a message; the rate depends on what the generator must do, too. No two
neighbouring messages are equal (each has a message-id), so that the smallest size is not favoured by runs of
equal messages that the larger ones cannot have.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bench.backlog import measure_backlog
from bench.client import Address, BrokerRefused
from bench.comparison import Broker
from bench.figures import Effort
from bench.growing import GrowingBindings, GrowingConsumers, GrowingPriorities, GrowingQueues
from bench.rounds import RoundFailed, run_round

BACKLOG_TOTAL = 200_000
"""A small backlog is piled up and drained again and again until so many messages have passed."""


@dataclass(frozen=True, slots=True)
class Point:
    """One size."""

    size: int
    messages_per_s: float
    broker_cpu_us: float | None
    is_disturbed: bool
    is_limited_by_generator: bool


@dataclass(frozen=True, slots=True)
class Series:
    """What grows. ``measure`` raises RoundFailed, BrokerRefused, OSError."""

    name: str
    title: str
    sizes: tuple[int, ...]
    measure: Callable[[Address, int, Effort], Point]


@dataclass(slots=True)
class SeriesRow:
    """``points[b]`` are those of broker b, by growing size; a size that failed is missing."""

    series: Series
    points: list[list[Point]]
    failures: list[str] = field(default_factory=list)

    def point(self, broker: int, size: int) -> Point | None:
        """One of them."""
        return next((point for point in self.points[broker] if point.size == size), None)

    def growth(self, broker: int, size: int) -> float | None:
        """Processor time a message at ``size`` over that at the smallest size."""
        point, smallest = self.point(broker, size), self.point(broker, self.series.sizes[0])
        if point is None or smallest is None or not point.broker_cpu_us or not smallest.broker_cpu_us:
            return None
        return point.broker_cpu_us / smallest.broker_cpu_us


def _measure_growing(
    make: Callable[[int], GrowingQueues | GrowingConsumers | GrowingBindings | GrowingPriorities],
) -> Callable[[Address, int, Effort], Point]:
    def measure(address: Address, size: int, effort: Effort) -> Point:
        result = run_round(address, make(size), window_s=effort.window_s, warm_up_s=effort.warm_up_s)
        return Point(
            size, result.messages_per_s, result.broker_cpu_us, result.is_disturbed, result.is_limited_by_generator
        )

    return measure


def _measure_backlog(address: Address, size: int, effort: Effort) -> Point:
    """Publishing and draining together."""
    piles = [
        measure_backlog(address, Effort(backlog_count=size)) for _ in range(max(1, min(10, BACKLOG_TOTAL // size)))
    ]
    figures = [figure for pile in piles for figure in pile]
    seconds = sum(1 / figure.value for figure in figures if figure.unit == "/s") / len(piles)
    cpu_us = [figure.value for figure in figures if figure.unit == "us"]
    return Point(
        size,
        1 / seconds,
        sum(cpu_us) / len(piles) if cpu_us else None,
        any(figure.is_disturbed for figure in figures),
        any(figure.is_limited for figure in figures),
    )


SERIES: Final = {
    series.name: series
    for series in (
        Series(
            "queues",
            "queues, a consumer each",
            (1, 10, 100, 1000),
            _measure_growing(lambda size: GrowingQueues(name="queues", title="", size=size, queues=size)),
        ),
        Series(
            "consumers",
            "consumers on one queue",
            (1, 10, 100, 1000),
            _measure_growing(lambda size: GrowingConsumers(name="consumers", title="", size=size)),
        ),
        Series(
            "bindings",
            "topic bindings, keys that hardly repeat",
            (10, 100, 1000, 10_000, 100_000),
            _measure_growing(
                lambda size: GrowingBindings(
                    name="bindings", title="", size=size, queues=10, exchange_type="topic", waiting_limit=20_000
                )
            ),
        ),
        Series(
            "priorities",
            "priorities of a queue",
            (1, 10, 100, 255),
            _measure_growing(lambda size: GrowingPriorities(name="priorities", title="", size=size)),
        ),
        Series("backlog", "messages waiting", (10_000, 100_000, 1_000_000, 10_000_000), _measure_backlog),
    )
}


def measure_series(
    brokers: list[Broker], series: Series, *, largest: int, effort: Effort, report: Callable[[str], None]
) -> SeriesRow:
    """Each size against each broker in turn. A size that fails is kept in ``failures``; the others go on."""
    row = SeriesRow(series, [[] for _ in brokers])
    for size in series.sizes:
        if size > largest:
            continue
        for broker, points in zip(brokers, row.points, strict=True):
            report(f"{series.name}: {size:,}, {broker}")
            try:
                points.append(series.measure(broker.address, size, effort))
            except (RoundFailed, BrokerRefused, OSError) as error:
                row.failures.append(f"{size:,}, {broker}: {type(error).__name__}: {error}")
    return row
