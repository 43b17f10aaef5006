"""Series: the same load while one thing grows, to see that the work for each message does not.

The figure is the broker's processor time a message; the rate depends on what the generator must do, too. No two
neighbouring messages are equal (each has a message-id), so that the smallest size is not favoured by runs of
equal messages that the larger ones cannot have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.client import Address, BrokerRefused
from bench.comparison import Broker
from bench.figures import Effort
from bench.growing import GrowingBindings, GrowingConsumers, GrowingIdle, GrowingPriorities, GrowingQueues
from bench.piles import measure_piles
from bench.rounds import RoundFailed, run_round
from bench.workloads import Workload


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
    """``points[b]`` are those of broker b, by growing size; a size that failed, or was left out, is missing."""

    series: Series
    points: list[list[Point]]
    failures: list[str] = field(default_factory=list)
    left_out: list[list[int]] = field(default_factory=list)
    """The sizes that were not asked of broker b, but of another."""

    def point(self, broker: int, size: int) -> Point | None:
        """One of them."""
        return next((point for point in self.points[broker] if point.size == size), None)

    def growth(self, broker: int, size: int) -> float | None:
        """Processor time a message at ``size`` over the least at this and all smaller sizes."""
        point, smallest = self.point(broker, size), self.point(broker, self.series.sizes[0])
        if point is None or smallest is None or not point.broker_cpu_us or not smallest.broker_cpu_us:
            return None
        known = [each.broker_cpu_us for each in self.points[broker] if each.size <= size and each.broker_cpu_us]
        return point.broker_cpu_us / min(known)

    def is_left_out(self, broker: int, size: int) -> bool:
        """Whether the size was not asked of this broker, but of another."""
        return bool(self.left_out) and size in self.left_out[broker]


def _measure_growing(
    make: Callable[[int], Workload],
) -> Callable[[Address, int, Effort], Point]:
    def measure(address: Address, size: int, effort: Effort) -> Point:
        result = run_round(address, make(size), window_s=effort.window_s, warm_up_s=effort.warm_up_s)
        return Point(
            size, result.messages_per_s, result.broker_cpu_us, result.is_disturbed, result.is_limited_by_generator
        )

    return measure


def _measure_backlog(address: Address, size: int, effort: Effort) -> Point:
    """Publishing and draining together."""
    piles = measure_piles(address, size, effort.window_s)
    load, count = piles.load, piles.message_count
    cpu_us = None if load.broker_cpu_s is None else load.broker_cpu_s / count * 1e6
    return Point(size, count / piles.lasted_s, cpu_us, load.is_disturbed, load.is_limited_by_generator)


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
            "idle",
            "idle queues beside one in use",
            (1, 100, 10_000),
            _measure_growing(lambda size: GrowingIdle(name="idle", title="", size=size)),
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
        Series("backlog", "messages waiting", (10, 1000, 100_000, 1_000_000, 10_000_000), _measure_backlog),
    )
}


def measure_series(
    brokers: list[Broker], series: Series, *, largest: Sequence[int], effort: Effort, report: Callable[[str], None]
) -> SeriesRow:
    """Each size against each broker in turn, none over ``largest`` of that broker.

    A size that fails is kept in ``failures``; the others go on.
    """
    row = SeriesRow(series, [[] for _ in brokers], left_out=[[] for _ in brokers])
    for size in series.sizes:
        if size > max(largest):
            continue
        for broker, points, left_out, limit in zip(brokers, row.points, row.left_out, largest, strict=True):
            if size > limit:
                left_out.append(size)
                continue
            report(f"{series.name}: {size:,}, {broker}")
            try:
                points.append(series.measure(broker.address, size, effort))
            except (RoundFailed, BrokerRefused, OSError) as error:
                row.failures.append(f"{size:,}, {broker}: {type(error).__name__}: {error}")
    return row
