"""A Celery worker, a client that waits for results, and Flower, which watches both and asks the HTTP API for queues."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.conftest import DEADLINE_S, Node, free_port, require, wait_until

APP = "tests.tools.tasks"


def stopped(process: "subprocess.Popen[bytes]") -> None:
    """End it; how it ends is not what is tested."""
    process.kill()
    process.wait()


@pytest.fixture
def worker(node: Node, tmp_path: Path) -> Iterator[Path]:
    """A worker with events on; its output is the file."""
    require("celery")
    output = tmp_path / "worker"
    options = ("-c", "1", "-P", "solo", "-E", "-n", "one@here", "-l", "INFO")
    process = node.start("celery", "-A", APP, "worker", *options, output=output)
    try:
        wait_until(lambda: "one@here ready" in output.read_text(), "the worker is ready")
        yield output
    finally:
        stopped(process)


@pytest.fixture
def flower(node: Node, tmp_path: Path) -> Iterator[str]:
    """Flower's address."""
    require("celery", "flower")
    port, output = free_port(), tmp_path / "flower"
    api = f"--broker-api=http://guest:guest@127.0.0.1:{node.http_port}/api/"
    process = node.start("celery", "-A", APP, "flower", f"--port={port}", "--address=127.0.0.1", api, output=output)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: bool(fetched(f"{url}/healthcheck")), "Flower answers")
        yield url
    finally:
        stopped(process)


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
        text: str = answer.read().decode()
        return text


def client(node: Node) -> str:
    """Send tasks, wait for their results and return those."""
    done = subprocess.run(
        [sys.executable, "-c", f"from {APP} import send; send()"],
        env=node.environment,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout


def test_worker_does_tasks_retries_and_those_for_later(node: Node, worker: Path) -> None:
    assert client(node).split() == [*(str(number + 1) for number in range(20)), "101", "201"]
    text = worker.read_text()
    assert "Traceback" not in text
    assert text.count("succeeded in") == 22


def test_flower_sees_worker_tasks_and_queues(node: Node, worker: Path, flower: str) -> None:
    def workers() -> Any:
        return json.loads(fetched(f"{flower}/api/workers?refresh=1"))

    wait_until(lambda: "one@here" in workers(), "Flower sees the worker")
    client(node)

    def succeeded() -> int:
        tasks = json.loads(fetched(f"{flower}/api/tasks")).values()
        return sum(task["state"] == "SUCCESS" for task in tasks)

    wait_until(lambda: succeeded() >= 20, "Flower sees the tasks")

    def lengths() -> list[tuple[str, int]]:
        answer = json.loads(fetched(f"{flower}/api/queues/length"))
        return [(each["name"], each["messages"]) for each in answer["active_queues"]]

    wait_until(lambda: lengths() == [("tools", 0)], "Flower sees that the queue is empty")
    page = fetched(f"{flower}/broker")
    assert "tools" in page
