"""Workload S: time from a broker's command to the first answered protocol header, and idle memory."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from bench import processes, wire

START_LIMIT_S = 60.0
ASK_PAUSE_S = 0.002
IDLE_S = 1.0
STOP_LIMIT_S = 20.0


class StartFailed(Exception):
    """The command ended, or did not answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUp:
    """One start."""

    process: str
    """The command name of the process that listens."""
    answered_s: float
    """From the command's start to the first octets of connection.start."""
    idle_octets: int
    """Proportional resident memory of the process tree, a second later, without connections."""


def measure_start(command: str) -> StartUp:
    """Start ``command`` with ``{port}`` and ``{data_dir}`` filled in, ask, look at its memory, end it.

    Raises StartFailed, and OSError where there is no such program.
    """
    port = _free_port()
    data_dir = tempfile.mkdtemp(prefix="bench-start-")
    words = [word.format(port=port, data_dir=data_dir) for word in shlex.split(command)]
    started_s = time.monotonic()
    with tempfile.TemporaryFile() as output:
        broker = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            answered_at_s = _wait_answer(broker, port)
            time.sleep(IDLE_S)
            tree = processes.process_tree(processes.listening_process(port) or broker.pid)
            return StartUp(
                process=processes.command_name(tree[0]),
                answered_s=answered_at_s - started_s,
                idle_octets=processes.resident_octets(tree),
            )
        except StartFailed:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            raise
        finally:
            _stop(broker)
            shutil.rmtree(data_dir, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_answer(broker: subprocess.Popen[bytes], port: int) -> float:
    """When the first octet came."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if broker.poll() is not None:
            raise StartFailed(f"the command ended with exit code {broker.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=START_LIMIT_S) as peer:
                peer.sendall(wire.PROTOCOL_HEADER)
                if peer.recv(1):
                    return time.monotonic()
        except ConnectionError:
            pass
        time.sleep(ASK_PAUSE_S)
    raise StartFailed(f"no answer within {START_LIMIT_S:.0f} s")


def _stop(broker: subprocess.Popen[bytes]) -> None:
    """End the command's whole session, in order if it will."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(broker.pid, how)
        except ProcessLookupError:
            break
        try:
            broker.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            continue
        break
