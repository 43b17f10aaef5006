"""All that one command has measured, as it stands in the JSON."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal

from bench.comparison import Broker, Row
from bench.machine import machine_text
from bench.probes import ProbeRow
from bench.series import SeriesRow
from bench.startup import StartUp


@dataclass(slots=True)
class Comparison:
    """All that one command measured."""

    brokers: list[Broker]
    machine: dict[str, str | int]
    window_s: float
    note: str = ""
    round_count: int = 1
    date: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")
    rows: list[Row] = field(default_factory=list)
    probes: list[ProbeRow] = field(default_factory=list)
    series: list[SeriesRow] = field(default_factory=list)
    starts: list[list[StartUp]] = field(default_factory=list)
    """For each broker with a start command, in order, round by round."""
    start_failures: list[str] = field(default_factory=list)

    @property
    def has_failures(self) -> bool:
        """Some round has no figure."""
        failures = [row.failures for row in self.rows]
        failures += [row.failures for row in self.probes]
        failures += [row.failures for row in self.series]
        return any([*failures, self.start_failures])

    def start_ratios(self, which: Literal["answered_s", "idle_octets"]) -> list[float]:
        """How many times less it was with the first of two brokers started, round by round."""
        if len(self.starts) != 2:
            return []
        return [getattr(theirs, which) / getattr(ours, which) for ours, theirs in zip(*self.starts, strict=False)]

    def machine_text(self) -> str:
        """The machine in one line."""
        return machine_text(self.machine)

    def as_json(self) -> dict[str, object]:
        """Plain values: every round as measured, medians and ratios beside them."""
        return {
            "machine": self.machine,
            "date": self.date,
            "window_s": self.window_s,
            "round_count": self.round_count,
            "note": self.note,
            "brokers": [{"process": broker.process, "claim": broker.claim} for broker in self.brokers],
            "workloads": [self._row_json(row) for row in self.rows],
            "probes": [self._probe_json(row) for row in self.probes],
            "series": [self._series_json(row) for row in self.series],
            "starts": [[asdict(start) for start in starts] for starts in self.starts],
            "start_failures": self.start_failures,
        }

    def _row_json(self, row: Row) -> dict[str, object]:
        every = range(len(self.brokers))
        return {
            "name": row.workload.name,
            "title": row.workload.title,
            "messages_per_s": [row.rate(broker) for broker in every],
            "broker_cpu_us": [row.cpu_us(broker) for broker in every],
            "disturbed": [row.is_disturbed(broker) for broker in every],
            "limited_by_generator": [row.is_limited_by_generator(broker) for broker in every],
            "rate_ratios": row.rate_ratios(),
            "cpu_ratios": row.cpu_ratios(),
            "rounds": [[asdict(result) if result else None for result in results] for results in row.results],
            "failures": row.failures,
        }

    def _probe_json(self, row: ProbeRow) -> dict[str, object]:
        return {
            "name": row.probe.name,
            "title": row.probe.title,
            "times_better": {name: row.ratios(name) for name in row.names()},
            "rounds": [
                [None if figures is None else [asdict(figure) for figure in figures] for figures in results]
                for results in row.results
            ],
            "failures": row.failures,
        }

    def _series_json(self, row: SeriesRow) -> dict[str, object]:
        return {
            "name": row.series.name,
            "title": row.series.title,
            "points": [[asdict(point) for point in points] for points in row.points],
            "left_out": row.left_out,
            "failures": row.failures,
        }
