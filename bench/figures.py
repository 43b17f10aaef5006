"""Figures that are not a rate of deliveries: round trips, latencies, memory, connections, declarations.

A probe is a workload that measures such figures; bench/probes.py lists them, one module each measures them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from bench.client import Address
from bench.meter import Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of one round."""

    name: str
    value: float
    unit: str
    """What stands behind the value: ``us``, ``/s``, ``MiB``, ..."""
    better: Literal["less", "more"] = "less"
    is_limited: bool = False
    """The generator was the limit."""
    is_disturbed: bool = False
    """Other programs used the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much a probe may do."""

    window_s: float = 5.0
    warm_up_s: float = 1.0
    backlog_count: int = 1_000_000
    connection_count: int = 5_000


@dataclass(frozen=True, slots=True)
class Probe:
    """One workload of this kind. ``measure`` raises RoundFailed, BrokerRefused, OSError."""

    name: str
    title: str
    measure: Callable[[Address, Effort], list[Figure]]


def percentile_of(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the ``ordered`` values that at least ``percent`` of them do not exceed (nearest rank)."""
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def rate_figures(name: str, per: str, count: int, load: Load, *, elapsed_s: float = 0.0) -> list[Figure]:
    """``count`` done under ``load``: how many a second, and the broker's processor time for each."""
    rate = count / (elapsed_s or load.window_s)
    limited, disturbed = load.is_limited_by_generator, load.is_disturbed
    figures = [Figure(name=name, value=rate, unit="/s", better="more", is_limited=limited, is_disturbed=disturbed)]
    return figures + cpu_figures(name, per, count, load)


def cpu_figures(name: str, per: str, count: int, load: Load) -> list[Figure]:
    """The broker's processor time for each of ``count``; nothing where /proc does not tell."""
    if load.broker_cpu_s is None or not count:
        return []
    return [Figure(name=f"{name}: broker CPU a {per}", value=load.broker_cpu_s / count * 1e6, unit="us")]
