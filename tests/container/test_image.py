"""What the image is and how it starts: without rights, with a read-only root, with the line that tools wait for."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from tests.container.engine import READY, Container, Engine

REPOSITORY = Path(__file__).resolve().parents[2]
STOP_S = 5.0


def test_the_image_names_its_user_ports_volume_and_health_check(engine: Engine) -> None:
    configuration = engine.command("image", "inspect", "--format={{json .Config}}", engine.image)
    ports = [f'"{port}/tcp"' for port in (5671, 5672, 15671, 15672, 15691, 15692)]
    for part in (*ports, '"/var/lib/rabbitmq"', '"999:999"'):
        assert part in configuration


def test_the_broker_is_process_1_and_not_root(leveret: Container) -> None:
    status = leveret.execute("cat", "/proc/1/status").stdout
    assert "\nUid:\t999\t999\t999\t999\n" in status
    command = leveret.execute("cat", "/proc/1/cmdline").stdout.split("\0")
    assert not {"sh", "bash", "/bin/sh", "/bin/bash"} & set(command)
    assert any(part.endswith("/leveret") for part in command)


def test_every_module_is_compiled(leveret: Container) -> None:
    """The official base has none of Python's own compiled: a check would do it anew each time, and a start, too."""
    script = (
        "import os, sys\n"
        "from broker.command import main\n"
        "main(['-q', 'ping'], 'rabbitmq-diagnostics')\n"
        "import broker.server.lifecycle, broker.management.app\n"
        "found = [(name, getattr(module, '__cached__', None)) for name, module in sys.modules.items()]\n"
        "print(*[name for name, cached in found if cached and not os.path.exists(cached)], sep='\\n')\n"
    )
    assert leveret.execute("/opt/leveret/bin/python", "-c", script).stdout.split() == ["Ping", "succeeded"]


def test_the_ready_line_is_there_once(leveret: Container) -> None:
    assert leveret.logs.count(READY) == 1


def test_guest_is_admitted_from_outside(leveret: Container) -> None:
    with leveret.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("outside", durable=True)
        channel.basic_publish("", "outside", b"hello")
        assert channel.basic_get("outside", auto_ack=True)[2] == b"hello"
        channel.queue_delete("outside")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--read-only",), id="read-only root"),
        pytest.param(("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"), id="and without rights"),
        pytest.param(("--read-only", "--user=12345:0"), id="and as any user"),
    ],
)
def test_it_runs_with_a_read_only_root(engine: Engine, run: Callable[..., Container], options: tuple[str, ...]) -> None:
    # podman would mount writable places of its own; docker has none either.
    container = run(*options, *(("--read-only-tmpfs=false",) if engine.name.endswith("podman") else ()))
    assert container.execute("touch", "/opt/leveret/new").returncode != 0
    assert container.execute("touch", "/tmp/new").returncode != 0
    with container.connect() as connection:
        connection.channel().queue_declare("read-only", durable=True)
    assert container.stop()[0] == 0


def test_stop_ends_it_with_exit_code_0(run: Callable[..., Container]) -> None:
    container = run()
    with container.connect() as idle:
        exit_code, seconds = container.stop()
        assert exit_code == 0
        assert seconds < STOP_S
        with pytest.raises(pika.exceptions.ConnectionClosed) as closed:
            idle.process_data_events(1)
        assert closed.value.reply_code == 320


def test_stop_does_not_wait_for_a_client_that_answers_nothing(run: Callable[..., Container]) -> None:
    container = run()
    idle = container.connect()
    idle.channel()
    exit_code, seconds = container.stop()
    assert exit_code == 0
    assert seconds < STOP_S
    with pytest.raises(pika.exceptions.ConnectionClosed):
        idle.process_data_events(1)


def test_a_wrong_flag_ends_it_with_one_line(run: Callable[..., Container]) -> None:
    container = run(command=("leveret", "--prot", "1"), is_awaited=False)
    assert container.wait_end() == 2
    assert "did you mean --port?" in container.logs


def test_it_starts_fast(run: Callable[..., Container]) -> None:
    began = time.monotonic()
    run()
    assert time.monotonic() - began < 10  # a bound for busy machines; docs/operating.md has what is measured


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, REPOSITORY / "Dockerfile"], capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
