"""``make torture``: the test kinds of docs/promises.md with their nightly numbers, and a summary of what was run.

Each kind is done in slices, one pytest each. Every slice that ends is noted in ``--results``, and a slice that has
passed is not done again, so a run that was stopped goes on where it was; ``--fresh`` forgets what was noted.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

RESULTS: Final = Path(".torture") / "results.jsonl"
HOME: Final = Path(__file__).parents[2]


class Kind(NamedTuple):
    """One test kind: the tests, in how many slices, what it is, and which of the tests (-k), if not all.

    ``module`` is run instead of tests, where it is given, with {slice} for the slice's number; it does ``each`` times
    ``unit``, or fails.
    """

    tests: str
    slices: int
    what: str
    chosen: str = ""
    module: str = ""
    each: int = 0
    unit: str = ""


KERNEL: Final = "tests/faults/test_kernel.py"
KINDS: Final = {
    "T1": Kind("tests/crash/test_kill_ledger.py", 10, "kill -9 under load, with a ledger"),
    "T2": Kind(KERNEL, 10, "SIGKILL at every system call; T8 with it: first boot and stop", "killed_at_every_call"),
    "T3": Kind("tests/storage/test_crash.py tests/storage/test_power_cuts.py", 10, "power cuts; T7: in recovery too"),
    "T4": Kind("tests/storage/test_torn_tails.py", 10, "torn tails"),
    "T5": Kind("tests/storage/test_damage.py tests/storage/test_flipped_bits.py", 10, "flipped bits, moved blocks"),
    "T6": Kind(
        f"{KERNEL} tests/faults/test_broker_disk.py tests/storage/test_full_disk.py tests/storage/test_short_writes.py",
        10,
        "calls that fail, disks that are full",
        "not killed_at_every_call",
    ),
    "T9": Kind(
        "tests/server/test_broker_machine.py tests/storage/test_store_machine.py", 100, "random histories; T11 with it"
    ),
    "T10": Kind(
        "",
        20,
        "the whole broker on a virtual clock, network and disk",
        "",
        "tests.simulation {slice}000001 --count 1000 --keep-going",
        1000,
        "simulations",
    ),
    "T12": Kind("tests/server/test_frame_fuzz.py tests/faults/test_frame_fuzz.py", 50, "frames that are nearly right"),
    "T13": Kind(
        "",
        10,
        "the same scripts on RabbitMQ, where one is installed",
        "",
        "tests.conformance_self scripts --seed night-{slice} --scripts 200",
        200,
        "scripts",
    ),
    "T14": Kind("tests/faults/test_slow_clients.py", 1, "slow and stalled clients"),
    "T15": Kind("tests/faults/test_bad_clients.py", 1, "many connections, and many that come and go"),
    "T16": Kind("tests/crash/test_deep_restart.py tests/crash/test_deep_queue.py", 1, "deep queues"),
    "T19": Kind("tests/formats", 1, "data directories that versions have left"),
    "T17": Kind("", 1, "a broker that works for hours, with faults", "", "tests.soak --hours 8", 8, "hours"),
}


def run_slice(name: str, kind: Kind, index: int, more: Sequence[str]) -> dict[str, Any]:
    """Run one slice; return what is noted of it."""
    if kind.module:
        arguments = kind.module.format(slice=index).split()
    else:
        arguments = ["pytest", "--quiet", *kind.tests.split(), *(["-k", kind.chosen] if kind.chosen else []), *more]
    with tempfile.TemporaryDirectory() as directory:
        tally = Path(directory) / "tally.json"
        environment = {
            "LEVERET_TORTURE": "night",
            "LEVERET_TORTURE_SLICE": f"{index}/{kind.slices}",
            "LEVERET_TORTURE_TALLY": str(tally),
            "LEVERET_SESSION_STEPS": "60",
            "LEVERET_REQUIRE_STRACE": "1",
        }
        began_s = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=HOME,
            env=os.environ | environment | {"PYTEST_DEBUG_TEMPROOT": directory},
            check=False,
        )
        found = json.loads(tally.read_text()) if tally.exists() else {"ran": [], "measured": []}
        if kind.module and ended.returncode == 0:
            found["ran"].append([name, kind.unit, kind.each])
        return {
            "kind": name,
            "slice": index,
            "slices": kind.slices,
            "passed": ended.returncode == 0,
            "seconds": round(time.monotonic() - began_s, 1),
            "revision": revision(),
            **found,
        }


def revision() -> str:
    """The short name of what is checked out, or nothing where that is not known."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HOME, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def noted(path: Path) -> list[dict[str, Any]]:
    """What earlier runs have noted: of each slice the last."""
    if not path.exists():
        return []
    notes = [json.loads(line) for line in path.read_text().splitlines()]
    return list({(note["kind"], note["slices"], note["slice"]): note for note in notes}.values())


def summary(notes: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each kind that has been run, with the numbers that were."""
    lines = []
    for name, kind in KINDS.items():
        own = [note for note in notes if note["kind"] == name and note["slices"] == kind.slices]
        if not own:
            continue
        ran: Counter[tuple[str, str]] = Counter()
        for note in own:
            for each, unit, number in note["ran"]:
                ran[each, unit] += number
        passed = sum(note["passed"] for note in own)
        minutes = sum(note["seconds"] for note in own) / 60
        lines.append(f"{name}: {kind.what}: {passed} of {kind.slices} slices passed, {minutes:.1f} min")
        lines += [f"    {each}: {number:,} {unit}" for (each, unit), number in sorted(ran.items())]
        lines += [f"    {each}: {what}" for note in own for each, what in note.get("measured", [])]
        lines += [f"    slice {note['slice']} FAILED at {note['revision']}" for note in own if not note["passed"]]
    return lines


def run_kind(name: str, chosen: argparse.Namespace) -> bool:
    """Run what is left of a kind; whether all of it passed."""
    kind = KINDS[name]
    done = {
        note["slice"]
        for note in noted(chosen.results)
        if note["kind"] == name and note["slices"] == kind.slices and note["passed"]
    }
    left = [index for index in range(kind.slices) if index not in done]
    have_passed = True
    for index in left[: chosen.slices]:
        say(f"== {name}, slice {index} of {kind.slices}: {kind.what}")
        note = run_slice(name, kind, index, chosen.pytest.split())
        with chosen.results.open("a") as results:
            results.write(json.dumps(note) + "\n")
        have_passed &= note["passed"]
    return have_passed


def main() -> int:
    """Run what is left; 1 if something failed or it was stopped."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__, add_help=True)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all if none is named")
    parser.add_argument("--results", type=Path, default=HOME / RESULTS, help="where results are noted")
    parser.add_argument("--fresh", action="store_true", help="forget the results of these kinds first")
    parser.add_argument("--slices", type=int, help="do so many slices of each kind at most")
    parser.add_argument("--summary", action="store_true", help="print what was run so far, and run nothing")
    parser.add_argument("--pytest", default="", help="further words for pytest")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.kinds if name not in KINDS]
    if unknown:
        parser.error(f"there is no kind {', '.join(unknown)}")
    names = chosen.kinds or list(KINDS)
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    if chosen.fresh:
        kept = [note for note in noted(chosen.results) if note["kind"] not in names]
        chosen.results.write_text("".join(json.dumps(note) + "\n" for note in kept))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    has_failed = False
    try:
        for name in [] if chosen.summary else names:
            has_failed |= not run_kind(name, chosen)
    except KeyboardInterrupt:
        has_failed = True
    say("== Run so far (a slice that failed is done again by the next run):")
    for line in summary(noted(chosen.results)):
        say(line)
    return int(has_failed)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
