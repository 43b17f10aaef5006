"""Whether the aims were reached is told beside the figures; starts take turns, and those that fail are told."""

import importlib.util
import sys
from dataclasses import replace

import pytest

from bench import __main__ as command
from bench import tables
from bench.aims import MESSAGES_AND_CPU, outcomes
from bench.client import Address
from bench.comparison import Broker, Row
from bench.figures import Figure
from bench.probes import PROBES, ProbeRow
from bench.report import Comparison
from bench.series import SERIES, Point, SeriesRow
from bench.startup import StartFailed, StartUp
from bench.workloads import WORKLOADS
from tests.bench.made import MACHINE, result


def _comparison(*names: str) -> Comparison:
    return Comparison([Broker(Address(), name, name.title()) for name in names], MACHINE, 1.0)


def _start(answered_s: float, mib: int) -> StartUp:
    return StartUp(process="p", answered_s=answered_s, idle_octets=mib << 20)


def _verdicts(comparison: Comparison) -> dict[str, str]:
    return {each.what: each.verdict for each in outcomes(comparison)}


def test_every_aim_is_of_a_workload_that_there_is() -> None:
    assert MESSAGES_AND_CPU.keys() <= WORKLOADS.keys()


def test_aims_are_met_or_not_by_the_median_of_the_ratios() -> None:
    comparison = _comparison("leveret", "rabbitmq")
    comparison.rows = [Row(WORKLOADS["A"], [[result(1500, 1.0)], [result(100, 25.0)]])]
    assert _verdicts(comparison) == {"A messages a second": "yes", "A less CPU a message": "no"}


def test_rate_that_the_generator_limits_is_no_aim_missed_but_processor_time_is() -> None:
    comparison = _comparison("leveret", "rabbitmq")
    ours = replace(result(300, 10.0), busiest_generator_share=0.95)
    comparison.rows = [Row(WORKLOADS["E"], [[ours], [result(100, 100.0)]])]
    assert _verdicts(comparison) == {"E messages a second": "generator's limit", "E less CPU a message": "no"}


def test_probes_starts_and_series_have_aims() -> None:
    comparison = _comparison("leveret", "rabbitmq")
    ours = [Figure(name="memory of each of 5,000", value=40.1, unit="KiB")]
    rates = [[Figure(name="opened and closed", value=value, unit="/s", better="more")] for value in (50.0, 10.0)]
    comparison.probes = [ProbeRow(PROBES["I"], [[ours], [ours]]), ProbeRow(PROBES["K"], [[rates[0]], [rates[1]]])]
    comparison.starts = [[_start(0.3, 35)], [_start(5.4, 60)]]
    points = [Point(1, 1.0, 1.0, False, False), Point(10, 1.0, 2.0, False, False), Point(100, 1.0, 1.9, False, False)]
    comparison.series = [SeriesRow(SERIES["queues"], [points, points])]
    assert _verdicts(comparison) == {
        "K opened and closed": "yes",
        "I memory of each of 5,000": "no",
        "S first answer": "yes",
        "S idle memory": "no",
        "growth, queues, a consumer each": "yes",
    }
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables.render(comparison).splitlines()]
    assert ["growth, queues, a consumer each", "2 at most", "2.0 (10)", "yes"] in lines
    assert ["first answer", "0.300 s", "5.400 s", "18.0"] in lines


@pytest.mark.parametrize("names", [("hare", "rabbitmq"), ("rabbitmq", "leveret"), ("leveret",)])
def test_other_brokers_have_no_aims(names: tuple[str, ...]) -> None:
    comparison = _comparison(*names)
    comparison.rows = [Row(WORKLOADS["A"], [[result(1500, 1.0)] for _ in names])]
    assert outcomes(comparison) == []
    assert "aim" not in tables.render(comparison)


def test_starts_take_turns_and_one_that_fails_takes_nothing_from_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []

    def measure_start(start_command: str, name: str = "") -> StartUp:
        started.append(start_command)
        if start_command == "b":
            raise StartFailed("no answer")
        return _start(0.5, 30)

    monkeypatch.setattr(command, "measure_start", measure_start)
    arguments = "bench --workloads S --rounds 2 --start-command a --start-command b"
    monkeypatch.setattr(sys, "argv", arguments.split())
    assert command.main() == 1
    assert "".join(started) == "ababab"  # the first of each does not count
    said = capsys.readouterr().out
    assert "0.500 s" in said
    assert "S FAILED b: StartFailed: no answer" in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [("--page {page}", "has no <!-- figures"), ("--charts {page}", "--charts needs matplotlib")],
)
def test_what_would_be_missed_after_an_hour_is_missed_at_once(
    arguments: str,
    reason: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path_factory.mktemp("pages") / "performance.md"
    page.write_text("nothing here")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(command, "missing_libraries", list)
    monkeypatch.setattr(sys, "argv", ["bench", "--port", "1", *arguments.format(page=page).split()])
    assert command.main() == 2
    assert reason in capsys.readouterr().err
