"""systemd is told when the broker is ready, and when it ends."""

import itertools
import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.server import supervisor
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


def test_a_supervisor_that_reads_nothing_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "full")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with ExitStack() as open_sockets, capture_logs() as lines:

        def opened() -> socket.socket:
            return open_sockets.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))

        opened().bind(address)
        is_full = False
        while not is_full:  # One sender's own buffer may be full before the supervisor's.
            filling = opened()
            filling.setblocking(False)
            filling.connect(address)
            is_full = sent_until_full(filling) == 0
        telling = threading.Thread(target=supervisor.tell, args=(supervisor.READY,), daemon=True)
        telling.start()
        telling.join(20)
        assert not telling.is_alive()
    assert [(line["event"], line["state"]) for line in lines] == [("the supervisor was not told", "READY=1")]


def sent_until_full(filling: socket.socket) -> int:
    """Send until nobody takes more, and return how often it was."""
    for count in itertools.count():
        try:
            filling.send(b"x")
        except BlockingIOError:
            return count
    raise AssertionError
