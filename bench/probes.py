"""All probes by name, and their rounds against one broker or several in turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from bench.backlog import measure_backlog
from bench.client import BrokerRefused
from bench.comparison import Broker
from bench.connections import measure_churn, measure_idle
from bench.figures import Effort, Figure, Probe
from bench.healthy import measure_healthy
from bench.latency import measure_latency
from bench.libraries import measure_libraries
from bench.rounds import RoundFailed
from bench.roundtrip import measure_round_trips
from bench.topology import measure_declares

LIBRARIES_NAME: Final = "Y"
PROBES: Final = {
    probe.name: probe
    for probe in (
        Probe("R", "RPC round trip by direct reply-to, 16 B", measure_round_trips),
        Probe("L", "persistent messages at 5,000/s, confirms + acks, 1 KiB", measure_latency),
        Probe("N", "backlog, transient, 128 B", measure_backlog),
        Probe("K", "connections with a channel, 4 clients", measure_churn),
        Probe("Q", "durable queues", measure_declares),
        Probe("H", "healthy client, confirmed round trips, 128 B", measure_healthy),
        Probe("I", "idle connections with a channel", measure_idle),
        Probe(LIBRARIES_NAME, "real clients, 128 B, acks", measure_libraries),
    )
}


@dataclass(slots=True)
class ProbeRow:
    """All rounds of one probe: ``results[b][r]`` are the figures of round r against broker b; None: it failed."""

    probe: Probe
    results: list[list[list[Figure] | None]]
    failures: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """The figures' names in order, of whichever broker has the most."""
        known = [[figure.name for figure in figures] for rounds in self.results for figures in rounds if figures]
        return max(known, key=len, default=[])

    def of(self, broker: int, name: str) -> list[Figure | None]:
        """One figure, round by round."""
        return [
            next((figure for figure in figures or () if figure.name == name), None) for figures in self.results[broker]
        ]

    def median(self, broker: int, name: str) -> float | None:
        """Of the rounds that have it."""
        values = [figure.value for figure in self.of(broker, name) if figure is not None]
        return median(values) if values else None

    def ratios(self, name: str) -> list[float]:
        """How many times better broker 0 is than broker 1, round by round; none unless there are two."""
        if len(self.results) != 2:
            return []
        pairs = zip(self.of(0, name), self.of(1, name), strict=True)
        return [
            a.value / b.value if a.better == "more" else b.value / a.value
            for a, b in pairs
            if a is not None and b is not None and a.value > 0 and b.value > 0
        ]


def measure_probe(
    brokers: list[Broker], probe: Probe, *, round_count: int, effort: Effort, report: Callable[[str], None]
) -> ProbeRow:
    """Run the rounds in turn. A round that fails is reported and kept in ``failures``; the others go on."""
    row = ProbeRow(probe, [[] for _ in brokers])
    for number in range(round_count):
        for broker, results in zip(brokers, row.results, strict=True):
            report(f"{probe.name}: round {number + 1} of {round_count}, {broker}")
            try:
                results.append(probe.measure(broker.address, effort))
            except (RoundFailed, BrokerRefused, OSError) as error:
                results.append(None)
                row.failures.append(f"{broker}: {type(error).__name__}: {error}")
    return row
