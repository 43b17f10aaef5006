"""RabbitMQ's own rabbitmqadmin, the script of its first version, against Leveret; and ours beside it.

Debian's rabbitmq-server brings it; CI installs that.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest

from broker import command
from tests.management.client import Api
from tests.management.conftest import Node
from tests.management.judges import real_rabbitmqadmin

SECONDS = 60

Admin = Callable[..., str]


@pytest.fixture
def admin(node: Node, tmp_path: Path) -> Admin:
    """RabbitMQ's rabbitmqadmin, as a function from words to what it prints."""
    script = real_rabbitmqadmin()

    def call(*words: str, given: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, str(script), "-P", str(node.http_port), *words],
            input=given,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return call


@pytest.fixture
def ours(node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Admin:
    """Leveret's, in this process."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def call(*words: str) -> str:
        capsys.readouterr()
        code = command.main(["-P", str(node.http_port), *words], "rabbitmqadmin")
        shown = capsys.readouterr()
        assert (code, shown.err) == (0, "")
        return shown.out

    return call


def test_real_rabbitmqadmin_makes_uses_and_deletes_everything(
    admin: Admin, tmp_path: Path, connect: Callable[..., Any], vhost: str
) -> None:
    assert admin("declare", "vhost", "name=rv", "tracing=true") == "vhost declared\n"
    assert admin("declare", "vhost", "name=rv", "tracing=false") == "vhost declared\n"
    assert admin("declare", "user", "name=ru", "password=p", "tags=management,x") == "user declared\n"
    permission = ("configure=.*", "write=.*", "read=.*")
    assert admin("declare", "permission", "vhost=rv", "user=ru", *permission) == "permission declared\n"

    def within(*words: str, given: str | None = None) -> str:
        return admin("-V", "rv", "-u", "ru", "-p", "p", *words, given=given)

    assert within("declare", "exchange", "name=x", "type=topic") == "exchange declared\n"
    assert within("declare", "queue", "name=q", 'arguments={"x-max-length":5}') == "queue declared\n"
    assert within("declare", "queue", "name=qq", "queue_type=quorum") == "queue declared\n"
    assert within("declare", "binding", "source=x", "destination=q", "routing_key=a.#") == "binding declared\n"
    bound = ("source=x", "destination=x2", "destination_type=exchange", 'arguments={"n":1}')
    assert within("declare", "exchange", "name=x2", "type=fanout", "internal=true") == "exchange declared\n"
    assert within("declare", "binding", *bound) == "binding declared\n"
    policy = ("name=p", "pattern=^z", 'definition={"max-length":1}', "priority=2", "apply-to=queues")
    assert admin("-V", "rv", "declare", "policy", *policy) == "policy declared\n"
    assert admin("-V", "rv", "declare", "operator_policy", *policy) == "operator_policy declared\n"
    assert admin("declare", "vhost_limit", "vhost=rv", "name=max-queues", "value=9") == "vhost_limit declared\n"

    assert within("publish", "exchange=x", "routing_key=a.b", "payload=one") == "Message published\n"
    assert within("publish", "routing_key=q", given="two\n") == "Message published\n"
    assert within("publish", "exchange=x", "routing_key=b", "payload=x") == "Message published but NOT routed\n"
    columns = ("routing_key", "exchange", "message_count", "payload", "redelivered")
    messages = json.loads(within("-f", "raw_json", "get", "queue=q", "count=2", "ackmode=ack_requeue_true"))
    assert [[each[column] for column in columns] for each in messages] == [
        ["a.b", "x", 1, "one", False],
        ["q", "", 0, "two\n", False],
    ]
    file = tmp_path / "payload"
    within("get", "queue=q", "ackmode=ack_requeue_false", f"payload_file={file}")
    assert file.read_text() == "one"
    assert within("purge", "queue", "name=q") == "queue purged\n"

    definitions = tmp_path / "definitions.json"
    assert "Exported definitions" in admin("-V", "rv", "export", str(definitions))
    assert {each["name"] for each in json.loads(definitions.read_text())["queues"]} == {"q", "qq"}
    assert within("delete", "queue", "name=q") == "queue deleted\n"
    assert "Uploaded definitions" in admin("-V", "rv", "import", str(definitions))
    assert within("-f", "tsv", "-q", "list", "queues", "name", "messages") == "q\t0\nqq\t0\n"

    key = "properties_key=a.%23"
    assert (
        within("delete", "binding", "source=x", "destination_type=queue", "destination=q", key) == "binding deleted\n"
    )
    for kind in ("exchange", "queue"):
        assert within("delete", kind, f"name={'x' if kind == 'exchange' else 'q'}") == f"{kind} deleted\n"
    for kind in ("policy", "operator_policy"):
        assert admin("-V", "rv", "delete", kind, "name=p") == f"{kind} deleted\n"
    assert admin("delete", "vhost_limit", "vhost=rv", "name=max-queues") == "vhost_limit deleted\n"
    assert admin("delete", "permission", "vhost=rv", "user=ru") == "permission deleted\n"
    assert admin("delete", "user", "name=ru") == "user deleted\n"
    assert admin("delete", "vhost", "name=rv") == "vhost deleted\n"

    connection = connect()
    (name,) = json.loads(admin("-f", "raw_json", "list", "connections", "name"))
    assert admin("close", "connection", f"name={name['name']}") == "connection closed\n"
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(SECONDS)


LISTS = (
    *("exchanges", "queues", "bindings", "users", "vhosts", "permissions", "parameters", "policies"),
    *("operator_policies", "vhost_limits", "channels", "connections", "consumers", "nodes"),
)


@pytest.mark.parametrize("form", ["tsv", "table", "long", "kvp", "bash"])
def test_ours_prints_what_the_real_one_prints(
    admin: Admin, ours: Admin, api: Api, place: str, vhost: str, form: str
) -> None:
    api.put(f"queues/{place}/q", {"durable": True})
    api.put(f"policies/{place}/p", {"pattern": "x", "definition": {"max-length": 1}})
    for words in (
        ("list", "queues", "name", "messages"),
        ("list", "exchanges"),
        ("list", "bindings"),
        ("list", "users", "name", "tags"),
        ("list", "parameters"),
        ("list", "policies", "vhost", "name", "pattern"),
        ("show", "overview", "rabbitmq_version", "cluster_name"),
    ):
        vhost_words = ("-V", vhost, "-f", form, *words)
        assert ours(*vhost_words) == admin(*vhost_words), words


def test_real_rabbitmqadmin_lists_every_kind(admin: Admin, connect: Callable[..., Any]) -> None:
    channel = connect().channel()
    channel.queue_declare("q", exclusive=True)
    channel.basic_consume("q", print)
    for kind in LISTS:
        assert json.loads(admin("-f", "raw_json", "-d", "3", "list", kind)) is not None, kind
    assert "rabbitmq_version" in admin("show", "overview")
