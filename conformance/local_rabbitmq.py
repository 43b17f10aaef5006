"""Starts the RabbitMQ that is found on this machine, for as long as it is judged by: nothing is installed.

A node of its own: a name, ports, data, logs, cookie, and an ``epmd`` that no other node uses; all of it listens on
127.0.0.1 and is gone afterwards. Another RabbitMQ on the machine is neither needed nor noticed.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conformance.run import meet
from conformance.wire import Address, Mismatch

START_S = 120.0
"""A node starts in about ten seconds; a busy machine takes longer."""

STOP_S = 30.0

_BEHIND_THE_WRAPPER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""What Debian's and Red Hat's ``rabbitmq-server`` calls after it has become the user ``rabbitmq``. That user cannot
write to our directory, and others may not call the wrapper at all."""

_WANTED_PLUGINS = (
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
)
"""Exchange types: the cases about those that are not there do not apply."""


class RabbitMqProblem(Exception):
    """The RabbitMQ that was found does not start; the text is one line and says where its log is quoted from."""


def found() -> Path | None:
    """Return the command that starts a RabbitMQ here, or None where there is none."""
    on_path = shutil.which("rabbitmq-server", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if on_path is None:
        return None
    packaged = on_path.startswith("/usr/") and os.access(_BEHIND_THE_WRAPPER, os.X_OK)
    return _BEHIND_THE_WRAPPER if packaged else Path(on_path)


@contextmanager
def running(command: Path) -> Iterator[str]:
    """Start a node with the command, give its AMQP URL, and stop it. Raises RabbitMqProblem when it does not start."""
    with _running(command, 0) as url:
        yield url


@contextmanager
def running_managed(command: Path) -> Iterator[tuple[str, int]]:
    """As ``running``, with the management plugin; give the AMQP URL and the port of its HTTP API on 127.0.0.1.

    The API may answer a moment later than AMQP does.
    """
    (http_port,) = _free_ports(1)
    with _running(command, http_port) as url:
        yield url, http_port


@contextmanager
def _running(command: Path, http_port: int) -> Iterator[str]:
    # A short path: Erlang's sockets and a long TMPDIR do not go together.
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", dir="/tmp", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        port, dist_port, epmd_port = _free_ports(3)
        environment = _environment(command, directory, port, dist_port, epmd_port)
        if http_port:
            _add_management(directory, http_port)
        epmd = _started_epmd(epmd_port, environment)
        try:
            with (directory / "output").open("wb") as output:
                node = subprocess.Popen(
                    [str(command)],
                    cwd=directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                url = f"amqp://guest:guest@127.0.0.1:{port}/"
                _wait_until_ready(node, url, directory / "output")
                yield url
            finally:
                _stop(node)
        finally:
            if epmd is not None:
                epmd.kill()
                epmd.wait()


def _environment(command: Path, directory: Path, port: int, dist_port: int, epmd_port: int) -> dict[str, str]:
    """Write the node's files and return its environment; nothing of /etc/rabbitmq or of the caller's is used."""
    (directory / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n", encoding="utf-8")
    (directory / "advanced.config").write_text("[].\n", encoding="utf-8")
    (directory / "env.conf").write_text("", encoding="utf-8")
    (directory / "enabled_plugins").write_text(f"[{','.join(_plugins(command))}].\n", encoding="utf-8")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_", "LEVERET_"))
    }
    return inherited | {
        "HOME": str(directory),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": f"conformance-{os.getpid()}-{port}@localhost",
        "RABBITMQ_DIST_PORT": str(dist_port),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def _add_management(directory: Path, port: int) -> None:
    with (directory / "rabbitmq.conf").open("a", encoding="utf-8") as settings:
        settings.write(f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n")
    plugins = directory / "enabled_plugins"
    listed = plugins.read_text(encoding="utf-8").strip("[].\n")
    plugins.write_text(f"[{','.join(filter(None, ('rabbitmq_management', listed)))}].\n", encoding="utf-8")


def _plugins(command: Path) -> list[str]:
    """Return which of the plugins that cases are about come with the RabbitMQ of that command."""
    plugins = command.resolve().parent.parent / "plugins"
    if command == _BEHIND_THE_WRAPPER:
        plugins = next(iter(sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/plugins"))), plugins)
    return [name for name in _WANTED_PLUGINS if any(plugins.glob(f"{name}-*"))]


def _started_epmd(port: int, environment: dict[str, str]) -> subprocess.Popen[bytes] | None:
    """Start the port mapper in the foreground, so that it ends with us: the one that Erlang starts stays for ever."""
    command = shutil.which("epmd")
    if command is None:
        return None
    return subprocess.Popen(
        [command, "-port", str(port)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_until_ready(node: subprocess.Popen[bytes], url: str, output: Path) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            meet(Address.parse(url))
        except (OSError, Mismatch):
            if node.poll() is None and time.monotonic() < until:
                time.sleep(0.25)
                continue
        else:
            return
        lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
        what = "did not become ready" if node.poll() is None else f"ended with exit code {node.returncode}"
        raise RabbitMqProblem(f"{node.args!r} {what}; it printed: {' '.join(' '.join(lines).split())[-600:]}")


def _stop(node: subprocess.Popen[bytes]) -> None:
    """End the node in order, and with force if it does not end."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(node.pid, number)
        with suppress(subprocess.TimeoutExpired):
            node.wait(STOP_S)
            break
    with suppress(ProcessLookupError):  # the emulator, should its shell have gone before it
        os.killpg(node.pid, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
