"""What the README shows is written by the command that measures, rounded, and nowhere else."""

from pathlib import Path

import pytest

from bench import summary, tables
from bench.client import Address
from bench.comparison import Broker, Row
from bench.figures import Figure
from bench.probes import PROBES, ProbeRow
from bench.report import Comparison
from bench.startup import StartUp
from bench.workloads import WORKLOADS
from tests.bench.made import MACHINE, result


def _comparison() -> Comparison:
    comparison = Comparison([Broker(Address(), "hare", "h"), Broker(Address(), "tortoise", "t")], MACHINE, 1.0)
    comparison.rows = [
        Row(WORKLOADS["A"], [[result(2_855_913, 0.354, 0.1)], [result(125_723, 13.97, 0.1)]]),
        Row(WORKLOADS["E"], [[result(147_105, 6.27, 0.9)], [result(42_081, 35.41, 0.1)]]),
        Row(WORKLOADS["M"], [[result(1, 1, 0.1)], [result(1, 1, 0.1)]]),
    ]
    ours = [Figure(name="confirmed, p99", value=2.07, unit="ms"), Figure(name="confirmed, p99.9", value=4, unit="ms")]
    theirs = [Figure(name="confirmed, p99", value=5.56, unit="ms"), Figure(name="confirmed, p99.9", value=9, unit="ms")]
    comparison.probes = [ProbeRow(PROBES["L"], [[ours], [theirs]])]
    comparison.starts = [
        [StartUp(process="hare", answered_s=0.3, idle_octets=35 << 20)],
        [StartUp(process="tortoise", answered_s=5.4, idle_octets=91 << 20)],
    ]
    return comparison


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def test_summary_rounds_marks_and_leaves_out() -> None:
    rows = _rows(summary.summary(_comparison()))
    assert ["A transient, auto-ack, 16 B", "2,856,000", "23", "0.35 us", "39"] in rows
    (limited,) = (row for row in rows if row[0].startswith("E "))
    assert limited[1:] == ["147,000 (the generator's limit)", "3.5", "6.3 us", "5.6"]
    assert not [row for row in rows if row[0].startswith("M ")]
    assert ["the same, p99", "2.07 ms", "5.56 ms", "2.7"] in rows
    assert ["start, until the protocol header is answered", "0.300 s", "5.400 s", "18"] in rows
    assert ["memory when idle", "35.0 MiB", "91.0 MiB", "2.6"] in rows
    assert len([row for row in rows if row[0] == "the same, p99"]) == 1


def test_summary_replaces_the_one_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"above\n{summary.SUMMARY_BEGIN}\nold\n{summary.SUMMARY_END}\nbelow\n")
    summary.write_summary(page, _comparison())
    text = page.read_text()
    assert text.startswith(f"above\n{summary.SUMMARY_BEGIN}\n2 x p, 1 MiB")
    assert text.endswith(f"|\n{summary.SUMMARY_END}\nbelow\n")
    assert "old" not in text


def test_readme_and_performance_page_have_room_for_what_is_measured() -> None:
    root = Path(__file__).parents[2]
    tables.around(root / "README.md", summary.SUMMARY_BEGIN, summary.SUMMARY_END)
    tables.around(root / "docs" / "performance.md", tables.FIGURES_BEGIN, tables.FIGURES_END)


@pytest.mark.parametrize(
    ("value", "digit_count", "text"),
    [(0.354, 2, "0.35"), (3.25, 2, "3.2"), (22.7, 2, "23"), (101.6, 2, "102"), (2810.4, 3, "2,810"), (0.0, 2, "0")],
)
def test_figures_keep_the_digits_that_count(value: float, digit_count: int, text: str) -> None:
    assert tables.rounded(value, digit_count) == text
