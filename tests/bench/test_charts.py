"""Charts and tables of what the series and probes say; without matplotlib, that charts cannot be had."""

import importlib
import importlib.util
from pathlib import Path

import pytest

from bench import tables
from bench.client import Address
from bench.comparison import Broker
from bench.figures import Figure
from bench.probes import PROBES, ProbeRow
from bench.report import Comparison
from bench.series import SERIES, Point, SeriesRow
from tests.bench.made import MACHINE


def _comparison() -> Comparison:
    brokers = [Broker(Address(), "hare", "Hare"), Broker(Address(), "tortoise", "Tortoise")]
    comparison = Comparison(brokers, MACHINE, 1.0, "Beside a windmill.")
    hare = [Figure(name="round trip, p50", value=100.0, unit="us", is_disturbed=True)]
    tortoise = [Figure(name="round trip, p50", value=250.0, unit="us")]
    churn = [Figure(name="opened", value=1000.0, unit="/s", better="more")]
    slow_churn = [Figure(name="opened", value=100.0, unit="/s", better="more", is_limited=True)]
    comparison.probes = [
        ProbeRow(PROBES["R"], [[hare], [tortoise]]),
        ProbeRow(PROBES["K"], [[churn], [slow_churn]]),
        ProbeRow(PROBES["N"], [[None], [None]], ["hare: RoundFailed: Traceback\n  ...\nOSError: away"]),
    ]
    points = [Point(1, 1000.0, 2.0, False, False), Point(10, 900.0, 5.0, True, False)]
    comparison.series = [SeriesRow(SERIES["queues"], [points, points[:1]], ["10, tortoise: RoundFailed: no"])]
    return comparison


def test_less_or_more_is_better_as_the_figure_says() -> None:
    rows = _comparison().probes
    assert rows[0].ratios("round trip, p50") == [2.5]
    assert rows[1].ratios("opened") == [10.0]


def test_table_shows_probes_series_marks_and_failures() -> None:
    text = tables.render(_comparison())
    assert "Beside a windmill." in text
    assert f"100 us{tables.DISTURBED_MARK}" in text
    assert f"100 /s{tables.LIMIT_MARK}" in text
    assert "N FAILED hare: RoundFailed: Traceback OSError: away" in text
    assert "queues FAILED 10, tortoise: RoundFailed: no" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| queues, a consumer each") and " 10 |" in line)
    assert [cell.strip() for cell in line.split("|")][3:7] == [f"900{tables.DISTURBED_MARK}", "5.00", "2.5", "failed"]


def test_growth_is_over_the_least_of_all_smaller_sizes_and_what_was_left_out_is_told() -> None:
    comparison = _comparison()
    points = [
        Point(10, 9.0, 20.0, False, False),
        Point(1000, 9.0, 1.0, False, False),
        Point(10**6, 9.0, 1.5, False, False),
    ]
    comparison.series = [SeriesRow(SERIES["backlog"], [points, points[:2]], left_out=[[], [10**6]])]
    assert [comparison.series[0].growth(0, point.size) for point in points] == [1.0, 1.0, 1.5]
    (line,) = (line for line in tables.render(comparison).splitlines() if "1,000,000 |" in line)
    assert [cell.strip() for cell in line.split("|")][3:8] == ["9", "1.50", "1.5", "left out", "-"]
    assert not comparison.series[0].failures


def test_failures_are_told() -> None:
    comparison = _comparison()
    assert comparison.has_failures
    comparison.probes, comparison.series = comparison.probes[:2], []
    assert not comparison.has_failures


def test_charts_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("bench.charts")
        return
    from bench.charts import draw_charts

    (title, name), *_ = draw_charts(_comparison(), tmp_path)
    first = (tmp_path / name).read_text()
    draw_charts(_comparison(), tmp_path)
    assert title
    assert "<svg" in first
    assert (tmp_path / name).read_text() == first
