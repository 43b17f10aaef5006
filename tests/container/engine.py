"""docker or podman as a test uses it: run the image, look at a container, talk to it from outside."""

import json
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Final

import pika

READY: Final = "Server startup complete"

# A machine that is busy must not make a test fail.
SECONDS: Final = 60.0


class EngineProblem(AssertionError):
    """The engine, or the container that it runs, did not do what every test counts on."""


@dataclass(frozen=True)
class Engine:
    """A container engine's command, ``docker`` or ``podman``, and the image under test."""

    name: str
    image: str

    def ask(self, *arguments: str, input_text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Return what the engine's command did, whatever its exit code."""
        return subprocess.run(
            [self.name, *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
            input=input_text,
        )

    def command(self, *arguments: str) -> str:
        """Return the standard output of a command that must succeed. Raises EngineProblem."""
        done = self.ask(*arguments)
        if done.returncode != 0:
            raise EngineProblem(f"{self.name} {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def run(self, *options: str, command: tuple[str, ...] = ()) -> "Container":
        """Run the image in the background, with its AMQP and HTTP ports on free ports of 127.0.0.1."""
        ports = [f"--publish=127.0.0.1::{port}" for port in (5672, 15672, 15692)]
        return Container(self, self.command("run", "--detach", *ports, *options, self.image, *command).strip())


@dataclass(frozen=True)
class Container:
    """One container of an engine, by its id."""

    engine: Engine
    container_id: str

    def inspect(self) -> dict[str, Any]:
        """Return all that the engine knows of it."""
        found: dict[str, Any] = json.loads(self.engine.command("inspect", self.container_id))[0]
        return found

    @property
    def logs(self) -> str:
        """What it has printed so far, both streams."""
        done = self.engine.ask("logs", self.container_id)
        return done.stdout + done.stderr

    def execute(self, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Return what a command in the container did (``docker exec``)."""
        return self.engine.ask("exec", *options, self.container_id, *command)

    def wait_ready(self, starts: int = 1) -> None:
        """Wait for the line that testcontainers waits for. Raises EngineProblem with the log when none comes.

        ``starts`` is how often it has been started: the log of a container goes on when it is started again.
        """
        deadline = time.monotonic() + SECONDS
        while self.logs.count(READY) < starts:
            if time.monotonic() > deadline or not self.inspect()["State"]["Running"]:
                raise EngineProblem(f"not ready: {self.logs}")

    def wait_end(self) -> int:
        """Wait until it ends; return its exit code."""
        return int(self.engine.command("wait", self.container_id))

    def port(self, port: int = 5672) -> int:
        """Return the port of 127.0.0.1 by which one of its ports is reached."""
        return int(self.engine.command("port", self.container_id, f"{port}/tcp").splitlines()[0].rpartition(":")[2])

    def connect(
        self, user: str = "guest", password: str = "guest", vhost: str = "/", port: int = 5672
    ) -> pika.BlockingConnection:
        """Return a connection from outside of the container."""
        credentials = pika.PlainCredentials(user, password)
        return pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", self.port(port), vhost, credentials, socket_timeout=SECONDS)
        )

    def stop(self) -> tuple[int, float]:
        """Stop it as ``docker stop`` does (SIGTERM, 10 s, SIGKILL); return its exit code and the seconds it took."""
        began = time.monotonic()
        self.engine.command("stop", "--time=10", self.container_id)
        return self.inspect()["State"]["ExitCode"], time.monotonic() - began

    def signal(self, name: str) -> None:
        """Send its first process a signal, for example KILL."""
        self.engine.command("kill", f"--signal={name}", self.container_id)

    def remove(self) -> None:
        """Remove it with its unnamed volume, also while it runs."""
        self.engine.ask("rm", "--force", "--volumes", self.container_id)
