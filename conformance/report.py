"""Shows outcomes: the table by section, the list of failures, the differences of two brokers, JSON."""

import json
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conformance.run import DIFFERS, FAILED, NOT_APPLICABLE, PASSED, Broker, Outcome

STATUSES = (PASSED, FAILED, DIFFERS, NOT_APPLICABLE)


def counts_by_section(outcomes: list[Outcome]) -> dict[str, Counter[str]]:
    """Return for each section, in order, how many outcomes of each status it has."""
    sections: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        sections.setdefault(outcome.section, Counter())[outcome.status] += 1
    return sections


def count_line(broker: Broker, outcomes: list[Outcome], duration_s: float) -> str:
    """Return the one line that says it all."""
    counts = Counter(outcome.status for outcome in outcomes)
    parts = ", ".join(f"{counts[status]} {status}" for status in STATUSES)
    return f"{broker.label}: {len(outcomes)} cases, {parts} in {duration_s:.1f} s"


def show(console: Console, broker: Broker, outcomes: list[Outcome], duration_s: float) -> None:
    """Print table, count line, failures, and listed differences that did not show."""
    table = Table(title=broker.label, title_justify="left")
    table.add_column("section")
    for status in STATUSES:
        table.add_column(status, justify="right")
    for section, counts in counts_by_section(outcomes).items():
        table.add_row(section, *(str(counts[status] or "") for status in STATUSES))
    console.print(table)
    for status in (FAILED, DIFFERS):
        for outcome in outcomes:
            if outcome.status == status:
                _show_failure(console, outcome)
    for case in stale_differences(broker, outcomes):
        console.print(f"note: listed as a difference, but passed: {case}", markup=False, soft_wrap=True)
    console.print(count_line(broker, outcomes, duration_s), markup=False, highlight=False, soft_wrap=True)


def _show_failure(console: Console, outcome: Outcome) -> None:
    console.print(f"[bold]{outcome.status}[/] {escape(outcome.case)} ({escape(outcome.ref)})", soft_wrap=True)
    for word in ("expected", "got", "reason"):
        if text := getattr(outcome, word):
            console.print(f"  {word:9}{text}", markup=False, highlight=False, soft_wrap=True)


def stale_differences(broker: Broker, outcomes: list[Outcome]) -> list[str]:
    """Return the cases listed as expected differences that passed all the same."""
    return [o.case for o in outcomes if o.status == PASSED and o.case in broker.differences]


def show_against(console: Console, names: tuple[str, str], ours: list[Outcome], theirs: list[Outcome]) -> int:
    """Print each case in which the two brokers went different ways; return how many there are."""
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=True) if _way(one) != _way(other)]
    for one, other in pairs:
        console.print(f"[bold]difference[/] {escape(one.case)} ({escape(one.ref)})", soft_wrap=True)
        for name, outcome in zip(names, (one, other), strict=True):
            shown = outcome.status if outcome.status in (PASSED, NOT_APPLICABLE) else f"got {outcome.got}"
            console.print(f"  {name}: {shown}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(pairs)} differences between {names[0]} and {names[1]}", markup=False, highlight=False)
    return len(pairs)


def _way(outcome: Outcome) -> tuple[str, str]:
    status = FAILED if outcome.status == DIFFERS else outcome.status
    return status, outcome.got if status == FAILED else ""


def write_json(file: Path, runs: list[tuple[Broker, list[Outcome], float]]) -> None:
    """Write all outcomes of one or two runs."""
    document = {
        "runs": [
            {
                "broker": broker.label,
                "kind": broker.kind,
                "duration_s": round(duration_s, 3),
                "outcomes": [outcome.as_json() for outcome in outcomes],
            }
            for broker, outcomes, duration_s in runs
        ]
    }
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
