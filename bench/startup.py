"""Starts brokers from their commands. Workload S: time to the first answered protocol header, and idle memory."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench import processes, wire

START_LIMIT_S = 60.0
ASK_PAUSE_S = 0.002
IDLE_S = 1.0
STOP_LIMIT_S = 20.0
PORT_FIELDS = ("port", "second_port", "third_port")


class StartFailed(Exception):
    """The command ended, or did not answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUp:
    """One start."""

    process: str
    """The broker's name, or the command name of the process that listens."""
    answered_s: float
    """From the command's start to the first octets of connection.start."""
    idle_octets: int
    """Proportional resident memory of the process tree, a second later, without connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A broker that has answered."""

    port: int
    process: int
    """The one that listens, or where that is not known the command's."""
    answered_s: float


@contextlib.contextmanager
def running(command: str) -> Iterator[Running]:
    """Start ``command``, wait until it answers, and in the end stop it and remove its data.

    ``{port}``, ``{second_port}``, ``{third_port}`` (free ones) and ``{data_dir}`` (new and empty) are filled in.
    Raises StartFailed, and OSError where there is no such program.
    """
    ports = dict(zip(PORT_FIELDS, _free_ports(len(PORT_FIELDS)), strict=True))
    port = ports["port"]
    data_dir = tempfile.mkdtemp(prefix="bench-start-")
    words = [word.format(data_dir=data_dir, **ports) for word in shlex.split(command)]
    started_s = time.monotonic()
    with tempfile.TemporaryFile() as output:
        broker = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            answered_at_s = _wait_answer(broker, port)
            listener = processes.listening_process(port) or broker.pid
            yield Running(port=port, process=listener, answered_s=answered_at_s - started_s)
        except StartFailed:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            raise
        finally:
            _stop(broker)
            _stop_listeners(list(ports.values()))
            shutil.rmtree(data_dir, ignore_errors=True)


def measure_start(command: str, name: str = "") -> StartUp:
    """Start ``command``, look at its memory, end it; ``name`` if the broker has one. Raises as ``running`` does."""
    with running(command) as broker:
        time.sleep(IDLE_S)
        tree = processes.process_tree(broker.process)
        return StartUp(
            process=name or processes.command_name(tree[0]),
            answered_s=broker.answered_s,
            idle_octets=processes.resident_octets(tree),
        )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]


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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(broker.pid, how)
        deadline = time.monotonic() + STOP_LIMIT_S
        while time.monotonic() < deadline:
            # A shell that started the broker may end before it: the group has gone when its last process has.
            broker.poll()
            try:
                os.killpg(broker.pid, 0)
            except ProcessLookupError:
                broker.wait()
                return
            time.sleep(ASK_PAUSE_S)


def _stop_listeners(ports: list[int]) -> None:
    """End what has left the session but still listens on a port given to the command (Erlang's epmd)."""
    for port in ports:
        listener = processes.listening_process(port)
        if listener:
            with contextlib.suppress(ProcessLookupError):
                os.kill(listener, signal.SIGTERM)
