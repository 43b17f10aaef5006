"""rabbitmqadmin's first version, as scripts call it, against a running broker."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers import RunningBroker, clean_environment
from tests.control.conftest import Ctl, Done

Admin = Callable[..., Done]


@pytest.fixture
def admin(run: Ctl, managed: RunningBroker) -> Admin:
    """``rabbitmqadmin`` of the shared broker."""
    port = str(managed.wait_for_event("HTTP")["port"])
    return lambda *arguments: run("-P", port, *arguments, name="rabbitmqadmin")


def test_objects_are_declared_listed_and_deleted(admin: Admin) -> None:
    assert admin("declare", "vhost", "name=av").out == "vhost declared\n"
    assert admin("declare", "user", "name=au", "password=p", "tags=administrator").out == "user declared\n"
    assert admin("declare", "permission", "vhost=av", "user=au", "configure=.*", "write=.*", "read=.*").code == 0
    assert admin("declare", "queue", "--vhost=av", "name=aq", "durable=true", "queue_type=quorum").code == 0
    assert admin("-V", "av", "declare", "exchange", "name=ax", "type=topic").out == "exchange declared\n"
    bound = admin("--vhost", "av", "declare", "binding", "source=ax", "destination=aq", "routing_key=k.#")
    assert bound.out == "binding declared\n"
    assert admin("-V", "av", "declare", "policy", "name=ap", "pattern=^z", 'definition={"max-length":1}').code == 0
    assert admin("declare", "vhost_limit", "vhost=av", "name=max-queues", "value=5").code == 0
    assert admin("-V", "av", "list", "queues", "name", "arguments", "-f", "raw_json").json == [
        {"name": "aq", "arguments": {"x-queue-type": "quorum"}}
    ]
    table = admin("-V", "av", "list", "queues").lines
    assert table[1] == "| name | messages |"
    assert table[3].startswith("| aq   | ")
    assert "ax\ttopic" in admin("-q", "-V", "av", "-f", "tsv", "list", "exchanges").lines
    for kind in ("users", "vhosts", "nodes", "policies", "operator_policies", "vhost_limits", "permissions"):
        assert admin("list", kind).code == 0
    for kind in ("connections", "channels", "consumers", "bindings", "parameters"):
        assert admin("-f", "long", "list", kind).code == 0
    assert "rabbitmq_version" in admin("show", "overview").out
    assert (
        admin(
            "-V",
            "av",
            "delete",
            "binding",
            "source=ax",
            "destination_type=queue",
            "destination=aq",
            "properties_key=k.%23",
        ).code
        == 0
    )
    assert admin("-V", "av", "delete", "queue", "name=aq").out == "queue deleted\n"
    assert admin("-V", "av", "delete", "exchange", "name=ax").out == "exchange deleted\n"
    assert admin("delete", "user", "name=au").code == 0
    assert admin("delete", "vhost", "name=av").code == 0


def test_messages_are_published_and_got(admin: Admin, tmp_path: Path) -> None:
    admin("declare", "queue", "name=am")
    assert admin("publish", "routing_key=am", "payload=hello").out == "Message published\n"
    assert admin("publish", "routing_key=nobody", "payload=x").out == "Message published but NOT routed\n"
    assert "hello" in admin("get", "queue=am").out
    file = tmp_path / "payload"
    got = admin("get", "queue=am", "ackmode=ack_requeue_false", f"payload_file={file}")
    assert (got.code, file.read_bytes()) == (0, b"hello")
    assert admin("get", "queue=am").out == "No items\n"
    assert (
        admin(
            "publish",
            "routing_key=am",
            "payload=" + base64.b64encode(b"\xff").decode(),
            "payload_encoding=base64",
            'properties={"delivery_mode":2}',
        ).code
        == 0
    )
    assert admin("purge", "queue", "name=am").out == "queue purged\n"
    assert admin("delete", "queue", "name=am").code == 0


def test_definitions_are_exported_and_imported(admin: Admin, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    assert admin("export", str(file)).code == 0
    assert json.loads(file.read_text())["users"]
    assert admin("-q", "import", str(file)).out == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("list", "cheese"), "*** Don't know how to list cheese"),
        (("declare", "queue"), '*** mandatory argument "name" is required'),
        (("declare", "queue", "name=x", "cheese=y"), '*** Argument "cheese" not recognised'),
        (("declare", "queue", "name"), '*** Argument "name" not in the form name=value'),
        (("declare", "queue", "name=x", "arguments={"), "*** Could not parse JSON: {"),
        (("delete", "queue", "name=nothing"), "*** "),
        (("cheese",), "*** Subcommand cheese not recognised"),
        (("-p", "hunter2", "list", "users"), "*** the user or its password is wrong"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(admin: Admin, arguments: tuple[str, ...], text: str) -> None:
    done = admin(*arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(text)
    assert "hunter2" not in done.err


@pytest.mark.parametrize("command", ["rabbitmqadmin", "rabbitmqctl"])
def test_who_reads_no_more_hears_no_complaint(managed: RunningBroker, command: str) -> None:
    """As in ``rabbitmqadmin list queues | head -n 1``."""
    words = {
        "rabbitmqadmin": ["-P", str(managed.wait_for_event("HTTP")["port"]), "list", "exchanges"],
        "rabbitmqctl": ["--data-dir", str(managed.data_dir), "-q", "list_exchanges"],
    }
    script = (
        "import os, sys\n"
        "read, write = os.pipe()\n"
        "os.close(read)\n"
        "os.dup2(write, 1)\n"
        "from broker.command import main\n"
        f"sys.exit(main({words[command]!r}, {command!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_options_come_from_a_file(admin: Admin, tmp_path: Path) -> None:
    file = tmp_path / "admin.conf"
    file.write_text("[here]\nhostname = 127.0.0.1\nusername = guest\npassword = guest\n")
    assert admin("-c", str(file), "-N", "here", "list", "users").code == 0
    assert admin("-c", str(file), "-N", "there", "list", "users").code == 1
