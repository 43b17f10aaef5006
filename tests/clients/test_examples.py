"""The examples do what they say: those in the README as they stand there, and those in examples/."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.names import Names

ROOT = Path(__file__).parents[2]
README_URL = re.compile(r'"amqp://guest:guest@localhost:5672/[^"]*"')


def printed_by(*arguments: str) -> list[str]:
    """Run Python in a process of its own, with warnings as errors; return the lines it printed."""
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("client", ["pika", "aio_pika"])
def test_readme_example_prints_the_greeting(client: str, broker_url: str, names: Names) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (example,) = [block for block in blocks if re.search(rf"^import {client}$", block, re.MULTILINE)]
    example, replaced_count = README_URL.subn(repr(broker_url), example)
    assert replaced_count == 1
    names.queues.append("greetings")
    assert printed_by("-c", example) == ["Hello!"]


def test_pika_example_sends_and_does_its_tasks(broker_url: str, names: Names) -> None:
    names.queues.append("tasks")
    sent = [f"sent task {number}" for number in range(1, 4)]
    done = [f"done task {number}" for number in range(1, 4)]
    assert printed_by(str(ROOT / "examples" / "pika_tasks.py"), broker_url) == sent + done


def test_aio_pika_example_gets_the_topics_it_asked_for(broker_url: str, names: Names) -> None:
    names.exchanges.append("events")
    example = str(ROOT / "examples" / "aio_pika_events.py")
    assert printed_by(example, broker_url) == ["got order.created", "got order.42.paid"]
