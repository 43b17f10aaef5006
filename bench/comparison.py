"""Rounds of each workload against one broker or several in turn, and what they come to: medians and ratios.

Brokers take turns round by round (A B A B), so that what else the machine does meets all of them; ratios are
taken pair by pair, and the median of the ratios is given, not the ratio of the medians.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from bench import processes
from bench.client import Address, BrokerRefused, Client
from bench.rounds import Result, RoundFailed, run_round
from bench.workloads import Workload


@dataclass(frozen=True, slots=True)
class Broker:
    """One of the brokers measured."""

    address: Address
    process: str
    """Its name, or the command name of the process that listens; empty where /proc does not tell."""
    claim: str
    """What it says of itself in connection.start, which may be another broker's name to please clients."""

    @classmethod
    def ask(cls, address: Address, name: str = "") -> "Broker":
        """What can be known of the broker at ``address``; ``name`` if it is known already.

        Raises OSError, BrokerRefused.
        """
        client = Client(address)
        client.close()
        listener = processes.listening_process(address.port)
        return cls(address, name or (processes.command_name(listener) if listener else ""), client.claim)

    def __str__(self) -> str:
        return self.process or self.claim


@dataclass(slots=True)
class Row:
    """All rounds of one workload: ``results[b][r]`` is round r against broker b; None where it failed."""

    workload: Workload
    results: list[list[Result | None]]
    failures: list[str] = field(default_factory=list)

    def rate(self, broker: int) -> float | None:
        """Median deliveries a second."""
        return _median(result.messages_per_s for result in self._good(broker))

    def cpu_us(self, broker: int) -> float | None:
        """Median processor microseconds of the broker a delivery."""
        return _median(result.broker_cpu_us for result in self._good(broker))

    def share(self, broker: int, which: str) -> float | None:
        """Median of one of the shares: ``broker_cpu_share``, ``generator_cpu_share``, ``idle_share``, ..."""
        return _median(getattr(result, which) for result in self._good(broker))

    def is_limited_by_generator(self, broker: int) -> bool:
        """True when most rounds were."""
        limited = [result.is_limited_by_generator for result in self._good(broker)]
        return sum(limited) * 2 > len(limited)

    def is_disturbed(self, broker: int) -> bool:
        """True when most rounds were."""
        disturbed = [result.is_disturbed for result in self._good(broker)]
        return sum(disturbed) * 2 > len(disturbed)

    def rate_ratios(self) -> list[float]:
        """Broker 0's rate over broker 1's, round by round."""
        return [a.messages_per_s / b.messages_per_s for a, b in self._pairs()]

    def cpu_ratios(self) -> list[float]:
        """Broker 1's processor time a delivery over broker 0's, round by round: how many times less 0 takes."""
        return [b.broker_cpu_us / a.broker_cpu_us for a, b in self._pairs() if a.broker_cpu_us and b.broker_cpu_us]

    def _good(self, broker: int) -> list[Result]:
        return [result for result in self.results[broker] if result is not None]

    def _pairs(self) -> list[tuple[Result, Result]]:
        if len(self.results) != 2:
            return []
        return [(a, b) for a, b in zip(*self.results, strict=True) if a is not None and b is not None]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def measure_row(
    brokers: list[Broker],
    workload: Workload,
    *,
    round_count: int,
    window_s: float,
    warm_up_s: float,
    report: Callable[[str], None],
) -> Row:
    """Run the rounds in turn. A round that fails is reported and kept in ``failures``; the others go on."""
    row = Row(workload, [[] for _ in brokers])
    for number in range(round_count):
        for broker, results in zip(brokers, row.results, strict=True):
            report(f"{workload.name}: round {number + 1} of {round_count}, {broker}")
            try:
                results.append(run_round(broker.address, workload, window_s=window_s, warm_up_s=warm_up_s))
            except (RoundFailed, BrokerRefused, OSError) as error:
                results.append(None)
                row.failures.append(f"{broker}: {type(error).__name__}: {error}")
    return row
