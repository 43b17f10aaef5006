"""The figures that the README shows: the rows of a comparison that say most, rounded."""

from pathlib import Path
from statistics import median
from typing import Final

from bench.comparison import Row
from bench.probes import ProbeRow
from bench.report import Comparison
from bench.tables import align, around, measured_on, rounded, start_rows

SUMMARY_BEGIN: Final = "<!-- speed: made by `make bench-compare`, do not edit -->"
SUMMARY_END: Final = "<!-- end of speed -->"
LEFT_OUT: Final = ("M",)
"""Workloads that say little more than another."""
PROBE_FIGURES: Final = (
    ("R", "round trip, p50", "a request by direct reply-to, until its reply is there, p50"),
    ("L", "confirmed, p50", "the confirm of a persistent message, 5,000 a second, p50"),
    ("L", "confirmed, p99", "the same, p99"),
    ("K", "opened and closed", "connections with a channel, opened and closed"),
    ("I", "memory", "memory of an idle connection with a channel"),
)
START_TITLES: Final = ("start, until the protocol header is answered", "memory when idle")


def write_summary(page: Path, comparison: Comparison) -> None:
    """Put the summary between the page's two marks. Raises ValueError where they are missing."""
    before, after = around(page, SUMMARY_BEGIN, SUMMARY_END)
    page.write_text(f"{before}{SUMMARY_BEGIN}\n{summary(comparison)}\n{SUMMARY_END}{after}")


def summary(comparison: Comparison) -> str:
    """On what it was measured, and two tables for two brokers: of the workloads, and of other figures."""
    head = ["", "messages a second", "times as many", "processor time a message", "times less"]
    rows = [_cells(row) for row in comparison.rows if row.workload.name not in LEFT_OUT]
    more = ["", *map(str, comparison.brokers), "times better"]
    figures = [more, *_probe_cells(comparison), *_start_cells(comparison)]
    return "\n\n".join(["\n".join(measured_on(comparison)), align([head, *rows]), align(figures)])


def _cells(row: Row) -> list[str]:
    rate, cpu_us = row.rate(0), row.cpu_us(0)
    return [
        f"{row.workload.name} {row.workload.title}",
        ("failed" if rate is None else f"{round(rate, -3):,.0f}")
        + (" (the generator's limit)" if row.is_limited_by_generator(0) else "")
        + (" (beside other programs)" if row.is_disturbed(0) else ""),
        _times(row.rate_ratios()),
        "-" if cpu_us is None else f"{rounded(cpu_us, 2)} us",
        _times(row.cpu_ratios()),
    ]


def _times(ratios: list[float]) -> str:
    return f"{rounded(median(ratios), 2)}" if ratios else "-"


def _probe_cells(comparison: Comparison) -> list[list[str]]:
    rows = {row.probe.name: row for row in comparison.probes}
    lines = []
    for probe, begin, title in PROBE_FIGURES:
        if (row := rows.get(probe)) is None:
            continue
        for name in row.names():
            if name == begin or name.startswith(f"{begin} of each"):
                values = [_value(row, broker, name) for broker in range(len(comparison.brokers))]
                lines.append([title, *values, _times(row.ratios(name))])
    return lines


def _value(row: ProbeRow, broker: int, name: str) -> str:
    value = row.median(broker, name)
    unit = next((figure.unit for figure in row.of(broker, name) if figure), "")
    return "failed" if value is None else f"{rounded(value, 3)} {unit}"


def _start_cells(comparison: Comparison) -> list[list[str]]:
    if len(comparison.starts) != 2 or not all(comparison.starts):
        return []
    ratios = comparison.start_ratios("answered_s"), comparison.start_ratios("idle_octets")
    return [
        [title, *cells[1:3], _times(times)]
        for title, cells, times in zip(START_TITLES, start_rows(comparison)[1:], ratios, strict=True)
    ]
