"""Start, stop and what lies between, from outside: a process, its output, its exit code, its directory."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
from pika.exceptions import AMQPConnectionError, ConnectionClosedByBroker

from storage.errors import StorageError
from tests.brokers import READY, STOP_S, RunningBroker, clean_environment

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

# What the whole stop may take; nothing in it waits for a timer unless a client does not answer.
STOP_LIMIT_S = 5.0

PATCHED_START = """
import threading
from broker.cli import main
from storage.errors import StorageError
from storage.store import Store
"""

StartBroker = Callable[..., RunningBroker]


def connect(broker: RunningBroker) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(broker.url))


def closed_by_broker(connection: pika.BlockingConnection) -> ConnectionClosedByBroker:
    """Return the error with which the broker closed the connection, once it has."""
    with pytest.raises(ConnectionClosedByBroker) as closed:
        connection.process_data_events(time_limit=STOP_S)
    return closed.value


def refused_start(data_dir: Path, *flags: str) -> tuple[int, str]:
    """Return exit code and last line of a broker that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "broker", "--host", "127.0.0.1", "--data-dir", str(data_dir), *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
        env=clean_environment(),
    )
    assert READY not in done.stdout
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_the_ready_line_is_the_first_moment_at_which_clients_are_answered(own_broker: RunningBroker) -> None:
    with socket.create_connection(("127.0.0.1", own_broker.port), timeout=STOP_S) as client:
        client.sendall(PROTOCOL_HEADER)
        assert client.recv(1) == b"\x01"
    assert len(own_broker.events(READY)) == 1


def test_the_ready_line_is_printed_at_every_log_level(start_broker: StartBroker) -> None:
    broker = start_broker("--log-level", "error")
    assert broker.stop() == 0
    assert len(broker.output) == 1


def test_the_ready_line_for_people_has_the_words_too(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "broker", "--port", "0", "--data-dir", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    assert process.stdout is not None
    with process:
        ready = next(line for line in process.stdout if READY in line)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert "port=" in ready
    assert READY not in rest
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_connections_with_320_and_ends_with_0(
    own_broker: RunningBroker, number: signal.Signals
) -> None:
    connection = connect(own_broker)
    started = time.monotonic()
    own_broker.process.send_signal(number)
    closed = closed_by_broker(connection)
    assert closed.reply_code == 320
    assert closed.reply_text == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    assert own_broker.wait() == 0
    assert time.monotonic() - started < STOP_LIMIT_S


def test_a_client_that_does_not_answer_cannot_keep_the_broker(own_broker: RunningBroker) -> None:
    connection = connect(own_broker)
    started = time.monotonic()
    assert own_broker.stop() == 0
    assert time.monotonic() - started < STOP_LIMIT_S
    closed_by_broker(connection)


def test_a_second_signal_does_not_wait(own_broker: RunningBroker) -> None:
    connection = connect(own_broker)  # does not answer, so the broker would wait for it
    own_broker.process.send_signal(signal.SIGTERM)
    own_broker.wait_for_event("connection error")
    assert own_broker.stop() == 128 + signal.SIGTERM
    assert own_broker.events("Leveret is forced to stop")
    with pytest.raises(AMQPConnectionError):
        connection.process_data_events(time_limit=STOP_S)


def test_no_client_is_accepted_while_stopping(own_broker: RunningBroker) -> None:
    connection = connect(own_broker)  # does not answer, so the broker waits for it
    own_broker.process.send_signal(signal.SIGTERM)
    own_broker.wait_for_event("connection error")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own_broker.port), timeout=STOP_S)
    assert own_broker.process.poll() is None
    assert own_broker.wait() == 0
    closed_by_broker(connection)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_durable_queue_and_confirmed_message_survive(own_broker: RunningBroker, end: str) -> None:
    connection = connect(own_broker)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("kept", durable=True)
    channel.basic_publish("", "kept", b"body", pika.BasicProperties(delivery_mode=2))
    if end == "kill":
        own_broker.kill()
        with pytest.raises(AMQPConnectionError):
            connection.process_data_events(time_limit=STOP_S)
    else:
        connection.close()
        own_broker.stop()
    own_broker.restart()
    with connect(own_broker) as after:
        _method, _properties, body = after.channel().basic_get("kept", auto_ack=True)
    assert body == b"body"
    (recovered,) = own_broker.events("recovered")
    assert recovered["messages"] == 1


def test_a_directory_in_use_is_told_and_left_as_it_is(own_broker: RunningBroker) -> None:
    with connect(own_broker) as connection:
        connection.channel().queue_declare("kept", durable=True)  # its answer says that all before is written
    before = contents(own_broker.data_dir)
    exit_code, line = refused_start(own_broker.data_dir, "--port", "0")
    assert exit_code == 69
    assert str(own_broker.data_dir) in line
    assert contents(own_broker.data_dir) == before
    connect(own_broker).close()


def test_a_directory_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not ours", encoding="utf-8")
    exit_code, line = refused_start(tmp_path / "data", "--port", "0")
    assert exit_code == 66
    assert str(tmp_path / "data") in line
    assert (tmp_path / "data").read_text(encoding="utf-8") == "not ours"


def test_a_directory_of_somebody_else_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    exit_code, line = refused_start(tmp_path, "--port", "0")
    assert exit_code == 65
    assert str(tmp_path) in line
    assert contents(tmp_path) == {str(tmp_path / "photo.jpg"): b"\xff\xd8"}


def test_a_port_in_use_is_told_and_no_directory_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        exit_code, line = refused_start(tmp_path / "data", "--port", str(port))
    assert (exit_code, line) == (71, f"leveret: cannot listen on 127.0.0.1:{port}: address already in use")
    assert not (tmp_path / "data").exists()


def test_a_reader_of_the_log_that_goes_away_does_not_stop_the_broker(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "broker",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--data-dir",
            str(tmp_path / "data"),
        ],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    assert process.stdout is not None
    with process:
        ready = next(line for line in process.stdout if READY in line)
        port = int(ready.partition("port=")[2].split()[0])
        process.stdout.close()
        for _ in range(3):
            pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port)).close()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell in /proc")
def test_an_idle_broker_takes_less_than_50_mib(tmp_path: Path) -> None:
    # structlog loads rich where it finds it: here, for the tests' sake, but not where only leveret is installed.
    (tmp_path / "rich.py").write_text("raise ImportError('not installed')\n", encoding="utf-8")
    with RunningBroker(tmp_path / "data", environment={"PYTHONPATH": str(tmp_path)}) as broker:
        connect(broker).close()
        status = Path(f"/proc/{broker.pid}/status").read_text(encoding="ascii")
    resident_kib = int(status.partition("VmRSS:")[2].split()[0])
    assert resident_kib < 50 * 1024


def start_with(patch: str, data_dir: Path) -> subprocess.Popen[str]:
    """Start a broker in which ``patch`` has been done to ``Store``."""
    return subprocess.Popen(
        [
            *(sys.executable, "-c", f"{PATCHED_START}\n{patch}\nraise SystemExit(main())"),
            *("--host", "127.0.0.1", "--port", "0", "--data-dir", str(data_dir)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=clean_environment(),
    )


def test_a_signal_while_recovering_ends_at_once_with_0(tmp_path: Path) -> None:
    endless = "Store.open = lambda *_, **__: print('recovering', flush=True) or threading.Event().wait()"
    with start_with(endless, tmp_path) as process:
        assert process.stdout is not None
        assert any("recovering" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert "Leveret stops before it was ready" in rest
    assert READY not in rest
    assert process.returncode == 0


def test_a_failing_disk_stops_the_broker_with_an_exit_code_of_its_own(tmp_path: Path) -> None:
    failing = """
opened = Store.open
def fail_soon(*arguments, notify, on_failure, **others):
    threading.Timer(0.1, notify, [lambda: on_failure(StorageError("no space left"))]).start()
    return opened(*arguments, notify=notify, on_failure=on_failure, **others)
Store.open = fail_soon"""
    with start_with(failing, tmp_path / "data") as process:
        assert process.stdout is not None
        output = process.stdout.read()
    assert "the log cannot be written, Leveret stops error='no space left'" in output
    assert process.returncode == StorageError.exit_code


def test_without_uvloop_it_runs_on_asyncios_loop(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('not installed')\n", encoding="utf-8")
    with RunningBroker(tmp_path / "data", environment={"PYTHONPATH": str(tmp_path)}) as broker:
        assert broker.events("Leveret starts")[0]["loop"] == "asyncio"
        connection = connect(broker)
        os.kill(broker.pid, signal.SIGTERM)
        closed_by_broker(connection)
        assert broker.wait() == 0
