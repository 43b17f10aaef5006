"""`python -m bench`: reads the arguments, runs the workloads, prints the table, writes the JSON."""

import argparse
import json
import sys
from pathlib import Path

from bench import tables
from bench.client import Address, BrokerRefused
from bench.comparison import Broker, Comparison, measure_row
from bench.loopback import loopback_process
from bench.machine import describe_machine
from bench.startup import StartFailed, measure_start
from bench.workloads import WORKLOADS

START_NAME = "S"
LOOPBACK_WORKLOADS = "A,B,C,D"
"""Those that the loopback can take: one queue, one message shape."""


def main() -> int:
    """Exit code 0; 1 when a round failed or a broker could not be reached; 2 for bad arguments."""
    arguments = _parser().parse_args()
    if arguments.self_test:
        with loopback_process() as port:
            arguments.port, arguments.workloads = str(port), arguments.workloads or LOOPBACK_WORKLOADS
            return _run(arguments)
    return _run(arguments)


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {workload.name}  {workload.title}" for workload in WORKLOADS.values())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure AMQP 0-9-1 brokers from outside.",
        epilog=f"workloads:\n{names}\n  {START_NAME}  start-up time and idle memory; needs --start-command",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--port", "--url", dest="port", default="5672", help="port on 127.0.0.1 or amqp:// URL")
    which.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two ports or URLs, measured in turn")
    which.add_argument("--self-test", action="store_true", help="measure the generator against a stand-in")
    parser.add_argument("--workloads", default="", metavar="A,B,...", help="default: all")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured window of a round (default 5)")
    parser.add_argument("--warm-up", type=float, default=1.0, metavar="SECONDS", help="before it (default 1)")
    parser.add_argument("--rounds", type=int, default=0, help="default 1, and 3 with --compare")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables into docs/performance.md")
    parser.add_argument(
        "--start-command",
        action="append",
        default=[],
        metavar="COMMAND",
        help="for S, with {port} and {data_dir}; repeat it for the second broker",
    )
    return parser


def _run(arguments: argparse.Namespace) -> int:
    names = [name for name in arguments.workloads.upper().split(",") if name] or [*WORKLOADS, START_NAME]
    unknown = [name for name in names if name not in WORKLOADS and name != START_NAME]
    if unknown:
        print(f"unknown workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}, {START_NAME}", file=sys.stderr)
        return 2
    if START_NAME in names and not arguments.start_command:
        if arguments.workloads:
            print(f"{START_NAME} needs --start-command", file=sys.stderr)
            return 2
        names.remove(START_NAME)
    targets = arguments.compare or [arguments.port]
    round_count = arguments.rounds or (3 if arguments.compare else 1)
    loads = [WORKLOADS[name] for name in names if name != START_NAME]
    try:
        brokers = [Broker.ask(Address.parse(target)) for target in targets] if loads else []
        comparison = Comparison(brokers, describe_machine(), arguments.seconds)
        for workload in loads:
            row = measure_row(
                brokers,
                workload,
                round_count=round_count,
                window_s=arguments.seconds,
                warm_up_s=arguments.warm_up,
                report=_report,
            )
            comparison.rows.append(row)
        if START_NAME in names:
            for command in arguments.start_command:
                _report(f"{START_NAME}: {command}")
                comparison.starts.append([measure_start(command) for _ in range(round_count)])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except (BrokerRefused, OSError, StartFailed) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    _report("")
    text = tables.render(comparison)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(comparison.as_json(), indent=1) + "\n")
    if arguments.page:
        tables.write_figures(arguments.page, text)
    return 1 if any(row.failures for row in comparison.rows) else 0


def _report(text: str) -> None:
    """One line of progress, each over the last; only for people who watch."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
