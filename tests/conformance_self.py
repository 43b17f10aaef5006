"""``python -m tests.conformance_self``: the conformance suite against a Leveret that is started for it."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.brokers import RunningBroker


def main() -> int:
    """Return the suite's exit code."""
    with tempfile.TemporaryDirectory() as directory, RunningBroker(Path(directory) / "data") as broker:
        return subprocess.run([sys.executable, "-m", "conformance", broker.url], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
