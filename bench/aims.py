"""What Leveret is to reach beside RabbitMQ 3.10.8 in the same run, and whether it did."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.comparison import Row
from bench.peers import known_peers
from bench.report import Comparison

MESSAGES_AND_CPU: Final = {
    "A": (15, 26),
    "B": (12, 32),
    "C": (6.5, 10),
    "D": (14, 22),
    "E": (10, 30),
    "F": (15, 25),
    "G": (11, 15),
    "V": (9, 15),
    "W": (5.5, 8),
}
"""Of each workload: times the messages a second (where the generator is not the limit), times less processor time."""

TIMES_BETTER: Final = (
    ("R", "round trip, p50", 2),
    ("L", "confirmed, p50", 1),
    ("L", "confirmed, p99", 1),
    ("K", "opened and closed", 5),
)
IDLE_CONNECTION: Final = ("I", "memory of each", 40)
"""Probe, how the figure's name begins, KiB at most."""
START_TIMES: Final = 15
IDLE_MEMORY_TIMES: Final = 2
GROWTH_MOST: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One aim."""

    what: str
    wanted: str
    reached: str
    is_met: bool
    is_generators: bool = False
    """The generator was the limit, so the figure says nothing of the broker."""

    @property
    def verdict(self) -> str:
        """In a word."""
        return "yes" if self.is_met else "generator's limit" if self.is_generators else "no"


def outcomes(comparison: Comparison) -> list[Outcome]:
    """Those of which there are figures; none unless Leveret and RabbitMQ were started for it, in this order."""
    if tuple(broker.process for broker in comparison.brokers) != known_peers():
        return []
    return [*_of_workloads(comparison), *_of_probes(comparison), *_of_starts(comparison), *_of_series(comparison)]


def _at_least(what: str, wanted: float, ratios: list[float], *, is_limited: bool = False) -> Iterator[Outcome]:
    if ratios:
        reached = median(ratios)
        yield Outcome(
            what=what,
            wanted=f"{wanted:g} times",
            reached=f"{reached:.1f}",
            is_met=reached >= wanted,
            is_generators=is_limited,
        )


def _of_workloads(comparison: Comparison) -> Iterator[Outcome]:
    rows: dict[str, Row] = {row.workload.name: row for row in comparison.rows}
    for name, (messages, cpu) in MESSAGES_AND_CPU.items():
        if row := rows.get(name):
            yield from _at_least(
                f"{name} messages a second", messages, row.rate_ratios(), is_limited=row.is_limited_by_generator(0)
            )
            yield from _at_least(f"{name} less CPU a message", cpu, row.cpu_ratios())


def _of_probes(comparison: Comparison) -> Iterator[Outcome]:
    rows = {row.probe.name: row for row in comparison.probes}
    for probe, figure, times in TIMES_BETTER:
        if row := rows.get(probe):
            yield from _at_least(f"{probe} {figure}", times, row.ratios(figure))
    probe, begin, most_kib = IDLE_CONNECTION
    if row := rows.get(probe):
        for name in row.names():
            value = row.median(0, name)
            if name.startswith(begin) and value is not None:
                yield Outcome(
                    what=f"{probe} {name}",
                    wanted=f"{most_kib} KiB at most",
                    reached=f"{value:.1f}",
                    is_met=value <= most_kib,
                )


def _of_starts(comparison: Comparison) -> Iterator[Outcome]:
    yield from _at_least("S first answer", START_TIMES, comparison.start_ratios("answered_s"))
    yield from _at_least("S idle memory", IDLE_MEMORY_TIMES, comparison.start_ratios("idle_octets"))


def _of_series(comparison: Comparison) -> Iterator[Outcome]:
    """The most that a size costs over any smaller one."""
    for row in comparison.series:
        known = [(growth, size) for size in row.series.sizes if (growth := row.growth(0, size)) is not None]
        if known:
            growth, size = max(known)
            yield Outcome(
                what=f"growth, {row.series.title}",
                wanted=f"{GROWTH_MOST} at most",
                reached=f"{growth:.1f} ({size:,})",
                is_met=growth <= GROWTH_MOST,
            )
