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
from pathlib import Path

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
    started_s: float
    """When its command began, by the monotonic clock."""
    answered_s: float
    """From then to its first answer."""


class LocalBroker:
    """A broker on this machine, made by its command: started, ended, and started again with the same data and ports.

    ``{port}``, ``{second_port}``, ``{third_port}`` (free ones) and ``{data_dir}`` (new and empty) are filled in.
    """

    def __init__(self, command: str) -> None:
        self._ports = dict(zip(PORT_FIELDS, _free_ports(len(PORT_FIELDS)), strict=True))
        self.port = self._ports["port"]
        self._data_dir = tempfile.mkdtemp(prefix="bench-start-")
        self._words = [word.format(data_dir=self._data_dir, **self._ports) for word in shlex.split(command)]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by remove
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, limit_s: float = START_LIMIT_S) -> Running:
        """Return when it has answered. Raises StartFailed, and OSError where there is no such program."""
        started_s = time.monotonic()
        self._process = subprocess.Popen(
            self._words, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True, env=_environment()
        )
        try:
            answered_at_s = _wait_answer(self._process, self.port, limit_s)
        except StartFailed:
            self._output.seek(0)
            sys.stderr.write(self._output.read().decode(errors="replace"))
            raise
        listener = processes.listening_process(self.port) or self._process.pid
        return Running(port=self.port, process=listener, started_s=started_s, answered_s=answered_at_s - started_s)

    def stop(self, limit_s: float = STOP_LIMIT_S) -> float:
        """End it in order, if it will within ``limit_s``; return how long that took."""
        began_s = time.monotonic()
        self._end((signal.SIGTERM, limit_s), (signal.SIGKILL, STOP_LIMIT_S))
        return time.monotonic() - began_s

    def kill(self) -> None:
        """End it at once: it gets no chance to write anything more."""
        self._end((signal.SIGKILL, STOP_LIMIT_S))

    def remove(self) -> None:
        """End what is left of it, and remove its data."""
        self.stop()
        _stop_listeners(list(self._ports.values()))
        self._output.close()
        shutil.rmtree(self._data_dir, ignore_errors=True)

    def _end(self, *ways: tuple[signal.Signals, float]) -> None:
        """End the command's whole session."""
        if self._process is None:
            return
        for how, limit_s in ways:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)
            deadline = time.monotonic() + limit_s
            while time.monotonic() < deadline:
                # A shell that started the broker may end before it: the group has gone when its last process has.
                self._process.poll()
                try:
                    os.killpg(self._process.pid, 0)
                except ProcessLookupError:
                    self._process.wait()
                    self._process = None
                    return
                time.sleep(ASK_PAUSE_S)


@contextlib.contextmanager
def running(command: str) -> Iterator[Running]:
    """Start ``command``, wait until it answers, and in the end stop it and remove its data.

    Raises as LocalBroker does.
    """
    broker = LocalBroker(command)
    try:
        yield broker.start()
    finally:
        broker.remove()


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


def _environment() -> dict[str, str]:
    """Return the environment of what is started: as installed, where bytecode is compiled once and not at each start.

    Where this process was told to write none, it goes to a directory beside.
    """
    environment = dict(os.environ)
    if environment.pop("PYTHONDONTWRITEBYTECODE", ""):
        environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "bench-bytecode")
    return environment


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]


def _wait_answer(broker: subprocess.Popen[bytes], port: int, limit_s: float) -> float:
    """When the first octet came."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if broker.poll() is not None:
            raise StartFailed(f"the command ended with exit code {broker.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=limit_s) as peer:
                peer.sendall(wire.PROTOCOL_HEADER)
                if peer.recv(1):
                    return time.monotonic()
        except ConnectionError:
            pass
        time.sleep(ASK_PAUSE_S)
    raise StartFailed(f"no answer within {limit_s:.0f} s")


def _stop_listeners(ports: list[int]) -> None:
    """End what has left the session but still listens on a port given to the command (Erlang's epmd)."""
    for port in ports:
        listener = processes.listening_process(port)
        if listener:
            with contextlib.suppress(ProcessLookupError):
                os.kill(listener, signal.SIGTERM)
