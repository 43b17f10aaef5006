"""Draws what was measured, as SVG: needs matplotlib (the extra ``bench``)."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import Comparison

COLOURS = ("#1f77b4", "#ff7f0e")
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9.0}
_METADATA = {"Date": None, "Creator": None}
RATES_NAME = "performance-workloads.svg"
SERIES_NAME = "performance-series.svg"


def draw_charts(comparison: Comparison, directory: Path) -> list[tuple[str, str]]:
    """Title and file name of each chart written to ``directory``."""
    drawn = []
    with mpl.rc_context(_SETTINGS):
        if comparison.rows:
            drawn.append(("Deliveries a second and broker CPU a delivery", RATES_NAME))
            _save(_workloads(comparison), directory / RATES_NAME)
        if comparison.series:
            drawn.append(("Broker CPU a message while one thing grows", SERIES_NAME))
            _save(_series(comparison), directory / SERIES_NAME)
    return drawn


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, format="svg", metadata=_METADATA)


def _workloads(comparison: Comparison) -> Figure:
    """Two panels of dots (bars have no length on a logarithmic axis): rates, processor time."""
    figure = Figure(figsize=(9, 0.45 * len(comparison.rows) + 1.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for broker, name in enumerate(comparison.brokers):
        _dots(left, broker, str(name), [row.rate(broker) for row in comparison.rows])
        _dots(right, broker, str(name), [row.cpu_us(broker) for row in comparison.rows])
    left.set_xlabel("deliveries a second (more is better)")
    right.set_xlabel("broker CPU a delivery, microseconds (less is better)")
    left.set_yticks(range(len(comparison.rows)), [row.workload.name for row in comparison.rows])
    left.invert_yaxis()
    left.legend()
    for axes in (left, right):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(_number)
        axes.grid(alpha=0.3)
    return figure


def _dots(axes: Axes, broker: int, name: str, values: list[float | None]) -> None:
    known = [(value, place) for place, value in enumerate(values) if value]
    axes.plot([value for value, _ in known], [place for _, place in known], "o", label=name, color=COLOURS[broker])


def _number(value: float, _: object = None) -> str:
    """Of an axis: 0.1, 10, 1,000."""
    return f"{value:,.10g}"


def _series(comparison: Comparison) -> Figure:
    """A panel for each series, both axes logarithmic, all with the same heights."""
    figure = Figure(figsize=(9, 2.6 * ((len(comparison.series) + 2) // 3)), layout="constrained")
    panels: list[Axes] = list(figure.subplots((len(comparison.series) + 2) // 3, 3, squeeze=False, sharey=True).flat)
    for axes, row in zip(panels, comparison.series, strict=False):
        for broker, name in enumerate(comparison.brokers):
            points = [point for point in row.points[broker] if point.broker_cpu_us]
            axes.plot(
                [point.size for point in points],
                [point.broker_cpu_us or 0 for point in points],
                marker="o",
                label=str(name),
                color=COLOURS[broker],
            )
        axes.set(xscale="log", yscale="log", xlabel=row.series.title)
        axes.xaxis.set_major_formatter(_number)
        axes.yaxis.set_major_formatter(_number)
        axes.grid(alpha=0.3)
    for axes in panels[len(comparison.series) :]:
        axes.set_visible(False)
    figure.supylabel("broker CPU a message, microseconds")
    panels[0].legend()
    return figure
