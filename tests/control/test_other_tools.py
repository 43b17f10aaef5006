"""The verbs of rabbitmq-queues, rabbitmq-streams, rabbitmq-upgrade and more of rabbitmq-diagnostics, on one node.

Codes, heads of tables and words are those of RabbitMQ 3.10.8, where it is not another broker that is told about.
"""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from broker.control.erlang_terms import Atom, proplist, term, typed_table
from tests.brokers import RunningBroker
from tests.control.conftest import Ctl, Done
from tests.management.client import Api
from tests.waiting import until


@pytest.fixture
def replicated(channel: Any) -> Iterator[Any]:
    """A channel, with a quorum queue of one message, a stream and a classic queue."""
    channel.queue_declare("tools.quorum", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare("tools.stream", durable=True, arguments={"x-queue-type": "stream"})
    channel.queue_declare("tools.classic", arguments={"x-max-length": 1 << 40})
    channel.confirm_delivery()
    properties = pika.BasicProperties(content_type="text/plain", headers={"a": 1})
    channel.basic_publish("", "tools.quorum", b"hello" * 20, properties)
    yield channel
    for name in ("tools.quorum", "tools.stream", "tools.classic"):
        channel.queue_delete(name)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("join_cluster", "rabbit@x"), 64),
        (("change_cluster_node_type", "disc"), 64),
        (("update_cluster_nodes", "rabbit@x"), 64),
        (("force_boot",), 64),
        (("forget_cluster_node", "rabbit@x"), 69),
        (("rename_cluster_node", "rabbit@x", "rabbit@y"), 69),
        (("add_member", "-p", "/", "q", "rabbit@x"), 69),
        (("delete_member", "q", "rabbit@x"), 69),
        (("add_replica", "s", "rabbit@x"), 69),
        (("delete_replica", "s", "rabbit@x"), 69),
        (("grow", "rabbit@x", "all"), 69),
        (("shrink", "rabbit@x"), 69),
        (("sync_queue", "q"), 69),
        (("rotate_logs",), 69),
        (("eval", "node()."), 69),
        (("eval_file", "x.erl"), 69),
        (("exec", "1"), 69),
        (("remote_shell",), 69),
        (("observer",), 69),
        (("maybe_stuck",), 69),
        (("runtime_thread_stats", "--sample-interval", "1"), 69),
        (("schema_info",), 69),
        (("resolver_info",), 69),
        (("erlang_cookie_hash",), 69),
        (("erlang_cookie_sources",), 69),
        (("encode", "--cipher", "aes_256_cbc", "value", "secret"), 69),
        (("decode", "value", "secret"), 69),
        (("list_ciphers",), 69),
        (("list_hashes",), 69),
        (("log_tail", "--number", "5"), 69),
        (("log_tail_stream",), 69),
        (("consume_event_stream",), 69),
        (("list_network_interfaces",), 69),
        (("resolve_hostname", "nowhere.invalid"), 69),
        (("quorum_status", "nosuch"), 69),
        (("stream_status", "nosuch"), 69),
        (("peek", "nosuch", "1"), 69),
        (("peek", "nosuch", "first"), 64),
        (("set_stream_retention_policy", "nosuch", "1D"), 69),
        (("rebalance", "some"), 64),
        (("await_online_nodes", "many"), 64),
        (("await_online_nodes", "2"), 75),
        (("restart_vhost", "-p", "nosuch"), 70),
        (("set_vhost_tags", "nosuch", "a"), 65),
        (("status", "--unit", "spoons"), 64),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(ctl: Ctl, arguments: tuple[str, ...], code: int) -> None:
    done = ctl(*arguments)
    assert (done.code, len(done.err.splitlines())) == (code, 1)
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("await_online_quorum_plus_one", "-t", "10"), "the command does not apply"),
        (("await_online_synchronized_mirror",), "the command does not apply"),
        (("post_upgrade",), "Executing post upgrade tasks..."),
        (("rebalance", "all"), "Node name\tNumber of quorum queues\tNumber of replicated classic queues"),
        (("cancel_sync_queue", "q"), "not_syncing"),
        (("reclaim_quorum_memory", "q"), "Will flush Raft WAL of quorum queue q ..."),
        (("force_gc",), "Will ask all processes on node "),
        (("hipe_compile", "/tmp"), "This command is a no-op."),
        (("restart_vhost",), "Vhost '/' is already running on node "),
        (("discover_peers",), "No peers discovered"),
        (("resolve_hostname", "localhost"), "127.0.0.1"),
        (("log_location",), "<stdout>"),
        (("tls_versions",), "tlsv1.3\ntlsv1.2"),
        (("cipher_suites",), "TLS_AES_256_GCM_SHA384"),
        (("certificates",), "(none)"),
        (("memory_breakdown", "--unit", "kib"), " kib (100%)"),
        (("enable_auth_attempt_source_tracking",), "counted by address"),
        (("disable_auth_attempt_source_tracking",), "counted by address"),
        (("check_if_any_deprecated_features_are_used",), "no deprecated features in use"),
        (("check_if_metadata_store_is_initialized",), "is initialized"),
        (("check_if_metadata_store_initialized_with_data",), "is initialized"),
        (("check_if_cluster_has_classic_queue_mirroring_policy",), "no policies that enable"),
        (("check_if_new_quorum_queue_replicas_have_finished_initial_sync",), "the check does not apply"),
        (("enable_feature_flag", "--experimental", "all"), "Enabling all feature flags ..."),
    ],
)
def test_what_a_single_node_answers(ctl: Ctl, arguments: tuple[str, ...], text: str) -> None:
    done = ctl(*arguments)
    assert (done.code, done.err) == (0, "")
    assert text in done.out


def test_replicas_of_a_single_node_are_told(ctl: Ctl, run: Ctl, managed: RunningBroker, replicated: Any) -> None:
    here = ("--data-dir", str(managed.data_dir))
    node = ctl("status", "--formatter", "json").json["node"]
    assert (
        run("-q", "quorum_status", "tools.quorum", *here, name="rabbitmq-queues").lines[1].startswith(f"{node}\tleader")
    )
    assert ctl("quorum_status", "tools.classic").err == "Error: Cannot get quorum status of a classic queue\n"
    assert run("-q", "stream_status", "--vhost", "/", "tools.stream", *here, name="rabbitmq-streams").lines == [
        "role\tnode",
        f"writer\t{node}",
    ]
    assert ctl("set_stream_retention_policy", "tools.stream", "1D").code == 69
    assert ctl("grow", node, "all").code == ctl("shrink", node).code == 0


def test_a_quorum_queues_message_is_looked_at_and_stays(ctl: Ctl, replicated: Any) -> None:
    shown = ctl("peek", "tools.quorum", "1", "--formatter", "json").json["message"]
    assert shown == {
        "content_type": "text/plain",
        "routing_keys": ["tools.quorum"],
        "exchange": "",
        "payload (max 64 bytes)": ("hello" * 20)[:64],
        "header.a": 1,
    }
    assert "content_type\ttext/plain" in ctl("peek", "tools.quorum", "1").lines
    assert ctl("peek", "tools.quorum", "2").err == "Error: Target queue does not have a message at that position\n"
    assert ctl("peek", "tools.classic", "1").err == "Error: Cannot peek into a classic queue\n"
    assert replicated.basic_get("tools.quorum", auto_ack=True)[0].redelivered is False


def is_turned_away(broker: RunningBroker) -> bool:
    """Whether who connects is hung up on at once."""
    with socket.create_connection(("127.0.0.1", broker.port), 20) as connection:
        return connection.recv(1) == b""


def test_maintenance_closes_connections_and_ends(ctl: Ctl, own_broker: RunningBroker, run: Ctl) -> None:
    def upgrade(verb: str) -> Done:
        return run(verb, "--data-dir", str(own_broker.data_dir), name="rabbitmq-upgrade")

    def connect() -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(own_broker.url))

    def is_under_maintenance() -> bool:
        return bool(upgrade("status").out.count("Is under maintenance?: true"))

    connected = connect()
    assert upgrade("drain").code == 0
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        connected.process_data_events(time_limit=20)
    text = "CONNECTION_FORCED - Node was put into maintenance mode"
    assert (closed.value.reply_code, closed.value.reply_text) == (320, text)
    assert (is_under_maintenance(), upgrade("check_running").code) == (True, 0)
    assert is_turned_away(own_broker)
    assert upgrade("revive").code == 0
    assert not is_under_maintenance()
    connect().close()


def test_maintenance_is_told_wherever_somebody_asks(run: Ctl, start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", "any", "--metrics-port", "none")
    port = int(broker.wait_for_event("HTTP")["port"])
    api = Api(port)
    checks = ("/health/ready", "/api/health/checks/is-in-service", "/api/health/checks/ready-to-serve-clients")

    def ctl(verb: str, *place: str) -> Done:
        return run("ctl", "-q", verb, *(place or ("--data-dir", str(broker.data_dir))))

    def reasons() -> list[str]:
        answers = [api("GET", path) for path in checks]
        assert {answer.status for answer in answers} == {503}
        return sorted({answer.body["reason"] for answer in answers})

    def connectivity() -> list[int]:
        url = f"http://guest:guest@127.0.0.1:{port}"
        return [ctl("check_port_connectivity").code, ctl("check_port_connectivity", "--url", url).code]

    def is_being_drained() -> bool:
        return bool(api.get("nodes")[0]["being_drained"])

    assert (is_being_drained(), connectivity()) == (False, [0, 0])
    assert ctl("drain").code == 0
    maintenance = "the node is in maintenance mode (rabbitmq-upgrade drain)"
    assert (is_being_drained(), reasons(), connectivity()) == (True, [maintenance], [69, 69])
    assert str(broker.port) in ctl("check_port_connectivity").err
    assert ctl("stop_app").code == 0
    assert reasons() == ["an operator lets nobody in (stop_app)"]
    assert ctl("revive").code == 0
    why = broker.wait_for_event("still nobody is let in")["why"]
    assert ([why], is_turned_away(broker)) == (reasons(), True)
    assert not broker.events("clients are let in")

    assert (ctl("drain").code, ctl("start_app").code) == (0, 0)
    broker.wait_for_event("clients are let in")
    pika.BlockingConnection(pika.URLParameters(broker.url)).close()
    assert (is_being_drained(), connectivity()) == (False, [0, 0])
    assert (ctl("drain").code, ctl("revive").code) == (0, 0)
    assert (is_being_drained(), connectivity()) == (False, [0, 0])
    assert ctl("suspend_listeners").code == 0
    suspended = "an operator lets nobody more in (suspend_listeners)"
    assert (is_being_drained(), reasons(), connectivity()) == (False, [suspended], [69, 69])
    assert ctl("resume_listeners").code == 0
    assert [api("GET", path).status for path in checks] == [200, 200, 200]


def test_suspended_listeners_keep_who_is_connected(run: Ctl, own_broker: RunningBroker) -> None:
    def ctl(verb: str) -> int:
        return run(verb, "--data-dir", str(own_broker.data_dir), name="rabbitmqctl").code

    connected = pika.BlockingConnection(pika.URLParameters(own_broker.url))
    assert ctl("suspend_listeners") == 0
    assert is_turned_away(own_broker)
    connected.channel().queue_declare("", exclusive=True)
    assert ctl("resume_listeners") == 0
    pika.BlockingConnection(pika.URLParameters(own_broker.url)).close()
    connected.close()


def test_vhosts_have_tags_and_users_come_into_all(ctl: Ctl) -> None:
    ctl("add_vhost", "tools")
    assert ctl("set_vhost_tags", "tools", "a", "b").code == 0
    assert "tools\t[a, b]" in ctl("list_vhosts", "name", "tags").lines
    ctl("add_user", "everywhere", "p")
    assert ctl("set_permissions_globally", "everywhere", "c", "w", "r").code == 0
    assert {"/\tc\tw\tr", "tools\tc\tw\tr"} <= set(ctl("list_user_permissions", "everywhere").lines)
    ctl("delete_user", "everywhere")
    ctl("delete_vhost", "tools")


def test_logins_are_told_and_counted_anew(ctl: Ctl, channel: Any) -> None:
    head = "protocol\tauth_attempts\tauth_attempts_failed\tauth_attempts_succeeded"
    lines = ctl("-q", "list_node_auth_attempt_stats").lines
    assert lines[0] == head
    assert any(line.startswith("amqp091\t") for line in lines)
    assert ctl("-q", "list_node_auth_attempt_stats", "--by-source").lines[0] == f"remote_address\tusername\t{head}"
    assert ctl("reset_node_auth_attempt_metrics").code == 0
    assert "amqp091\t0\t0\t0" in ctl("-q", "list_node_auth_attempt_stats").lines


def test_the_process_is_told_without_its_secrets(
    run: Ctl, start_broker: Callable[..., RunningBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_DEFAULT_PASS", "hunter2")
    monkeypatch.setenv("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-rabbit default_pass hunter2")
    broker = start_broker("--management-port", "none", "--metrics-port", "none")
    here = ("--data-dir", str(broker.data_dir))
    told = run("os_env", *here, name="rabbitmq-diagnostics").out
    assert "hunter2" not in told
    assert "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(not shown)" in told
    assert "--management-port" in run("ctl", "-q", "command_line_arguments", *here).lines


def test_tables_have_types_where_rabbitmqctl_has_them(ctl: Ctl, replicated: Any) -> None:
    rows = ctl("list_queues", "--formatter", "json", "name", "arguments", "type").json
    assert {"name": "tools.classic", "arguments": [["x-max-length", "long", 1 << 40]], "type": "classic"} in rows
    rows = ctl("list_exchanges", "--formatter", "json", "name", "arguments").json
    assert {"name": "amq.direct", "arguments": []} in rows
    lines = ctl("-q", "list_queues", "--formatter", "erlang", "name", "arguments", "type").out
    assert '[{name,<<"tools.quorum">>},{arguments,[{<<"x-queue-type">>,longstr,<<"quorum">>}]},{type,quorum}]' in lines
    assert lines.startswith("[[{name,")
    assert lines.endswith("]]\n")


def test_values_are_written_as_erlang_writes_them() -> None:
    table = {"t": {"l": [1, "x"]}, "f": 1.5, "n": None, "b": True}
    assert term(typed_table(table)) == (
        '[{<<"t">>,table,[{<<"l">>,array,[{signedint,1},{longstr,<<"x">>}]}]},'
        '{<<"f">>,double,1.5},{<<"n">>,void,undefined},{<<"b">>,bool,true}]'
    )
    assert proplist(("auto_delete", "is 1"), ('é"\\', Atom("running"))) == (
        '[{auto_delete,<<"é\\"\\\\"/utf8>>},{\'is 1\',running}]'
    )
    assert term({"a": []}) == "#{a => []}"


def test_a_connection_is_closed_by_the_word_that_stands_for_it(ctl: Ctl, managed: RunningBroker) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(managed.url))
    host, port = connection._impl._transport._sock.getsockname()
    pid = f"<{host}:{port}->127.0.0.1:{managed.port}>"
    lines = ctl("-q", "list_connections", "pid", "protocol").lines
    assert f"{pid}\t{{0,9,1}}" in lines
    assert all(len(line.split()) == 2 for line in lines), "one word each, for awk"
    assert ctl("close_connection", pid, "test").code == 0
    until(
        lambda: all(pid not in line for line in ctl("-q", "list_connections", "pid").lines), "the connection to close"
    )
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(time_limit=20)
    assert ctl("close_connection", "<gone>", "test").code == 0


def test_reasons_are_read_as_they_were_meant(ctl: Ctl) -> None:
    """The HTTP API escapes them for web pages."""
    assert '[{<<"bogus">>,1}]' in ctl("set_policy", "p", "x", '{"bogus":1}').err


def test_without_a_verb_the_help_is_an_error(run: Ctl) -> None:
    done = run(name="rabbitmqctl")
    assert (done.code, done.out) == (64, "")
    assert "list_queues" in done.err
    assert run("--help", name="rabbitmqctl").code == run("help", name="rabbitmqctl").code == 0
