"""Leveret as a process of its own, for tests from outside: started, killed, stopped, started again."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

READY = "Server startup complete"

# Far more than is ever needed: a machine that is busy must not make a test fail.
START_S = 60.0
STOP_S = 15.0


class BrokerProblem(AssertionError):
    """The broker did not do what every test counts on; the text has all that it printed."""


class RunningBroker:
    """``leveret`` in a process of its own, on a free port of 127.0.0.1, with its data in ``data_dir``.

    It is ready when the constructor returns. Flags are given without defaults: ``RunningBroker(path,
    "--heartbeat-s", "1")``. ``lines`` has what it has printed so far, as JSON objects where they are that.
    """

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """``before()`` is called in the new process, before it is the broker."""
        self.before = before
        self.data_dir = data_dir
        self.flags = flags
        self.environment = dict(environment or {})
        self.port = 0
        self.output: list[str] = []
        self._changed = threading.Condition()
        self.start()

    @property
    def url(self) -> str:
        """The AMQP URL of the default user and virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> None:
        """Start the process and wait until it is ready; again on the same port if it had one."""
        self.output = []
        self._has_ended = False
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "broker", "--host", "127.0.0.1", "--port", str(self.port)),
                *("--data-dir", str(self.data_dir), "--log-format", "json", *self.flags),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            env=clean_environment() | self.environment,
            preexec_fn=self.before,
        )
        self._reader = threading.Thread(target=self._read, name="broker output", daemon=True)
        self._reader.start()
        try:
            self.port = int(self.wait_for_event(READY, START_S).get("port", 0))
        except BaseException:
            self.kill()
            raise

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log's lines about ``name`` so far."""
        found = (json.loads(line) for line in list(self.output) if line.startswith("{"))
        return [event for event in found if event.get("event") == name]

    def wait_for_event(self, name: str, seconds: float = STOP_S) -> dict[str, Any]:
        """Return the first log line about ``name``, waiting for it. Raises BrokerProblem when none comes."""
        with self._changed:
            something = self._changed.wait_for(lambda: self.events(name) or self._has_ended, seconds)
        events = self.events(name)
        if not events:
            what = "did not log" if not something else "ended without logging"
            raise BrokerProblem(f"the broker {what} {name!r}; its output:\n{''.join(self.output)}")
        return events[0]

    def kill(self) -> None:
        """Kill it (SIGKILL): it gets no chance to write anything more."""
        self.process.kill()
        self._ended(STOP_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and return its exit code. Raises BrokerProblem when it does not stop."""
        self.process.send_signal(number)
        return self._ended(STOP_S)

    def restart(self) -> None:
        """Stop it in order, unless it has ended already, and start it again: same port, same data."""
        if self.process.poll() is None:
            exit_code = self.stop()
            if exit_code != 0:
                raise BrokerProblem(f"exit code {exit_code}; its output:\n{''.join(self.output)}")
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self._ended(STOP_S)

    def wait(self) -> int:
        """Return its exit code when it has ended. Raises BrokerProblem when it does not end."""
        return self._ended(STOP_S)

    def _ended(self, seconds: float) -> int:
        try:
            exit_code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BrokerProblem(f"the broker did not stop; its output:\n{''.join(self.output)}") from None
        self._reader.join(seconds)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return exit_code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.output.append(line)
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of a broker, so that none comes from the developer's shell."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("LEVERET_")}
    # Fixed ports would be in use beside another test's broker; who wants HTTP passes the flags.
    return environment | {"LEVERET_MANAGEMENT_PORT": "none", "LEVERET_METRICS_PORT": "none"}
