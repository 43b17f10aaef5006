"""Start-up time and idle memory are measured of any command that listens."""

import sys
from pathlib import Path

import pytest

from bench.startup import StartFailed, measure_start

LISTEN = """
import socket, sys, time
time.sleep(0.2)
peer, _ = socket.create_server(("127.0.0.1", int(sys.argv[1]))).accept()
peer.recv(8)
peer.sendall(b"\\x01")
peer.recv(1)
time.sleep(60)
"""


def test_start_lasts_until_the_first_answer(tmp_path: Path) -> None:
    program = tmp_path / "listen.py"
    program.write_text(LISTEN)
    start = measure_start(f"{sys.executable} {program} {{port}}")
    assert start.process.startswith("python")
    assert 0.2 < start.answered_s < 10
    assert start.idle_octets > 1 << 20


def test_command_that_ends_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StartFailed, match="exit code 3"):
        measure_start(f"{sys.executable} -c 'print(\"no such thing\"); raise SystemExit(3)'")
    assert "no such thing" in capfd.readouterr().err
