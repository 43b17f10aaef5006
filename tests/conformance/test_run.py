"""Outcomes: passed, failed, expected to differ, not applicable; the table, the JSON, the exit code."""

import io
import json
import socket
from pathlib import Path

import pytest
from rich.console import Console

from conformance.__main__ import main
from conformance.case import Case, CaseFunction, Session
from conformance.document import BEGIN, END, renewed
from conformance.report import count_line, show, show_against, stale_differences, write_json
from conformance.run import DIFFERS, FAILED, NOT_APPLICABLE, PASSED, Broker, Outcome, run_case
from conformance.wire import Address, Mismatch, check

ADDRESS = Address("127.0.0.1", 1, "guest", "guest", "/")


def passes(session: Session) -> None:
    check(session.address.vhost, "/")


def fails(session: Session) -> None:
    check(session.address.vhost, "another")


def broker(version: str = "3.10.8", differences: dict[str, str] | None = None) -> Broker:
    return Broker(ADDRESS, "RabbitMQ", version, "rabbitmq_3", differences or {})


def made(function: CaseFunction, since: tuple[int, ...] = (), until: tuple[int, ...] = ()) -> Case:
    return Case("some", function.__name__, "4.2", function, since, until, False)


def test_case_that_runs_through_has_passed() -> None:
    assert run_case(broker(), made(passes)).status == PASSED


def test_mismatch_fails_with_expected_and_got() -> None:
    outcome = run_case(broker(), made(fails))
    assert (outcome.status, outcome.expected, outcome.got) == (FAILED, "'another'", "'/'")


def test_unreachable_broker_fails_the_case() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = Address("127.0.0.1", port, "guest", "guest", "/")
    outcome = run_case(Broker(address, "X", "1", "", {}), made(lambda session: session.connect().close()))
    assert outcome.status == FAILED
    assert "Refused" in outcome.got


def test_listed_difference_is_no_failure() -> None:
    outcome = run_case(broker(differences={"some/fails": "kinder"}), made(fails))
    assert (outcome.status, outcome.reason) == (DIFFERS, "kinder")


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [((4, 0), (), "since 4.0"), ((), (3, 10), "until 3.10"), ((3, 10), (3, 11), "")],
)
def test_case_of_another_version_is_not_applicable(since: tuple[int, ...], until: tuple[int, ...], reason: str) -> None:
    outcome = run_case(broker(), made(passes, since, until))
    assert (outcome.status, outcome.reason) == (NOT_APPLICABLE if reason else PASSED, reason)


def outcomes() -> list[Outcome]:
    listed = broker(differences={"some/fails": "kinder"})
    return [run_case(broker(), made(passes)), run_case(broker(), made(fails)), run_case(listed, made(fails))]


def test_count_line_counts_each_status() -> None:
    line = count_line(broker(), outcomes(), 1.5)
    assert line == "RabbitMQ 3.10.8: 3 cases, 1 passed, 1 failed, 1 differs, 0 not applicable in 1.5 s"


def test_report_lists_failures_and_stale_differences() -> None:
    text = io.StringIO()
    stale = broker(differences={"some/passes": "no longer"})
    show(Console(file=text, width=120), stale, outcomes(), 1.5)
    assert "expected 'another'" in text.getvalue()
    assert stale_differences(stale, outcomes()) == ["some/passes"]


def test_against_lists_only_what_went_different_ways() -> None:
    text = io.StringIO()
    one = [run_case(broker(), made(passes)), run_case(broker(), made(fails))]
    other = [run_case(broker(), made(passes)), run_case(broker(), made(passes))]
    assert show_against(Console(file=text, width=120), ("A", "B"), one, other) == 1
    assert "1 differences between A and B" in text.getvalue()


def test_json_and_document_have_every_section(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_json(file, [(broker(), outcomes(), 1.5)])
    document = renewed(f"before\n{BEGIN}\nold\n{END}\nafter\n", json.loads(file.read_text())["runs"])
    assert "| some | 3 | 1 passed, 1 failed, 1 differs |" in document
    assert "old" not in document
    assert document.endswith("after\n")


def test_list_needs_no_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "get"]) == 0
    assert "get/of_an_empty_queue_is_get_empty" in capsys.readouterr().out


def test_no_broker_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert main([f"amqp://127.0.0.1:{port}/"]) == 2
    assert "refused" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://x/", "amqp:///", "nonsense"])
def test_wrong_url_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="not an amqp://"):
        Address.parse(url)


def test_address_unquotes_user_and_vhost() -> None:
    assert Address.parse("amqp://a%40b:c%2Fd@host/%2Fv") == Address("host", 5672, "a@b", "c/d", "/v")


def test_mismatch_says_both() -> None:
    with pytest.raises(Mismatch, match="expected a 1, got a 2"):
        check(2, 1, "a")
