"""Run simulations by hand: ``python -m tests.simulation 4711`` one seed, ``--trace`` with all that happens in it,
``--count 1000`` that many from there on. Exit code 1 where one fails, which is named.
"""

import argparse
import sys
import time
import traceback

from tests.simulation.run import replay_command, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--count", type=int, default=1, help="how many seeds, from SEED on")
    parser.add_argument("--trace", action="store_true", help="tell all that happens")
    parser.add_argument("--keep-going", action="store_true", help="go on after a seed that fails")
    flags = parser.parse_args()
    out = sys.stdout
    began = time.monotonic()
    failed = 0
    for seed in range(flags.seed, flags.seed + flags.count):
        result = simulate(seed, keeps_lines=flags.trace)
        for line in result.lines:
            out.write(line + "\n")
        if result.error is not None:
            failed += 1
            if not flags.keep_going:
                traceback.print_exception(result.error, file=out)
            out.write(f"seed {seed}: {result.error!r}\n  again: {replay_command(seed)} --trace\n")
            out.flush()
            if not flags.keep_going:
                return 1
        if seed % 100 == 0 and flags.count > 100:
            out.write(f"{seed - flags.seed + 1} seeds, {failed} failed, {time.monotonic() - began:.0f} s\n")
            out.flush()
        if flags.count == 1 and result.error is None:
            out.write(f"seed {seed}: in order, {result.happenings} happenings, trace {result.trace:08x}\n")
    out.write(f"{flags.count} seeds, {failed} failed, {time.monotonic() - began:.1f} s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
