"""The conformance suite, or the random scripts, against a Leveret that is started for it, and RabbitMQ beside it.

``python -m tests.conformance_self [suite|scripts] [flags of python -m conformance, or of conformance.differential]``:
RabbitMQ is the one that is found on this machine, started for the run. Without one the suite runs against Leveret
alone and says so; the random scripts cannot (exit code 69).
"""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from conformance.local_rabbitmq import RabbitMqProblem, found, running
from tests.brokers import RunningBroker

NOT_FOUND = "no rabbitmq-server is found on this machine"


def main(arguments: list[str]) -> int:
    """Return the exit code of what was run."""
    what, flags = (arguments[0], arguments[1:]) if arguments else ("suite", [])
    if what not in ("suite", "scripts"):
        sys.stderr.write(f"{what}: suite or scripts\n")
        return 2
    command = found()
    if command is None:
        if what == "scripts":
            sys.stderr.write(f"{NOT_FOUND}: there is nothing to compare Leveret with\n")
            return 69
        sys.stderr.write(f"{NOT_FOUND}: the suite runs against Leveret alone\n")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(RunningBroker(directory / "data")).url
        try:
            judge = None if command is None else stack.enter_context(running(command))
        except RabbitMqProblem as problem:
            sys.stderr.write(f"{problem}\n")
            return 69
        if what == "scripts":
            run = ["conformance.differential", str(judge), url, *flags]
        else:
            run = ["conformance", url, *(["--against", judge] if judge else []), *flags]
        return subprocess.run([sys.executable, "-m", *run], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
