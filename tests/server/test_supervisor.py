"""systemd is told when the broker is ready, and when it ends."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers import RunningBroker


@pytest.mark.parametrize("is_abstract", [False, True])
def test_readiness_and_the_end_are_told(
    start_broker: Callable[..., RunningBroker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool
) -> None:
    address = f"@leveret-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if is_abstract else address)
        listening.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        broker = start_broker()
        assert listening.recv(100) == b"READY=1"
        socket.create_connection(("127.0.0.1", broker.port), 20).close()
        assert broker.stop() == 0
        assert listening.recv(100) == b"STOPPING=1"


def test_a_supervisor_that_does_not_listen_is_no_reason_to_end(
    start_broker: Callable[..., RunningBroker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    broker = start_broker()
    assert broker.wait_for_event("the supervisor was not told")["state"] == "READY=1"
    assert broker.stop() == 0
