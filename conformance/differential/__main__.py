"""The command: ``python -m conformance.differential URL URL2``. Exit code 0 only when no script showed a difference."""

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from conformance.differential.generator import script_of
from conformance.differential.lockstep import HASTE_S, Difference, Pair
from conformance.differential.script import BadProgram, Script, from_program, to_program
from conformance.differential.shrink import shrunk
from conformance.run import meet
from conformance.wire import Address, Mismatch

REPEATS = 2
"""How often a script must fail again to count: a race inside a broker is no difference between two."""


@dataclass
class Found:
    """What a run found."""

    differences: list[tuple[str, Script, Difference]] = field(default_factory=list)
    unrepeated: list[tuple[str, Difference]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code: 0, 1 for differences, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    try:
        pair = _pair(options.url, options.url2)
        scripts = (
            _replayed(options.replay) if options.replay else _scripts(options.seed, options.scripts, options.first)
        )
    except (OSError, Mismatch, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        found = compare(pair, scripts, shrinks=options.shrink, most=options.most)
    finally:
        pair.close()
    for name, script, difference in found.differences:
        program = to_program(script, [name, *_remarks(difference, pair.labels)])
        print(program)
        if options.save:
            options.save.mkdir(parents=True, exist_ok=True)
            (options.save / f"{name.replace('/', '-').replace(' ', '-')}.py").write_text(program)
    _summary(found, time.monotonic() - began, pair.labels)
    return 1 if found.differences else 0


def compare(pair: Pair, scripts: dict[str, Script], *, shrinks: bool = True, most: int = 10) -> Found:
    """Run the scripts on both brokers; stop after ``most`` different ones."""
    found = Found()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("scripts", total=len(scripts))
        for name, script in scripts.items():
            _compare_one(pair, name, script, found, shrinks)
            progress.advance(task)
            if len(found.differences) >= most:
                break
    return found


def _compare_one(pair: Pair, name: str, script: Script, found: Found, shrinks: bool) -> None:
    outcome = pair.run(script)
    found.counts.update({"scripts": 1, "steps": outcome.step_count, "left out": outcome.skipped_count})
    first = outcome.difference
    if first is None:
        return
    kind = first.kind

    def fails(candidate: Script) -> bool:
        difference = pair.run(candidate, HASTE_S).difference
        return difference is not None and difference.kind == kind

    if not all(fails(script) for _ in range(REPEATS)):
        found.unrepeated.append((name, first))
        return
    if shrinks:
        script = shrunk(script if first.step is None else script[: first.step + 1], fails)
    found.differences.append((name, script, pair.run(script).difference or first))


def _remarks(difference: Difference, labels: tuple[str, str]) -> list[str]:
    when = "at the end" if difference.step is None else f"after step {difference.step + 1}"
    return [f"{difference.about}, {when}:", f"{labels[0]}:", difference.left, f"{labels[1]}:", difference.right]


def _summary(found: Found, seconds: float, labels: tuple[str, str]) -> None:
    counts = found.counts
    for name, difference in found.unrepeated:
        print(f"# {name}: seen once, not again:", *_remarks(difference, labels), sep="\n#   ")
    print(
        f"{counts['scripts']} scripts, {counts['steps']} steps ({counts['left out']} left out) in {seconds:.0f} s on"
        f" {labels[0]} and {labels[1]}: {len(found.differences)} different, {len(found.unrepeated)} seen once only"
    )


def _scripts(seed: str, count: int, first: int) -> dict[str, Script]:
    names = [f"{seed}/{number}" for number in range(first, first + count)]
    return {f"seed {name}": script_of(name) for name in names}


def _replayed(path: Path) -> dict[str, Script]:
    try:
        return {str(path): from_program(path.read_text())}
    except BadProgram as error:
        raise ValueError(f"{path}: {error}") from error


def _pair(url: str, url2: str) -> Pair:
    brokers = [meet(Address.parse(each), "") for each in (url, url2)]
    return Pair(brokers[0].address, brokers[1].address, (brokers[0].label, brokers[1].label))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m conformance.differential", description=__doc__)
    parser.add_argument("url", metavar="URL", help="amqp://user:password@host:port/vhost of the broker that judges")
    parser.add_argument("url2", metavar="URL2", help="the broker to be compared with it")
    parser.add_argument("--scripts", type=int, default=300, metavar="N", help="how many scripts (default 300)")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="number of the first script (default 0)")
    parser.add_argument("--seed", default=str(random.randrange(10**6)), metavar="S", help="any text; else a random one")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the program in FILE instead")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false", help="print failing scripts as they are")
    parser.add_argument("--most", type=int, default=10, metavar="N", help="stop after N different scripts (default 10)")
    parser.add_argument("--save", type=Path, metavar="DIRECTORY", help="write each printed program to a file there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
