"""The examples that the README shows do what it says they do."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.names import Names

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example: str, broker_url: str) -> list[str]:
    """Run the example in a process of its own, with warnings as errors; return the lines it printed."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / example), broker_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_pika_example_sends_and_does_its_tasks(broker_url: str, names: Names) -> None:
    names.queues.append("tasks")
    sent = [f"sent task {number}" for number in range(1, 4)]
    done = [f"done task {number}" for number in range(1, 4)]
    assert run("pika_tasks.py", broker_url) == sent + done


def test_aio_pika_example_gets_the_topics_it_asked_for(broker_url: str, names: Names) -> None:
    names.exchanges.append("events")
    assert run("aio_pika_events.py", broker_url) == ["got order.created", "got order.42.paid"]


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_readme_shows_the_example_as_it_is(example: str) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text()
    assert f"examples/{example}" in readme
