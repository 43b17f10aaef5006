"""The command: ``python -m conformance URL``. Exit code 0 only when nothing failed unexpectedly."""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from conformance.case import Case
from conformance.cases import SECTIONS, load
from conformance.report import show, show_against, write_json
from conformance.run import FAILED, Broker, Outcome, meet, run
from conformance.wire import Address, Mismatch


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code: 0, 1 for failures, 2 for a wrong call."""
    parser = _parser()
    options = parser.parse_args(arguments)
    cases = select(load(), options.only)
    if not cases:
        parser.error(f"no case matches {', '.join(options.only)}; sections: {', '.join(SECTIONS)}")
    if options.list:
        print("\n".join(f"{case.id}  ({case.ref})" for case in cases))
        return 0
    urls = [url for url in (options.url, options.against) if url]
    if not urls:
        parser.error("the URL of a broker is needed, as amqp://guest:guest@127.0.0.1:5672/")
    console = Console(width=None if sys.stdout.isatty() else 120)
    runs: list[tuple[Broker, list[Outcome], float]] = []
    for url in urls:
        try:
            broker = meet(Address.parse(url), options.broker if url == options.url else "")
        except (OSError, Mismatch, ValueError) as error:
            print(f"{url}: {error}", file=sys.stderr)
            return 2
        runs.append(_run_with_progress(broker, cases))
        show(console, *runs[-1])
    if len(runs) == 2:
        show_against(console, (runs[0][0].label, runs[1][0].label), runs[0][1], runs[1][1])
    if options.json:
        write_json(options.json, runs)
    return 1 if any(outcome.status == FAILED for _, outcomes, _ in runs for outcome in outcomes) else 0


def select(cases: list[Case], only: list[str]) -> list[Case]:
    """Return the cases whose section or id is asked for, or all."""
    wanted = set(only)
    return [case for case in cases if not wanted or case.section in wanted or case.id in wanted]


def _run_with_progress(broker: Broker, cases: list[Case]) -> tuple[Broker, list[Outcome], float]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    began = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(broker.label, total=len(cases))
        outcomes = run(broker, cases, lambda outcome: progress.advance(task))
    return broker, outcomes, time.monotonic() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m conformance", description="AMQP 0-9-1 cases for any broker")
    parser.add_argument("url", nargs="?", metavar="URL", help="amqp://user:password@host:port/vhost")
    parser.add_argument("--only", action="append", default=[], metavar="SECTION", help="a section or one case's id")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome to FILE")
    parser.add_argument("--against", metavar="URL2", help="run against a second broker and list the differences")
    parser.add_argument("--broker", default="", metavar="KIND", help="whose expected differences hold (a guess else)")
    parser.add_argument("--list", action="store_true", help="list the cases and run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
