"""`python -m bench`: reads the arguments, runs the workloads, prints the tables, writes JSON and charts."""

import argparse
import contextlib
import importlib.util
import json
import sys
from pathlib import Path

from bench import recovery, summary, tables
from bench.client import Address, BrokerRefused
from bench.comparison import Broker, measure_row
from bench.figures import Effort
from bench.libraries import missing_libraries
from bench.loopback import loopback_process
from bench.machine import describe_machine, machine_text
from bench.peers import PeerMissing, known_peers, start_command_of
from bench.probes import LIBRARIES_NAME, PROBES, measure_probe
from bench.recovery import MessagesMissing, measure_recovery
from bench.report import Comparison
from bench.series import SERIES, measure_series
from bench.startup import StartFailed, measure_start, running
from bench.workloads import WORKLOADS

START_NAME = "S"
LOOPBACK_WORKLOADS = "A,B,C,D"
"""Those that the loopback can take: one queue, one message shape."""

LARGEST = "1000000"
FIRST_PROBE = "I"
"""Memory is looked at before anything has made the brokers grow: freed memory would hide what is taken."""


class NothingToMeasure(ValueError):
    """The arguments do not fit together; the text says why."""


def main() -> int:
    """Exit code 0; 1 when a round failed or a broker could not be reached; 2 for bad arguments."""
    arguments = _parser().parse_args()
    if arguments.recovery:
        return _recover(arguments)
    with contextlib.ExitStack() as stack:
        try:
            if arguments.self_test:
                arguments.port = str(stack.enter_context(loopback_process()))
                arguments.workloads = arguments.workloads or LOOPBACK_WORKLOADS
            names = _names(arguments)
            if arguments.peers:
                arguments.start_command = [start_command_of(peer) for peer in arguments.peers]
                arguments.compare = []
                for command in arguments.start_command:
                    _report(f"starting {command}")
                    arguments.compare.append(str(stack.enter_context(running(command)).port))
            comparison = _measure(arguments, names)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        except (BrokerRefused, OSError, StartFailed, PeerMissing) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1
    _report("")
    return _write(arguments, comparison)


def _parser() -> argparse.ArgumentParser:
    titles = {each.name: each.title for each in WORKLOADS.values()}
    titles |= {each.name: each.title for each in PROBES.values()}
    names = "\n".join(f"  {name}  {title}" for name, title in titles.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure AMQP 0-9-1 brokers from outside.",
        epilog=f"workloads:\n{names}\n  {START_NAME}  start-up time and idle memory; needs --start-command or --peers",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--port", "--url", dest="port", default="5672", help="port on 127.0.0.1 or amqp:// URL")
    which.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two ports or URLs, measured in turn")
    which.add_argument(
        "--peers", nargs=2, metavar=("A", "B"), help=f"two brokers to start and compare: {', '.join(known_peers())}"
    )
    which.add_argument("--self-test", action="store_true", help="measure the generator against a stand-in")
    parser.add_argument("--workloads", default="", metavar="A,B,...", help="default: all; - for none")
    parser.add_argument("--series", nargs="?", const=",".join(SERIES), default="", metavar="NAME,...")
    parser.add_argument(
        "--recovery",
        nargs="?",
        type=int,
        const=1_000_000,
        metavar="MESSAGES",
        help="this alone: how long until so many (default 1,000,000) are back after kill -9 and after a stop, "
        "of both --peers (default: all known), or of each --start-command",
    )
    parser.add_argument(
        "--largest",
        default=LARGEST,
        metavar="SIZE[,SIZE]",
        help=f"size of a series, of all brokers or of each (default {LARGEST})",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="measured window of a round (default 5)")
    parser.add_argument("--warm-up", type=float, default=1.0, metavar="SECONDS", help="before it (default 1)")
    parser.add_argument("--rounds", type=int, default=0, help="default 1, and 3 with two brokers")
    parser.add_argument("--backlog", type=int, default=1_000_000, metavar="MESSAGES", help="of N (default 1,000,000)")
    parser.add_argument("--connections", type=int, default=5_000, metavar="COUNT", help="of I (default 5,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables into docs/performance.md")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="put the rounded main figures into README.md")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="draw SVG charts there (needs matplotlib)")
    parser.add_argument("--note", default="", metavar="TEXT", help="a line above the tables: what else ran, say")
    parser.add_argument(
        "--start-command",
        action="append",
        default=[],
        metavar="COMMAND",
        help="for S, with {port} and {data_dir}; repeat it for the second broker",
    )
    return parser


def _names(arguments: argparse.Namespace) -> list[str]:
    """The workloads asked for. Raises NothingToMeasure, also for what would be missed after an hour's measuring."""
    known = [*WORKLOADS, *PROBES, START_NAME]
    asked = [name for name in arguments.workloads.upper().split(",") if name]
    unknown = [name for name in asked if name not in known and name != "-"]
    if unknown:
        raise NothingToMeasure(f"unknown workload {unknown[0]!r}; there are {', '.join(known)}")
    unknown = [name for name in _series_names(arguments) if name not in SERIES]
    if unknown:
        raise NothingToMeasure(f"unknown series {unknown[0]!r}; there are {', '.join(SERIES)}")
    unknown = [name for name in arguments.peers or () if name not in known_peers()]
    if unknown:
        raise NothingToMeasure(f"unknown broker {unknown[0]!r}; there are {', '.join(known_peers())}")
    can_start = bool(arguments.start_command or arguments.peers)
    missing = missing_libraries()
    if arguments.charts and importlib.util.find_spec("matplotlib") is None:
        raise NothingToMeasure("--charts needs matplotlib")
    if arguments.page:
        tables.around(arguments.page, tables.FIGURES_BEGIN, tables.FIGURES_END)
    if arguments.summary:
        tables.around(arguments.summary, summary.SUMMARY_BEGIN, summary.SUMMARY_END)
    if START_NAME in asked and not can_start:
        raise NothingToMeasure(f"{START_NAME} needs --start-command or --peers")
    if LIBRARIES_NAME in asked and missing:
        raise NothingToMeasure(f"{LIBRARIES_NAME} needs {' and '.join(missing)}")
    if asked:
        return [name for name in asked if name != "-"]
    if missing:
        print(f"{LIBRARIES_NAME} is left out: it needs {' and '.join(missing)}", file=sys.stderr)
    return [name for name in known if (name != START_NAME or can_start) and (name != LIBRARIES_NAME or not missing)]


def _series_names(arguments: argparse.Namespace) -> list[str]:
    return [name for name in arguments.series.split(",") if name]


def _largest(text: str, broker_count: int) -> list[int]:
    """The largest size for each broker. Raises NothingToMeasure."""
    sizes = text.split(",")
    if not all(size.isdecimal() for size in sizes) or len(sizes) not in (1, broker_count):
        raise NothingToMeasure(f"--largest {text}: one size, or one for each broker")
    return [int(size) for size in sizes * (broker_count if len(sizes) == 1 else 1)]


def _measure(arguments: argparse.Namespace, names: list[str]) -> Comparison:
    """Raises ValueError for an address that is none, OSError, BrokerRefused, StartFailed."""
    targets = arguments.compare or [arguments.port]
    round_count = arguments.rounds or (3 if arguments.compare else 1)
    needs_brokers = arguments.series or any(name != START_NAME for name in names)
    known_as = arguments.peers or [""] * len(targets)
    largest = _largest(arguments.largest, len(targets))
    brokers = (
        [Broker.ask(Address.parse(target), name) for target, name in zip(targets, known_as, strict=True)]
        if needs_brokers
        else []
    )
    comparison = Comparison(brokers, describe_machine(), arguments.seconds, arguments.note, round_count)
    effort = Effort(
        window_s=arguments.seconds,
        warm_up_s=arguments.warm_up,
        backlog_count=arguments.backlog,
        connection_count=arguments.connections,
    )
    for name in sorted(names, key=lambda name: name != FIRST_PROBE):
        if name in WORKLOADS:
            row = measure_row(
                brokers,
                WORKLOADS[name],
                round_count=round_count,
                window_s=arguments.seconds,
                warm_up_s=arguments.warm_up,
                report=_report,
            )
            comparison.rows.append(row)
        elif name in PROBES:
            comparison.probes.append(
                measure_probe(brokers, PROBES[name], round_count=round_count, effort=effort, report=_report)
            )
    for name in _series_names(arguments):
        comparison.series.append(measure_series(brokers, SERIES[name], largest=largest, effort=effort, report=_report))
    if START_NAME in names:
        known_as = arguments.peers or [""] * len(arguments.start_command)
        _measure_starts(comparison, list(zip(arguments.start_command, known_as, strict=True)), round_count)
    return comparison


def _measure_starts(comparison: Comparison, commands: list[tuple[str, str]], round_count: int) -> None:
    """Start each, by its command and name, in turn; one that fails takes nothing from what was measured before."""
    comparison.starts = [[] for _ in commands]
    # The first start of each does not count: what it reads is in memory, and its bytecode compiled, from there on.
    for number in range(round_count + 1):
        for (command, name), starts in zip(commands, comparison.starts, strict=True):
            _report(f"{START_NAME}: {command}")
            try:
                start = measure_start(command, name)
            except (StartFailed, OSError) as error:
                comparison.start_failures.append(f"{name or command}: {type(error).__name__}: {error}")
                continue
            if number:
                starts.append(start)


def _recover(arguments: argparse.Namespace) -> int:
    """Exit code as of main."""
    try:
        commands = dict(zip(arguments.start_command, arguments.start_command, strict=True))
        commands = commands or {peer: start_command_of(peer) for peer in arguments.peers or known_peers()}
        results = [measure_recovery(name, command, arguments.recovery, _report) for name, command in commands.items()]
    except (BrokerRefused, MessagesMissing, OSError, StartFailed, PeerMissing) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    _report("")
    print(recovery.render(results, machine_text(describe_machine())))
    if arguments.json:
        arguments.json.write_text(json.dumps(recovery.as_json(results), indent=1) + "\n")
    return 0


def _write(arguments: argparse.Namespace, comparison: Comparison) -> int:
    text = tables.render(comparison)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(comparison.as_json(), indent=1) + "\n")
    if arguments.charts:
        # Only here, because matplotlib is an extra that measuring does without.
        from bench.charts import draw_charts

        images = draw_charts(comparison, arguments.charts)
        text += "".join(f"\n\n![{title}]({name})" for title, name in images)
    if arguments.page:
        tables.write_figures(arguments.page, text)
    if arguments.summary:
        summary.write_summary(arguments.summary, comparison)
    return 1 if comparison.has_failures else 0


def _report(text: str) -> None:
    """One line of progress, each over the last; only for people who watch."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
