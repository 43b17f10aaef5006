"""A RabbitMQ of one's own: what is said when it does not start, and that nothing of it stays."""

import os
from pathlib import Path

import pytest

from conformance.local_rabbitmq import RabbitMqProblem, found, running


def _command(directory: Path, script: str) -> Path:
    command = directory / "rabbitmq-server"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    return command


def test_a_node_that_does_not_start_is_one_line_with_its_words(tmp_path: Path) -> None:
    command = _command(tmp_path, "echo no Erlang\necho anywhere\nexit 3")
    with (
        pytest.raises(RabbitMqProblem, match=r"ended with exit code 3; it printed: no Erlang anywhere$"),
        running(command),
    ):
        pass


def test_a_node_has_a_name_and_data_of_its_own_and_they_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_NODENAME", "production")
    seen = tmp_path / "seen"
    command = _command(tmp_path, f'echo "$RABBITMQ_NODENAME $RABBITMQ_MNESIA_BASE $HOME" > {seen}')
    with pytest.raises(RabbitMqProblem), running(command):
        pass
    name, data, home = seen.read_text().split()
    assert name.startswith(f"conformance-{os.getpid()}-")
    assert data.startswith(home)
    assert not Path(home).exists()


def test_the_command_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = _command(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found() == command
