"""Each verb of the command line against a running broker: what it prints, what it does, with what code it ends."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from broker.control.commands import verbs
from tests.brokers import RunningBroker
from tests.control.conftest import Ctl


def test_users_are_added_changed_listed_and_deleted(ctl: Ctl) -> None:
    assert ctl("add_user", "u1", "pw").lines[0] == 'Adding user "u1" ...'
    again = ctl("add_user", "u1", "pw")
    assert (again.code, again.err) == (70, 'Error: User "u1" already exists\n')
    assert ctl("set_user_tags", "u1", "administrator", "monitoring").lines == [
        'Setting tags for user "u1" to [administrator, monitoring] ...'
    ]
    assert "u1\t[administrator, monitoring]" in ctl("-s", "list_users").lines
    assert ctl("authenticate_user", "u1", "pw").lines == ['Authenticating user "u1" ...', "Success"]
    assert ctl("change_password", "u1", "new").code == 0
    assert ctl("authenticate_user", "u1", "pw").code == 65
    assert ctl("authenticate_user", "u1", "new").code == 0
    assert "u1\t[administrator, monitoring]" in ctl("-q", "list_users").lines
    assert ctl("clear_password", "u1").code == 0
    assert ctl("authenticate_user", "u1", "new").code == 65
    assert ctl("delete_user", "u1").lines == ['Deleting user "u1" ...']


@pytest.mark.parametrize(
    "arguments",
    [("delete_user", "nobody"), ("change_password", "nobody", "x"), ("set_user_tags", "nobody", "x")],
)
def test_who_does_not_exist_gets_code_67(ctl: Ctl, arguments: tuple[str, ...]) -> None:
    done = ctl(*arguments)
    assert (done.code, done.err) == (67, 'Error: User "nobody" does not exist\n')


def test_a_password_comes_on_the_standard_input(ctl: Ctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for line in ("secret\n", "secret\n"):
        (tmp_path / "input").write_text(line)
        with (tmp_path / "input").open() as given:
            monkeypatch.setattr("sys.stdin", given)
            assert ctl("add_user", "piped").code in (0, 70)
    assert ctl("authenticate_user", "piped", "secret").code == 0
    ctl("delete_user", "piped")


def test_vhosts_permissions_and_limits(ctl: Ctl) -> None:
    ctl("add_user", "u2", "pw")
    assert ctl("add_vhost", "v2", "--description", "d").code == 0
    assert ctl("add_vhost", "v2").code == 0
    assert "v2\td" in ctl("list_vhosts", "name", "description").lines
    assert ctl("set_permissions", "-p", "v2", "u2", ".*", "^a", "").lines == [
        'Setting permissions for user "u2" in vhost "v2" ...'
    ]
    assert ctl("list_permissions", "-p", "v2").lines == [
        'Listing permissions for vhost "v2" ...',
        "user\tconfigure\twrite\tread",
        "u2\t.*\t^a\t",
    ]
    assert ctl("list_user_permissions", "u2").lines[1:] == ["vhost\tconfigure\twrite\tread", "v2\t.*\t^a\t"]
    assert ctl("set_permissions", "-p", "nov", "u2", "", "", "").code == 69
    assert ctl("set_permissions", "-p", "v2", "nobody", "", "", "").code == 67
    assert ctl("set_permissions", "-p", "v2", "u2", "(", "", "").code == 69
    assert ctl("list_permissions", "-p", "nov").code == 65
    assert ctl("set_topic_permissions", "-p", "v2", "u2", "amq.topic", "^a", "^b").code == 0
    assert ctl("-q", "list_topic_permissions", "-p", "v2").lines == [
        "user\texchange\twrite\tread",
        "u2\tamq.topic\t^a\t^b",
    ]
    assert ctl("-s", "list_user_topic_permissions", "u2").lines[0].endswith("amq.topic\t^a\t^b")
    assert ctl("clear_topic_permissions", "-p", "v2", "u2").code == 0
    assert ctl("-q", "list_topic_permissions", "-p", "v2").lines == []
    assert ctl("clear_permissions", "-p", "v2", "u2").code == 0
    assert ctl("-q", "list_permissions", "-p", "v2").lines == []
    assert ctl("set_vhost_limits", "-p", "v2", '{"max-connections": 5}').code == 0
    assert ctl("-q", "list_vhost_limits", "-p", "v2").lines == ['{"max-connections":5}']
    assert ctl("clear_vhost_limits", "-p", "v2").code == 0
    assert ctl("-q", "list_vhost_limits", "-p", "v2").lines == [""]
    assert ctl("set_vhost_limits", "-p", "v2", '{"max-cheese": 5}').code == 69
    assert ctl("set_user_limits", "u2", '{"max-channels": 5}').code == 0
    assert ctl("-q", "list_user_limits", "--user", "u2").lines == ['{"max-channels":5}']
    assert ctl("clear_user_limits", "u2", "all").code == 0
    assert ctl("-q", "list_user_limits", "--user", "u2").lines == ["{}"]
    assert ctl("delete_vhost", "v2").code == 0
    gone = ctl("delete_vhost", "v2")
    assert (gone.code, gone.err) == (65, "Error: Virtual host 'v2' does not exist\n")
    ctl("delete_user", "u2")


def test_a_vhost_is_protected_and_no_longer(ctl: Ctl) -> None:
    ctl("add_vhost", "kept")
    assert ctl("enable_vhost_protection_from_deletion", "kept").code == 0
    assert ctl("delete_vhost", "kept").code == 69
    assert "kept\ttrue" in ctl("list_vhosts", "name", "protected_from_deletion").lines
    assert ctl("disable_vhost_protection_from_deletion", "kept").code == 0
    assert ctl("enable_vhost_protection_from_deletion", "nowhere").code == 65
    assert ctl("delete_vhost", "kept").code == 0


def test_what_was_said_about_a_vhost_is_changed(ctl: Ctl) -> None:
    ctl("add_vhost", "told", "--description", "old")
    assert ctl("update_vhost_metadata", "told", "--description", "new", "--tags", "a,b").code == 0
    assert "told\tnew\t[a, b]" in ctl("list_vhosts", "name", "description", "tags").lines
    assert ctl("update_vhost_metadata", "nowhere", "--description", "x").code == 65
    ctl("delete_vhost", "told")


def test_connections_of_one_user_are_closed(ctl: Ctl, managed: RunningBroker) -> None:
    ctl("add_user", "closed", "pw")
    ctl("set_permissions", "closed", ".*", ".*", ".*")
    theirs = pika.BlockingConnection(pika.URLParameters(managed.url.replace("guest:guest", "closed:pw")))
    mine = pika.BlockingConnection(pika.URLParameters(managed.url))
    assert ctl("close_all_user_connections", "closed", "bye").lines[-1] == "Closed 1 connections"
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="bye"):
        theirs.process_data_events(10)
    mine.channel().close()
    mine.close()
    ctl("delete_user", "closed")


def test_a_hashed_password_is_one(ctl: Ctl) -> None:
    (hashed,) = ctl("-q", "hash_password", "secret").lines
    assert ctl("add_user", "hashed", hashed, "--pre-hashed-password").code == 0
    assert ctl("authenticate_user", "hashed", "secret").code == 0
    ctl("delete_user", "hashed")


def test_the_cluster_is_named_and_parameters_are_cleared(ctl: Ctl) -> None:
    assert ctl("set_cluster_name", "warren").code == 0
    assert 'cluster_name\t"warren"' in ctl("list_global_parameters").lines
    assert ctl("clear_global_parameter", "cluster_name").code == 0
    assert ctl("clear_parameter", "shovel", "nothing").code == 69


def test_what_a_single_node_has_not_is_empty_or_refused(ctl: Ctl) -> None:
    assert (ctl("-q", "shovel_status").code, ctl("-q", "shovel_status").out) == (0, "")
    assert (ctl("-q", "federation_status").code, ctl("-q", "federation_status").out) == (0, "")
    assert "transient_nonexcl_queues\tpermitted_by_default" in ctl("list_deprecated_features").lines
    assert ctl("change_cluster_node_type", "ram").code == 64  # as reset: stop_app comes before
    assert ctl("force_reset").code == 64  # as reset: stop_app comes before


def test_what_does_not_exist_is_told_as_rabbitmqctl_does(ctl: Ctl) -> None:
    """RabbitMQ 3.10 lists nothing of a virtual host that is not there, with code 0, or fails with 65."""
    for verb in ("list_queues", "list_exchanges", "list_bindings", "list_consumers"):
        assert ctl("-q", verb, "-p", "nowhere").code == 0, verb
    for verb in ("list_policies", "list_permissions", "list_vhost_limits", "list_parameters"):
        assert ctl(verb, "-p", "nowhere").code == 65, verb


def test_a_vhost_is_traced_and_no_longer(ctl: Ctl) -> None:
    ctl("add_vhost", "traced")
    assert ctl("trace_on", "-p", "traced").lines == [
        'Starting tracing for vhost "traced" ...',
        "Trace enabled for vhost traced",
    ]
    assert "traced\ttrue" in ctl("list_vhosts", "name", "tracing").lines
    assert ctl("trace_off", "-p", "traced").lines[-1] == "Trace disabled for vhost traced"
    assert "traced\tfalse" in ctl("list_vhosts", "name", "tracing").lines
    assert ctl("trace_on", "-p", "nowhere").code == 65
    ctl("delete_vhost", "traced")


def test_queues_exchanges_and_bindings_are_listed(ctl: Ctl, channel: Any) -> None:
    ctl("add_vhost", "lists")
    ctl("set_permissions", "-p", "lists", "guest", ".*", ".*", ".*")
    assert ctl("list_queues", "-p", "lists").lines == [
        "Timeout: 60.0 seconds ...",
        "Listing queues for vhost lists ...",
    ]
    channel.queue_declare("listed", arguments={"x-max-length": 5}, durable=True)
    channel.exchange_declare("listed.x", "topic")
    channel.queue_bind("listed", "listed.x", "k")
    channel.basic_publish("", "listed", b"abc")
    channel.queue_declare("listed", passive=True)
    rows = ctl("-q", "list_queues", "name", "messages_ready", "messages_unacknowledged").lines
    assert rows[0] == "name\tmessages_ready\tmessages_unacknowledged"
    assert "listed\t1\t0" in rows
    assert 'listed\ttrue\t[{"x-max-length",5}]' in ctl("list_queues", "name", "durable", "arguments").lines
    assert {"name": "listed", "messages": 1} in ctl("list_queues", "--formatter", "json").json
    assert '"listed",1' in ctl("list_queues", "--formatter=csv").lines
    assert "listed.x\ttopic" in ctl("list_exchanges").lines
    assert "listed.x\texchange\tlisted\tqueue\tk\t[]" in ctl("-s", "list_bindings").lines or (
        "listed.x\texchange\tlisted\tqueue\tk" in "\n".join(ctl("-s", "list_bindings").lines)
    )
    wrong = ctl("list_queues", "name", "bogus")
    assert wrong.code == 64
    assert wrong.err.startswith("Error: Info key(s) bogus are not supported (usage: list_queues ")
    assert ctl("list_queues", "-p", "nov").code == 0
    assert ctl("purge_queue", "listed").lines == ["Purging queue 'listed' in vhost '/' ..."]
    assert "listed\t0" in ctl("list_queues").lines
    assert ctl("purge_queue", "no such").code == 69
    assert ctl("delete_queue", "listed").lines[1] == "Queue was successfully deleted with 0 ready messages"
    assert ctl("delete_queue", "listed").code == 64
    channel.exchange_delete("listed.x")
    ctl("delete_vhost", "lists")


def test_a_queue_in_use_is_not_deleted_if_unused_is_wanted(ctl: Ctl, channel: Any) -> None:
    channel.queue_declare("used")
    channel.basic_consume("used", lambda *_: None)
    assert ctl("delete_queue", "used", "--if-unused").code == 64
    assert ctl("delete_queue", "used").code == 0


def test_connections_channels_and_consumers_are_listed_and_closed(ctl: Ctl, managed: RunningBroker) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(managed.url))
    channel = connection.channel()
    channel.queue_declare("watched", exclusive=True)
    channel.basic_qos(prefetch_count=3)
    channel.basic_consume("watched", lambda *_: None, consumer_tag="tag")
    assert "guest\t127.0.0.1\t" in ctl("-q", "list_connections").out
    names = [row["name"] for row in ctl("list_connections", "name", "--formatter", "json").json]
    assert any(row["consumer_count"] == 1 for row in ctl("list_channels", "--formatter", "json").json)
    consumers = ctl("list_consumers", "--formatter", "json").json
    found = next(row for row in consumers if row["consumer_tag"] == "tag")
    assert (found["queue_name"], found["prefetch_count"], found["ack_required"]) == ("watched", 3, True)
    for name in names:
        assert ctl("close_connection", name, "bye now").code == 0
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        connection.process_data_events(10)
    assert closed.value.reply_code == 320
    assert "bye now" in closed.value.reply_text
    assert ctl("close_connection", "1.2.3.4:5 -> 6.7.8.9:10", "bye").code == 0


def test_all_connections_of_a_vhost_are_closed(ctl: Ctl, managed: RunningBroker) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(managed.url))
    assert re.fullmatch(r"Closed [1-9]\d* connections", ctl("close_all_connections", "-p", "/", "bye").lines[-1])
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(10)


def test_policies_and_parameters(ctl: Ctl) -> None:
    done = ctl("set_policy", "pol", "^q", '{"max-length":5}', "--priority", "3", "--apply-to", "queues")
    assert done.lines == [
        'Setting policy "pol" for pattern "^q" to "{"max-length":5}" with priority "3" for vhost "/" ...'
    ]
    assert '/\tpol\t^q\tqueues\t{"max-length":5}\t3' in ctl("list_policies").lines
    assert ctl("set_policy", "pol", "^q", '{"max-lenth":5}').code == 69
    assert ctl("set_policy", "pol", "^q", "{max").code == 69
    assert ctl("clear_policy", "pol").code == 0
    assert (ctl("clear_policy", "pol").code, ctl("clear_policy", "pol").err) == (
        69,
        "Error: Parameter does not exist\n",
    )
    assert ctl("set_operator_policy", "op", "^q", '{"max-length":5}').code == 0
    assert ctl("list_operator_policies").lines[2].startswith("/\top\t^q\t")
    assert ctl("clear_operator_policy", "op").code == 0
    assert ctl("set_global_parameter", "gp", '{"a":1}').code == 0
    assert 'gp\t{"a":1}' in ctl("list_global_parameters").lines
    assert ctl("clear_global_parameter", "gp").code == 0
    assert ctl("list_parameters").code == 0
    assert ctl("set_parameter", "x", "y", "z").code == 69


def test_definitions_go_out_and_come_back(ctl: Ctl, channel: Any, tmp_path: Path) -> None:
    channel.queue_declare("defined", durable=True)
    file = tmp_path / "definitions.json"
    assert ctl("export_definitions", str(file)).code == 0
    assert "defined" in [queue["name"] for queue in json.loads(file.read_text())["queues"]]
    assert "defined" in ctl("export_definitions", "-").out
    assert ctl("delete_queue", "defined").code == 0
    assert ctl("import_definitions", str(file)).code == 0
    assert "defined\t0" in ctl("list_queues").lines
    assert ctl("import_definitions", str(tmp_path / "nothing")).code == 65
    (tmp_path / "bad").write_text("{")
    assert ctl("import_definitions", str(tmp_path / "bad")).code == 65
    ctl("delete_queue", "defined")


def test_the_node_tells_about_itself(ctl: Ctl, managed: RunningBroker) -> None:
    status = ctl("status", "--formatter", "json").json
    assert status["pid"] == managed.pid
    assert managed.port in [each["port"] for each in status["listeners"]]
    assert f"OS PID: {managed.pid}" in ctl("status").lines
    assert "Feature flags" in ctl("cluster_status").lines
    assert f"data_dir = {managed.data_dir}" in ctl("environment").lines
    assert "default_pass" not in ctl("environment").out
    assert "Listing users ..." in ctl("report").lines
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", ctl("version").out)
    assert "quorum_queue\tenabled" in ctl("list_feature_flags").lines
    assert ctl("enable_feature_flag", "all").code == 0
    assert ctl("enable_feature_flag", "no such").code == 64


def test_limits_are_set(ctl: Ctl) -> None:
    before = ctl("environment", "--formatter", "json").json
    assert ctl("set_vm_memory_high_watermark", "0.5").code == 0
    assert ctl("set_vm_memory_high_watermark", "absolute", "4GB").code == 0
    assert ctl("set_vm_memory_high_watermark", "banana").code == 65
    assert ctl("set_disk_free_limit", "50MB").code == 0
    assert ctl("set_disk_free_limit", "mem_relative", "0.0001").code == 0
    assert ctl("set_disk_free_limit", "lots").code == 65
    ctl("set_disk_free_limit", str(before["disk_free_limit"]))


def test_a_memory_limit_that_is_passed_is_an_alarm(ctl: Ctl, run: Ctl, managed: RunningBroker) -> None:
    def check(verb: str) -> int:
        return run("-q", verb, "--data-dir", str(managed.data_dir), name="rabbitmq-diagnostics").code

    ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    assert check("check_local_alarms") == 69
    assert check("check_alarms") == 69
    assert check("alarms") == 0
    ctl("set_vm_memory_high_watermark", "0.9")
    assert check("check_local_alarms") == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("ping",), "Ping succeeded"),
        (("check_running",), "is fully booted and running"),
        (("is_running",), "is fully booted and running"),
        (("check_local_alarms",), "reported no local alarms"),
        (("check_alarms",), "reported no alarms, local or clusterwide"),
        (("alarms",), "reported no alarms, local or clusterwide"),
        (("check_port_connectivity",), "Successfully connected to ports "),
        (("check_protocol_listener", "amqp"), "A listener for protocol amqp is running on node "),
        (("check_virtual_hosts",), "reported all vhosts as running"),
        (("listeners",), "protocol: amqp, purpose: AMQP 0-9-1"),
        (("node_health_check",), "Health check passed"),
        (("server_version",), "."),
        (("erlang_version",), "none"),
        (("memory_breakdown",), "total: "),
        (("check_if_node_is_quorum_critical",), "the check does not apply"),
        (("check_if_node_is_mirror_sync_critical",), "the check does not apply"),
        (("check_certificate_expiration", "--within", "2", "--unit", "weeks"), "No certificates are expiring"),
        (("is_booting",), "is fully booted"),
    ],
)
def test_health_checks_of_a_healthy_broker(
    run: Ctl, managed: RunningBroker, arguments: tuple[str, ...], text: str
) -> None:
    done = run("-q", *arguments, "--data-dir", str(managed.data_dir), name="rabbitmq-diagnostics")
    assert (done.code, done.err) == (0, "")
    assert text in done.out


def test_ports_that_are_listened_on(ctl: Ctl, managed: RunningBroker) -> None:
    assert ctl("check_port_listener", str(managed.port)).code == 0
    assert ctl("check_port_listener", "1").code == 69
    assert ctl("check_protocol_listener", "bogus").code == 69


def test_verbs_without_an_effect_succeed(ctl: Ctl) -> None:
    for verb in (("await_online_nodes", "1"), ("list_unresponsive_queues",)):
        assert ctl(*verb).code == 0


def test_every_verb_has_its_help(run: Ctl) -> None:
    for name, verb in verbs().items():
        done = run("ctl", "help", name)
        assert done.code == 0
        assert done.lines[0] == f"Usage: leveret ctl {verb.usage_line}"
        assert run("ctl", name, "--help").out == done.out
        assert all(f"--{option}" in done.out for option in verb.options), name
    everything = run("ctl", "help").out
    assert all(f"\n  {name} " in everything for name in verbs())


def test_the_broker_waits_for_itself(ctl: Ctl, run: Ctl, managed: RunningBroker, tmp_path: Path) -> None:
    assert ctl("await_startup").code == 0
    assert ctl("wait", "--pid", str(managed.pid)).code == 0
    (tmp_path / "pid").write_text(str(managed.pid))
    assert ctl("wait", str(tmp_path / "pid")).code == 0
    assert ctl("wait", "-P", str(managed.pid), "-t", "5").code == 0
    assert ctl("wait", str(tmp_path / "rabbitmq.pid")).code == 0, "nobody writes the file that scripts know"
    nowhere = ("--data-dir", str(tmp_path), "--timeout", "0.05")
    assert run("ctl", "wait", str(tmp_path / "nothing"), *nowhere).code == 75
    assert ctl("wait").code == 64


def test_every_verb_is_run_by_some_test() -> None:
    """A verb that nobody has run is a verb that nobody knows to work."""
    run = {verb for path in Path(__file__).parent.glob("test_*.py") for verb in first_words(path.read_text())}
    assert [name for name in verbs() if name not in run] == []


def first_words(source: str) -> Iterator[str]:
    """Return the word after the command, and after switches, of calls, and of tuples and lists for calls."""
    for node in ast.walk(ast.parse(source)):
        parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple | ast.List) else ()
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        for line in texts if isinstance(node, ast.List) else [" ".join(texts)]:
            words = [word for word in line.split() if word != "ctl" and not word.startswith("-")]
            yield from words[:1]


def test_a_verb_counts_as_run_only_behind_the_command() -> None:
    source = """
# its status
ctl("-q", "ping", "wait")
row = ["run", "list x"]
"""
    assert list(first_words(source)) == ["ping", "run", "list"]
