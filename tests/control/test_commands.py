"""The command as such: where it finds the broker, what it refuses, under which names it answers, what it costs."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from broker.control.socket_path import address_of
from tests.brokers import RunningBroker, clean_environment
from tests.control.conftest import Ctl
from tests.management.client import Api

SECONDS = 20


def amqp(broker: RunningBroker, user: str = "guest", password: str = "guest") -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(f"amqp://{user}:{password}@127.0.0.1:{broker.port}/%2F"))


def http_port(broker: RunningBroker) -> int:
    return int(broker.wait_for_event("HTTP")["port"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("bogus_verb",), "Command 'bogus_verb' not found; rabbitmqctl help lists them all"),
        (("list_queue",), "Command 'list_queue' not found; did you mean 'list_queues'?"),
        (("add_user",), "not enough arguments (usage: add_user <username> [<password>] [--pre-hashed-password])"),
        (("add_vhost", "a", "b"), "too many arguments (usage: add_vhost <vhost> "),
        (("list_queues", "--bogus"), "Invalid options for this command: --bogus (usage: list_queues "),
        (("list_queues", "--formatter", "xml"), "Formatter xml not found; "),
        (("list_queues", "-t", "soon"), "--timeout must be a number of seconds"),
        (("--url", "ftp://x", "list_users"), "--url must be http://"),
        (("ping", "-p"), "-p needs a value: <vhost>"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_code_64(run: Ctl, arguments: tuple[str, ...], text: str) -> None:
    done = run(*arguments, name="rabbitmqctl")
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith(f"Error: {text}")
    assert len(done.err.splitlines()) == 1


def test_without_a_broker_the_code_is_69(run: Ctl, tmp_path: Path) -> None:
    done = run("ctl", "list_queues", "--data-dir", str(tmp_path))
    assert (done.code, len(done.err.splitlines())) == (69, 1)
    assert "cannot reach the broker at" in done.err
    assert run("ctl", "--url", "http://127.0.0.1:1", "list_users").code == 69
    assert run("ctl", "await_startup", "-t", "0.2", "--data-dir", str(tmp_path)).code == 75


def test_a_broker_elsewhere_is_reached_by_its_url(run: Ctl, managed: RunningBroker) -> None:
    url = f"http://guest:guest@127.0.0.1:{http_port(managed)}"
    assert "guest\t[administrator]" in run("ctl", "--url", url, "list_users").lines
    assert run("ctl", "--url", url, "-q", "check_running").code == 0
    assert run("ctl", "--url", url, "-q", "check_local_alarms").code == 0
    assert run("ctl", "--url", url, "-q", "check_port_connectivity").code == 0
    assert run("ctl", "--url", url, "stop").code == 69
    wrong = run("ctl", "--url", url.replace("guest:guest", "guest:hunter2"), "list_users")
    assert (wrong.code, "hunter2" in wrong.err) == (65, False)
    assert run("ctl", "--url", "http://guest:hunter2@127.0.0.1:1", "list_users").err.count("hunter2") == 0


def test_the_data_directory_comes_from_the_environment(
    run: Ctl, managed: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERET_DATA_DIR", str(managed.data_dir))
    assert run("ctl", "-q", "ping").out == "Ping succeeded\n"


def test_the_socket_is_its_owners_alone(managed: RunningBroker) -> None:
    file = managed.data_dir / "control.sock"
    assert file.stat().st_mode & 0o777 == 0o600
    assert managed.data_dir.stat().st_mode & 0o077 == 0


def test_a_socket_left_from_a_kill_is_replaced_and_one_is_removed_at_the_end(
    run: Ctl, own_broker: RunningBroker
) -> None:
    own_broker.kill()
    assert (own_broker.data_dir / "control.sock").exists()
    assert run("ctl", "-q", "ping", "--data-dir", str(own_broker.data_dir)).code == 69
    own_broker.start()
    assert run("ctl", "-q", "ping", "--data-dir", str(own_broker.data_dir)).code == 0
    own_broker.stop()
    assert not (own_broker.data_dir / "control.sock").exists()


def test_a_data_directory_with_a_long_path_has_a_socket_too(
    run: Ctl, start_broker: Callable[..., RunningBroker], tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    broker = start_broker("--management-port", "none", "--metrics-port", "none", data_dir=deep / "data")
    assert run("ctl", "-q", "ping", "--data-dir", str(broker.data_dir)).code == 0


@pytest.mark.parametrize("verb", ["stop", "shutdown"])
def test_stop_ends_the_broker_in_order(run: Ctl, own_broker: RunningBroker, verb: str) -> None:
    assert run("ctl", verb, "--data-dir", str(own_broker.data_dir)).code == 0
    assert own_broker.wait() == 0


def test_stop_app_reset_start_app(run: Ctl, own_broker: RunningBroker) -> None:
    def ctl(*arguments: str) -> int:
        return run("ctl", *arguments, "--data-dir", str(own_broker.data_dir)).code

    connection = amqp(own_broker)
    connection.channel().queue_declare("q", durable=True)
    assert ctl("add_user", "u", "p") == 0
    assert ctl("reset") == 64
    assert ctl("stop_app") == 0
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(10)
    assert ctl("check_running") == 69
    assert ctl("ping") == 0
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        amqp(own_broker)
    assert ctl("reset") == 0
    assert ctl("start_app") == 0
    assert ctl("authenticate_user", "u", "p") == 65
    own_broker.kill()
    own_broker.start()
    with amqp(own_broker) as connection, pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        connection.channel().queue_declare("q", passive=True)
    assert closed.value.reply_code == 404


def test_http_tells_what_the_operator_has_set(run: Ctl, start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", "any", "--metrics-port", "none")
    api = Api(http_port(broker))

    def ctl(*arguments: str) -> str:
        done = run("ctl", *arguments, "--data-dir", str(broker.data_dir))
        assert done.code == 0, done.err
        return done.out

    ctl("set_vm_memory_high_watermark", "absolute", "123GB")
    ctl("set_disk_free_limit", "1234567")
    (node,) = api.get("nodes")
    assert (node["mem_limit"], node["disk_free_limit"]) == (123_000_000_000, 1_234_567)
    metrics = {line.split()[0]: line.split()[1] for line in api("GET", "/metrics").body.splitlines() if line[:1] != "#"}
    assert float(metrics["rabbitmq_resident_memory_limit_bytes"]) == 123_000_000_000
    assert float(metrics["rabbitmq_disk_space_available_limit_bytes"]) == 1_234_567
    assert "Memory high watermark: 123.0 gb" in ctl("status")
    assert "Memory high watermark: 123000.0 mb" in ctl("status", "--unit", "mb")

    checks = ("/health/ready", "/api/health/checks/is-in-service", "/api/health/checks/ready-to-serve-clients")
    ctl("stop_app")
    assert [api("GET", path).status for path in checks] == [503, 503, 503]
    assert api("GET", "/health/live").status == 200
    ctl("start_app")
    assert [api("GET", path).status for path in checks] == [200, 200, 200]


def test_http_tells_when_no_more_connections_may_come(start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", "any", "--metrics-port", "none", "--connection-max", "1")
    api = Api(http_port(broker))
    check = "health/checks/below-node-connection-limit"
    assert api.get(check) == {"status": "ok"}
    with amqp(broker):
        answer = api("GET", check)
        assert (answer.status, answer.body["status"], answer.body["limit"]) == (503, "failed", 1)


def test_a_health_check_loads_only_what_it_needs(managed: RunningBroker) -> None:
    """What it costs is what it loads; docs/operating.md has the figure and the command that measures it."""
    script = (
        "import sys\n"
        "from broker.command import main\n"
        "code = main(['-q', 'check_running'], 'rabbitmq-diagnostics')\n"
        "print(*sys.modules, sep='\\n')\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        encoding="utf-8",
        env=clean_environment() | {"LEVERET_DATA_DIR": str(managed.data_dir)},
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    loaded = set(done.stdout.split())
    assert not loaded & {"pydantic", "starlette", "uvicorn", "structlog", "asyncio", "uvloop", "pamqp", "tempfile"}
    assert not loaded & {"http.client", "email", "ssl", "dataclasses", "inspect", "argparse", "subprocess"}
    own = {name for name in loaded if name.startswith(("broker.", "protocol.", "storage."))}
    assert all(name in ("broker.command", "broker.loading") or name.startswith("broker.control") for name in own)


def test_links_are_installed_and_answer_by_their_names(run: Ctl, managed: RunningBroker, tmp_path: Path) -> None:
    script = tmp_path / "leveret"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom broker.command import main\nsys.exit(main())\n")
    script.chmod(0o755)
    names = tmp_path / "bin"
    names.mkdir()
    environment = clean_environment() | {"LEVERET_DATA_DIR": str(managed.data_dir)}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, capture_output=True, encoding="utf-8", env=environment, timeout=SECONDS, check=False
        )

    assert call(str(script), "install-names", str(names)).returncode == 0
    assert call(str(script), "install-names", str(names)).returncode == 0
    assert sorted(os.listdir(names)) == [
        "rabbitmq-diagnostics",
        "rabbitmq-plugins",
        "rabbitmq-queues",
        "rabbitmq-server",
        "rabbitmq-streams",
        "rabbitmq-upgrade",
        "rabbitmqadmin",
        "rabbitmqctl",
    ]
    assert call(str(names / "rabbitmq-diagnostics"), "-q", "ping").stdout == "Ping succeeded\n"
    assert "guest\t[administrator]" in call(str(names / "rabbitmqctl"), "list_users").stdout
    assert call(str(names / "rabbitmq-plugins"), "enable", "rabbitmq_management").returncode == 0
    assert "declare <kind>" in call(str(names / "rabbitmqadmin"), "--help").stdout
    assert call(str(names / "rabbitmq-server"), "--version").stdout.startswith("leveret ")
    (names / "rabbitmqctl").unlink()
    (names / "rabbitmqctl").write_text("something else")
    assert call(str(script), "install-names", str(names)).returncode == 65


def test_plugins_are_accepted(run: Ctl) -> None:
    def plugins(*arguments: str) -> tuple[int, str]:
        done = run(*arguments, name="rabbitmq-plugins")
        return done.code, done.out

    assert plugins("enable", "--offline", "rabbitmq_management", "rabbitmq_shovel")[0] == 0
    assert plugins("disable", "rabbitmq_management")[0] == 0
    assert plugins("enable", "nosuch") == (70, "Enabling plugins on node rabbit:\nnosuch\n")
    assert (plugins("enable")[0], plugins("enable", "--all")[0]) == (64, 0)
    assert plugins("disable", "nosuch")[0] == 0  # as RabbitMQ
    assert "rabbitmq_management\n" in plugins("list", "-m", "-e")[1]
    assert "[E*] rabbitmq_prometheus" in plugins("-q", "list")[1]
    assert "[  ] rabbitmq_mqtt not there\n" in plugins("-q", "list", "^rabbitmq_mqtt$")[1]
    assert "rabbitmq_management\n" in plugins("-q", "list", "-m", "-E", "rabbitmq_management")[1]
    (found,) = json.loads(plugins("list", "--formatter", "json", "prometheus")[1])["plugins"]
    assert found == {"name": "rabbitmq_prometheus", "enabled": "enabled", "running": True}
    assert plugins("is_enabled", "--offline", "rabbitmq_management")[0] == 0
    assert plugins("directories")[0] == 0
    assert plugins("version")[1].count(".") >= 1
    assert plugins("bogus")[0] == 64
    assert plugins("is_enabled", "rabbitmq_management")[0] == 0
    assert plugins("is_enabled", "rabbitmq_mqtt")[0] == 69
    assert run("plugins", "list", "-m").code == 0


def test_a_client_that_sends_nothing_does_not_keep_the_broker_from_ending(own_broker: RunningBroker) -> None:
    with socket.socket(socket.AF_UNIX) as silent, address_of(own_broker.data_dir / "control.sock") as address:
        silent.connect(address)
        began = time.monotonic()
        assert own_broker.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5


def test_the_log_level_is_set_while_it_runs(run: Ctl, start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", "none", "--metrics-port", "none")

    def set_level(level: str) -> int:
        return run("ctl", "set_log_level", level, "--data-dir", str(broker.data_dir)).code

    def connect() -> None:
        amqp(broker).close()

    connect()
    broker.wait_for_event("connection closed")
    assert set_level("warning") == 0
    connect()
    assert set_level("info") == 0
    connect()
    assert set_level("nonsense") == 69
    assert set_level("error") == 0
    assert [each["to"] for each in broker.events("log level was set")] == ["warning", "info", "error"]
    assert broker.stop() == 0
    assert len(broker.events("connection opened")) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "the answer is no http"),
        (b"SSH-2.0-x\r\n\r\n", "the answer is no http"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "the answer is cut off"),
    ],
)
def test_an_answer_that_is_none_is_told_in_one_line(run: Ctl, tmp_path: Path, answer: bytes, error: str) -> None:
    with socket.socket(socket.AF_UNIX) as listening, address_of(tmp_path / "control.sock") as address:
        listening.bind(address)
        listening.listen(1)

        def answer_once() -> None:
            with listening.accept()[0] as asking:
                while not asking.recv(65536).endswith(b"\r\n\r\n"):
                    pass
                asking.sendall(answer)

        answering = threading.Thread(target=answer_once)
        answering.start()
        done = run("ctl", "ping", "--data-dir", str(tmp_path))
        answering.join(SECONDS)
    where = tmp_path / "control.sock"
    assert (done.code, done.err) == (69, f"Error: cannot reach the broker at {where}: {error}\n")
