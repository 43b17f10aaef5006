"""The tables that the command prints: plain text that is also Markdown."""

from collections.abc import Sequence
from math import floor, log10
from pathlib import Path
from statistics import median

from bench.aims import outcomes
from bench.comparison import Row
from bench.probes import ProbeRow
from bench.report import Comparison
from bench.series import SeriesRow

LIMIT_MARK = " (g)"
DISTURBED_MARK = " (o)"
FIGURES_BEGIN = "<!-- figures: python -m bench --page writes here -->"
FIGURES_END = "<!-- end of figures -->"
LEGEND = (
    "Messages are deliveries a second, medians. CPU is the broker's own, all threads and processes, in\n"
    "microseconds a delivery. cores: processors kept busy by the broker + by the generator. (g): the generator\n"
    "was the limit, or took the larger part of a full machine. (o): other programs kept more than a fifth of a\n"
    "processor busy."
)

PROBE_LEGEND = (
    "Medians of the rounds; the last column compares round by round, and more than 1 is in favour of the first\n"
    "broker. Marks as above; what processor time and memory cost is not much moved by other programs."
)
SERIES_LEGEND = (
    "CPU is the broker's own, in microseconds a message; growth is that over the least CPU of this and all smaller\n"
    "sizes. What was left out would not have ended in time, or in the memory that there is."
)

AIM_LEGEND = (
    "Aims are multiples of RabbitMQ 3.10.8's figures; messages a second count where the generator is not the limit.\n"
    "growth is the most that a message costs the first broker at any size (in brackets) over a smaller one."
)
_AIM_HEAD = ["aim", "wanted", "reached", "met"]


def render(comparison: Comparison) -> str:
    """Everything, ready to print."""
    parts = measured_on(comparison)
    parts += [comparison.note] if comparison.note else []
    parts += [f"{broker}: {broker.claim}, by its own account" for broker in comparison.brokers]
    if comparison.rows:
        rows = [_cells(row, len(comparison.brokers)) for row in comparison.rows]
        parts += ["", align([_head(comparison), *rows]), "", LEGEND]
    if comparison.probes:
        cells = [cells for row in comparison.probes for cells in _probe_cells(row, len(comparison.brokers))]
        parts += ["", align([_probe_head(comparison), *cells]), "", PROBE_LEGEND]
    if comparison.series:
        cells = [cells for row in comparison.series for cells in _series_cells(row, len(comparison.brokers))]
        parts += ["", align([_series_head(comparison), *cells]), "", SERIES_LEGEND]
    parts += [f"{row.probe.name} FAILED {_first_and_last(text)}" for row in comparison.probes for text in row.failures]
    parts += [f"{row.series.name} FAILED {_first_and_last(text)}" for row in comparison.series for text in row.failures]
    parts += [f"{row.workload.name} FAILED {failure}" for row in comparison.rows for failure in row.failures]
    if any(comparison.starts):
        parts += ["", align(start_rows(comparison))]
    parts += [f"S FAILED {_first_and_last(failure)}" for failure in comparison.start_failures]
    if reached := outcomes(comparison):
        cells = [[each.what, each.wanted, each.reached, each.verdict] for each in reached]
        parts += ["", align([_AIM_HEAD, *cells]), "", AIM_LEGEND]
    return "\n".join(parts)


def measured_on(comparison: Comparison) -> list[str]:
    """The machine, the day, and how long."""
    rounds = "1 round" if comparison.round_count == 1 else f"{comparison.round_count} rounds"
    return [comparison.machine_text(), f"{comparison.date}, {rounds} with windows of {comparison.window_s:g} s"]


def write_figures(page: Path, text: str) -> None:
    """Put ``text`` between the page's two marks. Raises ValueError where they are missing."""
    before, after = around(page, FIGURES_BEGIN, FIGURES_END)
    page.write_text(f"{before}{FIGURES_BEGIN}\n{text}\n{FIGURES_END}{after}")


def around(page: Path, begin: str, end: str) -> tuple[str, str]:
    """What stands before and after two marks in a page. Raises ValueError where they are missing."""
    before, _, rest = page.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no {begin} ... {end}")
    return before, after


def rounded(value: float, digit_count: int) -> str:
    """So many digits that count, and all before the point: with two of them 0.35, 3.3, 22, 2,810."""
    places = max(0, digit_count - 1 - floor(log10(abs(value)))) if value else 0
    return f"{value:,.{places}f}"


def _head(comparison: Comparison) -> list[str]:
    head = ["workload"]
    for broker in comparison.brokers:
        head += [f"{broker} /s", "CPU us", "cores"]
    if len(comparison.brokers) == 2:
        head += ["times the messages", "times less CPU"]
    return head


def _cells(row: Row, broker_count: int) -> list[str]:
    cells = [f"{row.workload.name} {row.workload.title}"]
    for broker in range(broker_count):
        rate, cpu_us = row.rate(broker), row.cpu_us(broker)
        mark = LIMIT_MARK if row.is_limited_by_generator(broker) else ""
        mark += DISTURBED_MARK if row.is_disturbed(broker) else ""
        cells.append("failed" if rate is None else f"{rate:,.0f}{mark}")
        cells.append("-" if cpu_us is None else f"{cpu_us:.2f}")
        cells.append(_cores(row, broker))
    if broker_count == 2:
        cells += [_spread(row.rate_ratios()), _spread(row.cpu_ratios())]
    return cells


def _cores(row: Row, broker: int) -> str:
    own, generator = row.share(broker, "broker_cpu_share"), row.share(broker, "generator_cpu_share")
    return f"{'-' if own is None else f'{own:.2f}'} + {'-' if generator is None else f'{generator:.2f}'}"


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return "-"
    text = f"{median(ratios):.1f}"
    return text if len(ratios) == 1 else f"{text} ({min(ratios):.1f} to {max(ratios):.1f})"


def _probe_head(comparison: Comparison) -> list[str]:
    head = ["workload", *map(str, comparison.brokers)]
    return [*head, "times better"] if len(comparison.brokers) == 2 else head


def _probe_cells(row: ProbeRow, broker_count: int) -> list[list[str]]:
    lines = []
    for name in row.names():
        cells = [f"{row.probe.name} {row.probe.title}: {name}"]
        for broker in range(broker_count):
            known = [figure for figure in row.of(broker, name) if figure is not None]
            value = row.median(broker, name)
            if value is None:
                cells.append("failed")
                continue
            mark = LIMIT_MARK if sum(figure.is_limited for figure in known) * 2 > len(known) else ""
            mark += DISTURBED_MARK if sum(figure.is_disturbed for figure in known) * 2 > len(known) else ""
            cells.append(f"{_round(value)} {known[0].unit}{mark}")
        lines.append([*cells, _spread(row.ratios(name))] if broker_count == 2 else cells)
    return lines or [[f"{row.probe.name} {row.probe.title}", *["failed"] * broker_count, *["-"] * (broker_count == 2)]]


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _series_head(comparison: Comparison) -> list[str]:
    head = ["series", "size"]
    for broker in comparison.brokers:
        head += [f"{broker} /s", "CPU us", "growth"]
    return head


def _series_cells(row: SeriesRow, broker_count: int) -> list[list[str]]:
    lines = []
    for size in row.series.sizes:
        if not any(row.point(broker, size) for broker in range(broker_count)):
            continue
        cells = [row.series.title, f"{size:,}"]
        for broker in range(broker_count):
            point, growth = row.point(broker, size), row.growth(broker, size)
            if point is None:
                cells += ["left out" if row.is_left_out(broker, size) else "failed", "-", "-"]
                continue
            mark = LIMIT_MARK if point.is_limited_by_generator else ""
            mark += DISTURBED_MARK if point.is_disturbed else ""
            cells.append(f"{point.messages_per_s:,.0f}{mark}")
            cells.append("-" if point.broker_cpu_us is None else f"{point.broker_cpu_us:.2f}")
            cells.append("-" if growth is None else f"{growth:.1f}")
        lines.append(cells)
    return lines


def _first_and_last(text: str) -> str:
    """Of a failure with a traceback: whose, and what."""
    lines = text.strip().splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"


def start_rows(comparison: Comparison) -> list[list[str]]:
    """The head, and a row for each figure of a start."""
    starts = [each for each in comparison.starts if each]
    rows = [
        ["S start", *(each[0].process for each in starts)],
        ["first answer", *(f"{median(start.answered_s for start in each):.3f} s" for each in starts)],
        ["idle memory", *(f"{median(start.idle_octets for start in each) / (1 << 20):.1f} MiB" for each in starts)],
    ]
    if len(starts) == 2:
        for row, cell in zip(
            rows,
            (
                "times better",
                _spread(comparison.start_ratios("answered_s")),
                _spread(comparison.start_ratios("idle_octets")),
            ),
            strict=True,
        ):
            row.append(cell)
    return rows


def align(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head, the first column is text, the others are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| "
        + " | ".join(_pad(cell, width, place) for place, (cell, width) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in rows
    ]
    rule = (
        "|"
        + "|".join("-" * (width + 2) if not place else "-" * (width + 1) + ":" for place, width in enumerate(widths))
        + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])


def _pad(cell: str, width: int, place: int) -> str:
    return cell.rjust(width) if place else cell.ljust(width)
