"""rabbitmqadmin's second version, as scripts call it: groups first, ``--name``, silence after what goes well."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from tests.brokers import RunningBroker
from tests.control.conftest import Ctl, Done
from tests.waiting import until

Admin = Callable[..., Done]


@pytest.fixture
def admin(run: Ctl, managed: RunningBroker) -> Admin:
    """``rabbitmqadmin`` of the shared broker."""
    port = str(managed.wait_for_event("HTTP")["port"])
    return lambda *arguments: run("-P", port, *arguments, name="rabbitmqadmin")


@pytest.fixture
def quiet(admin: Admin) -> Callable[..., None]:
    """The same for what says nothing, since all goes well."""

    def run_it(*arguments: str) -> None:
        done = admin(*arguments)
        assert (done.code, done.out, done.err) == (0, "", ""), arguments

    return run_it


def listed(admin: Admin, *words: str) -> list[list[str]]:
    """Return the words of each line that a list has without frames."""
    done = admin("--non-interactive", *words)
    assert (done.code, done.err) == (0, "")
    return [line.split() for line in done.lines]


def test_verbs_before_kinds(admin: Admin, quiet: Callable[..., None]) -> None:
    quiet("declare", "queue", "--name", "a2", "--type", "quorum", "--durable", "true")
    made = {"name": "a2", "arguments": {"x-queue-type": "quorum"}}
    assert made in admin("-f", "raw_json", "list", "queues", "name", "arguments").json
    quiet("declare", "exchange", "--name=x2", "--type=topic")
    ends = ("--source", "x2", "--destination-type", "queue", "--destination", "a2")
    quiet("declare", "binding", *ends, "--routing-key", "k.#")
    message = ("--exchange", "x2", "--routing-key", "k.1", "--payload", "--hello")
    assert admin("publish", "message", *message).out == "Message published\n"
    assert "--hello" in admin("get", "messages", "--queue", "a2", "--ack-mode", "ack_requeue_true").out
    assert "--hello" in admin("get", "messages", "--queue", "a2", "--count", "1").out
    assert admin("get", "messages", "--queue", "a2").out == "No items\n", "by default it is taken out"
    quiet("purge", "queue", "--name", "a2")
    quiet("declare", "vhost", "--name", "a2v")
    quiet("declare", "user", "--name", "a2u", "--password", "p", "--tags", "management")
    patterns = ("--configure", ".*", "--write", ".*", "--read", "")
    quiet("--vhost", "a2v", "declare", "permissions", "--user", "a2u", *patterns)
    quiet("-u", "a2u", "-p", "p", "--vhost", "a2v", "declare", "queue", "--name", "q")
    quiet("delete", "binding", *ends, "--routing-key", "k.#")
    for kind, name in (("queue", "a2"), ("exchange", "x2"), ("user", "a2u"), ("vhost", "a2v")):
        quiet("delete", kind, "--name", name)


def test_groups_before_actions(admin: Admin, quiet: Callable[..., None]) -> None:
    quiet("vhosts", "declare", "--name", "gv", "--default-queue-type", "quorum", "--description", "groups")
    quiet("users", "declare", "--name", "gu", "--password", "p")
    quiet("permissions", "declare", "--vhost", "gv", "--user", "gu", "--configure", "", "--write", "", "--read", ".*")
    assert "gu" in admin("users", "permissions").out
    within = ("--vhost", "gv")
    quiet(*within, "permissions", "declare", "--user", "guest", "--configure", ".*", "--write", ".*", "--read", ".*")
    quiet(
        *within, "queues", "declare", "--name", "q", "--type", "classic", "--durable", "true", "--auto-delete", "false"
    )
    quiet(*within, "streams", "declare", "--name", "s", "--expiration", "3D", "--max-length-bytes", "1000000")
    quiet(*within, "exchanges", "declare", "--name", "x", "--type", "topic", "--durable", "true")
    assert [row[0] for row in listed(admin, *within, "queues", "list")] == ["q", "s"]
    assert [row[0] for row in listed(admin, *within, "streams", "list")] == ["s"]
    assert ["x", "topic"] in listed(admin, *within, "exchanges", "list")
    shown = ("--name", "s", "--columns", "name,type")
    assert listed(admin, *within, "streams", "show", *shown) == [["s", "stream"]]
    ends = ("--source", "x", "--destination-type", "queue", "--destination", "q", "--routing-key", "k")
    quiet(*within, "exchanges", "bind", *ends)
    assert ["x", "q", "k"] in listed(admin, *within, "bindings", "list")
    quiet(*within, "exchanges", "unbind", *ends)
    assert admin(*within, "bindings", "delete", *ends).code == 65
    quiet(*within, "bindings", "declare", *ends, "--arguments", '{"a":1}')
    quiet(*within, "bindings", "delete", *ends, "--arguments", '{"a":1}')
    policy = ("--name", "p", "--pattern", "^q", "--definition", '{"max-length":5}', "--priority", "3")
    for kind in ("policies", "operator_policies"):
        quiet(*within, kind, "declare", *policy, "--apply-to", "queues")
        assert "^q" in admin(*within, kind, "list_in").out
        quiet(*within, kind, "delete", "--name", "p")
    quiet(*within, "vhost_limits", "declare", "--name", "max-queues", "--value", "9")
    quiet(*within, "vhost_limits", "delete", "--name", "max-queues")
    quiet("user_limits", "declare", "--user", "gu", "--name", "max-channels", "--value", "9")
    assert "max-channels" in admin("-f", "raw_json", "list", "user_limits", "--user", "gu").out
    quiet("user_limits", "delete", "--user", "gu", "--name", "max-channels")
    quiet("global_parameters", "set", "--name", "gp", "--value", '{"a":1}')
    assert "gp" in admin("global_parameters", "list").out
    quiet("global_parameters", "clear", "--name", "gp")
    quiet(*within, "queues", "purge", "--name", "q")
    quiet(*within, "queues", "delete", "--name", "q", "--idempotently")
    quiet(*within, "queues", "delete", "--idempotently", "--name", "q")
    quiet("users", "delete", "--name", "gu")
    quiet("vhosts", "delete", "--name", "gv")
    for words in (
        "nodes list",
        "connections list",
        "channels list",
        "consumers list",
        "vhosts list",
        "parameters list_all",
    ):
        assert admin("--non-interactive", *words.split()).code == 0, words
    for words in (
        "feature_flags list",
        "deprecated_features list",
        "deprecated_features list_used",
        "shovels list_all",
    ):
        assert admin(*words.split()).code == 0, words
    for words in ("plugins list_all", "auth_attempts stats", "show churn", "nodes memory_breakdown_in_bytes"):
        assert admin(*words.split()).code == 0, words
    for words in ("rebalance queues", "feature_flags enable_all", "feature_flags enable --name quorum_queue"):
        quiet(*words.split())
    assert admin("show", "endpoint").lines[-1].endswith("/api")
    assert "password_hash" in admin("passwords", "salt_and_hash", "secret").out


def test_connections_of_a_user_are_listed_and_closed(
    admin: Admin, quiet: Callable[..., None], managed: RunningBroker
) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(managed.url))
    assert "guest" in admin("users", "connections", "--username", "guest").out
    quiet("users", "close_connections", "--username", "guest")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(time_limit=20)
    until(lambda: admin("--non-interactive", "users", "connections", "--username", "guest").out == "", "it stays")
    quiet("close", "user_connections", "--username", "guest")


def test_health_checks(admin: Admin, managed: RunningBroker) -> None:
    checks = ("local_alarms", "cluster_wide_alarms", "node_is_quorum_critical", "deprecated_features_in_use")
    for name in checks:
        assert admin("health_check", name).out == "health check passed\n"
    assert admin("health_check", "port_listener", "--port", str(managed.port)).code == 0
    assert admin("health_check", "protocol_listener", "--protocol", "amqp091").code == 0
    assert admin("health_check", "port_listener", "--port", "1").code == 69
    assert admin("health_check", "port_listener").code == 2
    assert admin("health_check", "weather").code == 2


def test_definitions_by_file_and_by_standard_streams(
    admin: Admin, quiet: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "definitions.json"
    quiet("definitions", "export", "--file", str(file))
    assert json.loads(file.read_text())["users"] == admin("definitions", "export", "--stdout").json["users"]
    quiet("--non-interactive", "definitions", "import", "--file", str(file))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    quiet("definitions", "import", "--stdin")
    quiet("export", "definitions", "--file", str(file))
    quiet("import", "definitions", "--file", str(file))
    quiet("--vhost", "/", "definitions", "export_from_vhost", "--file", str(file))
    assert "users" not in json.loads(file.read_text())
    quiet("--vhost", "/", "definitions", "import_into_vhost", "--file", str(file))
    assert admin("definitions", "export", "--file", str(tmp_path / "no" / "where")).code == 65


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("queues declare --name", 2, '*** Argument "name" not in the form name=value'),
        ("queues declare --nome q", 2, '*** Argument "nome" not recognised'),
        ("queues declare --type quorum", 2, '*** mandatory argument "name" is required'),
        ("queues juggle --name q", 2, "*** Subcommand queues juggle not recognised"),
        ("vhosts delete_multiple --name-pattern x", 2, "*** Subcommand vhosts delete_multiple not recognised"),
        ("queues delete --name nosuch", 65, "*** "),
        ("definitions export --stdout --transformations no_op", 2, "*** --transformations are not supported"),
        ("-p wrong queues list", 65, "*** the user or its password is wrong"),
        ("-P 1 queues list", 74, "*** cannot reach the broker at http://localhost:1: "),
    ],
)
def test_what_is_wrong_ends_with_the_second_versions_codes(admin: Admin, words: str, code: int, text: str) -> None:
    done = admin(*words.split())
    assert (done.code, done.out, len(done.err.splitlines())) == (code, "", 1)
    assert done.err.startswith(text)


def test_options_come_from_the_second_versions_file(admin: Admin, tmp_path: Path) -> None:
    file = tmp_path / "admin.conf"
    file.write_text("[here]\nhostname = \"127.0.0.1\"\nusername = \"guest\"\npassword = 'guest'\nvhost = '/'\n")
    assert admin("--config", str(file), "--node", "here", "--non-interactive", "users", "list").code == 0
