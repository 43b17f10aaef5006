"""Medians, ratios pair by pair, marks, and the command itself."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import tables
from bench.client import Address
from bench.comparison import Broker, Row
from bench.report import Comparison
from bench.workloads import WORKLOADS
from tests.bench.made import MACHINE, result


def _row() -> Row:
    ours = [result(100, 1.0), result(400, 1.0), result(300, 2.0)]
    theirs = [result(50, 10.0), result(100, 20.0), None]
    return Row(WORKLOADS["A"], [[*ours], [*theirs]])


def test_ratios_are_taken_pair_by_pair() -> None:
    row = _row()
    assert row.rate(0) == 300
    assert row.rate_ratios() == [2.0, 4.0]
    assert row.cpu_ratios() == [10.0, 20.0]


def test_unknown_processor_time_gives_no_ratio() -> None:
    row = Row(WORKLOADS["A"], [[result(2, 1.0)], [result(1, None)]])
    assert row.cpu_ratios() == []
    assert row.cpu_us(1) is None


@pytest.mark.parametrize(
    ("busiest", "generator", "idle", "limited"),
    [(0.9, 0.95, 1.0, True), (0.4, 0.8, 0.0, False), (0.6, 1.2, 0.02, True), (0.6, 1.2, 0.5, False)],
)
def test_row_that_the_generator_limits_is_marked(busiest: float, generator: float, idle: float, limited: bool) -> None:
    ours = replace(result(100, 1.0), busiest_generator_share=busiest, generator_cpu_share=generator, idle_share=idle)
    row = Row(WORKLOADS["A"], [[ours]])
    assert row.is_limited_by_generator(0) is limited
    text = tables.render(_comparison(row, brokers=1))
    assert (f"100{tables.LIMIT_MARK}" in text) is limited


def test_row_that_other_programs_disturbed_is_marked() -> None:
    row = Row(WORKLOADS["A"], [[replace(result(100, 1.0), others_share=0.5)]])
    assert f"100{tables.DISTURBED_MARK}" in tables.render(_comparison(row, brokers=1))


def _comparison(row: Row, *, brokers: int = 2) -> Comparison:
    names = [Broker(Address(), "hare", "Hare 1 on Legs"), Broker(Address(), "", "Tortoise 2 on Legs")][:brokers]
    return Comparison(names, MACHINE, 1.0, rows=[row])


def test_table_shows_medians_and_the_ratios_spread() -> None:
    text = tables.render(_comparison(_row()))
    assert "hare /s" in text
    assert "Tortoise 2 on Legs /s" in text
    assert "3.0 (2.0 to 4.0)" in text
    assert "15.0 (10.0 to 20.0)" in text


def test_failed_round_shows_its_reason() -> None:
    row = Row(WORKLOADS["A"], [[None]], failures=["Hare 1: RoundFailed: only 3 of 4"])
    text = tables.render(_comparison(row, brokers=1))
    assert "failed" in text
    assert "A FAILED Hare 1: RoundFailed: only 3 of 4" in text


def test_figures_replace_those_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"above\n{tables.FIGURES_BEGIN}\nold\n{tables.FIGURES_END}\nbelow\n")
    tables.write_figures(page, "new")
    assert page.read_text() == f"above\n{tables.FIGURES_BEGIN}\nnew\n{tables.FIGURES_END}\nbelow\n"


def test_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("nothing here")
    with pytest.raises(ValueError, match="has no"):
        tables.write_figures(page, "new")
    assert page.read_text() == "nothing here"


def test_json_keeps_every_round() -> None:
    plain = json.loads(json.dumps(_comparison(_row()).as_json()))
    assert plain["workloads"][0]["rate_ratios"] == [2.0, 4.0]
    assert [round_ and round_["messages_per_s"] for round_ in plain["workloads"][0]["rounds"][1]] == [
        50,
        100,
        None,
    ]


def test_command_measures_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"
    arguments = f"bench --self-test --workloads a --seconds 0.2 --warm-up 0.1 --json {target}"
    monkeypatch.setattr(sys, "argv", arguments.split())
    assert command.main() == 0
    assert "loopback 0 on ?, by its own account" in capsys.readouterr().out
    assert json.loads(target.read_text())["workloads"][0]["messages_per_s"][0] > 0


def test_unknown_workload_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--workloads", "A,Z"])
    assert command.main() == 2
    assert "unknown workload 'Z'" in capsys.readouterr().err


def test_broker_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--port", "1", "--workloads", "A"])
    assert command.main() == 1
    assert "ConnectionRefusedError" in capsys.readouterr().err
