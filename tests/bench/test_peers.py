"""Commands that start brokers, and what the bench command refuses before it starts any."""

import socket
import sys
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import peers
from bench.client import Address, Client
from bench.startup import running


def test_rabbitmq_gets_names_ports_and_directories_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_SERVER", "/opt/rabbit/sbin/rabbitmq-server")
    text = peers.start_command_of(peers.RABBITMQ).format(port=1, second_port=2, third_port=3, data_dir="/d")
    words = text.split()
    assert (words[0], words[-1]) == ("env", "/opt/rabbit/sbin/rabbitmq-server")
    assert {
        "HOME=/d",
        "ERL_EPMD_PORT=3",
        "RABBITMQ_NODENAME=bench-1@localhost",
        "RABBITMQ_NODE_PORT=1",
        "RABBITMQ_DIST_PORT=2",
        "RABBITMQ_MNESIA_BASE=/d/mnesia",
    } <= set(words)


def test_rabbitmq_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RABBITMQ_SERVER", raising=False)
    monkeypatch.setattr(peers, "RABBITMQ_PROGRAMS", ("no-such-rabbit",))
    with pytest.raises(peers.PeerMissing, match="rabbitmq-server"):
        peers.start_command_of(peers.RABBITMQ)


def test_leveret_runs_until_it_is_no_longer_needed() -> None:
    with running(peers.start_command_of(peers.LEVERET)) as broker:
        Client(Address(port=broker.port)).close()
        assert Path(f"/proc/{broker.process}").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker.port), timeout=5)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--peers leveret hare", "unknown broker 'hare'"),
        ("--series speed", "unknown series 'speed'"),
        ("--largest 10,20,30 --compare 1 2", "one size, or one for each broker"),
        ("--largest many", "one size, or one for each broker"),
        ("--workloads S", "needs --start-command or --peers"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments.split()])
    assert command.main() == 2
    assert reason in capsys.readouterr().err


def test_missing_client_libraries_leave_their_workload_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "missing_libraries", lambda: ["pika"])
    monkeypatch.setattr(sys, "argv", ["bench", "--port", "1"])
    assert command.main() == 1
    assert "Y is left out: it needs pika" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["bench", "--workloads", "Y"])
    assert command.main() == 2
