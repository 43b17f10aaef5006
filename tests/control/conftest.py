"""A broker for the command line's tests, and the command as a function."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest

from broker import command
from tests.brokers import RunningBroker


@dataclass
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Ctl = Callable[..., Done]


@pytest.fixture(scope="session")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker with an HTTP port, which all tests of the command line share: use names of your own."""
    directory = tmp_path_factory.mktemp("control") / "data"
    with RunningBroker(directory, "--management-port", "any", "--metrics-port", "none") as broker:
        yield broker


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ctl:
    """A function that runs the command in this process: ``run("ctl", "ping")``; ``name=`` is argv[0]."""
    for name in (
        "LEVERET_DATA_DIR",
        "LEVERET_URL",
        *(name for name in os.environ if name.startswith("RABBITMQADMIN_")),
    ):
        monkeypatch.delenv(name, raising=False)

    def run_it(*arguments: str, name: str = "leveret") -> Done:
        capsys.readouterr()
        try:
            code = command.main(arguments, name)
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run_it


@pytest.fixture
def ctl(run: Ctl, managed: RunningBroker) -> Ctl:
    """``rabbitmqctl`` of the shared broker."""

    def run_it(*arguments: str, data_dir: Path | None = None) -> Done:
        return run(*arguments, "--data-dir", str(data_dir or managed.data_dir), name="rabbitmqctl")

    return run_it


@pytest.fixture
def channel(managed: RunningBroker) -> Iterator[Any]:
    """A channel of the default user's."""
    connection = pika.BlockingConnection(pika.URLParameters(managed.url))
    yield connection.channel()
    if connection.is_open:
        connection.close()
