"""RabbitMQ's configuration file, its image's variables and definitions at the start."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from broker import command
from broker.config import SettingsError, load
from broker.rabbitmq_conf import ConfError, read
from tests.brokers import RunningBroker, clean_environment
from tests.control.conftest import Ctl


def conf(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("listeners.tcp.default = 5673", "port", 5673),
        ("listeners.tcp.1 = 127.0.0.1:5674", "port", 5674),
        ("listeners.tcp.1 = 127.0.0.1:5674", "host", "127.0.0.1"),
        ("listeners.tcp.local = ::1:5674", "host", "::1"),
        ("listeners.ssl.default = 5672", "tls_port", 5672),
        ("default_user = bob", "default_user", "bob"),
        ("default_pass = 'a # b'", "default_pass", "a # b"),
        ("default_vhost = v", "default_vhost", "v"),
        ("default_permissions.write = ^a", "default_permissions", ".* ^a .*"),
        ("default_user_tags.monitoring = true", "default_user_tags", "monitoring"),
        ("heartbeat = 30 # seconds", "heartbeat_s", 30),
        ("channel_max = 100", "channel_max", 100),
        ("frame_max = 8192", "frame_max", 8192),
        ("max_message_size = 1000", "max_message_octets", 1000),
        ("consumer_timeout = 5000", "consumer_timeout_ms", 5000),
        ("vm_memory_high_watermark.relative = 0.5", "memory_high_watermark", 0.5),
        ("vm_memory_high_watermark.absolute = 2GB", "memory_high_watermark", 2_000_000_000),
        ("disk_free_limit.absolute = 1GiB", "disk_free_limit", 1 << 30),
        ("loopback_users = none", "loopback_users", ()),
        ("loopback_users.guest = false", "loopback_users", ()),
        ("loopback_users.bob = true", "loopback_users", ("guest", "bob")),
        ("ssl_options.certfile = /c.pem", "tls_certificate", "/c.pem"),
        ("ssl_options.verify = verify_peer", "tls_clients", "ask"),
        ("ssl_options.versions.1 = tlsv1.3", "tls_least_version", "1.3"),
        ("ssl_cert_login_from = common_name", "tls_login", "common_name"),
        ("management.tcp.port = 8080", "management_port", 8080),
        ("prometheus.tcp.port = 8081", "metrics_port", 8081),
        ("log.console.level = debug", "log_level", "debug"),
        ("log.file.level = critical", "log_level", "error"),
        ("load_definitions = /d.json", "load_definitions", "/d.json"),
        ("listeners.tcp = none", "plain_tcp", "off"),
        ("management.ssl.port = 15671", "management_tls_port", 15671),
        ("management.ssl.certfile = /m.pem", "management_tls_certificate", "/m.pem"),
        ("management.ssl.certfile = /m.pem", "management_tls_port", 15671),
        ("management.ssl.certfile = /m.pem", "management_port", 0),
        ("prometheus.ssl.port = 15691", "metrics_tls_port", 15691),
        ("prometheus.ssl.keyfile = /m.key", "management_tls_key", "/m.key"),
        ("prometheus.ssl.keyfile = /m.key", "metrics_port", 0),
        ("management.ssl.verify = verify_peer", "management_tls_clients", "ask"),
        ("auth_backends.1 = rabbit_auth_backend_oauth2", "auth_backends", ("oauth2",)),
        ("auth_backends.1 = internal", "auth_backends", ("internal",)),
        ("auth_oauth2.resource_server_id = rabbit", "oauth2_resource_server_id", "rabbit"),
        ("auth_oauth2.issuer = https://issuer", "oauth2_issuer", "https://issuer"),
        ("auth_oauth2.jwks_url = https://issuer/keys", "oauth2_jwks_url", "https://issuer/keys"),
        ("auth_oauth2.https.cacertfile = /ca.pem", "oauth2_ca", "/ca.pem"),
        ("auth_oauth2.default_key = k1", "oauth2_default_key", "k1"),
        ("auth_oauth2.signing_keys.k1 = /k1.pem", "oauth2_signing_keys", ("k1=/k1.pem",)),
        ("auth_oauth2.algorithms.1 = RS256", "oauth2_algorithms", ("RS256",)),
        ("auth_oauth2.preferred_username_claims.1 = email", "oauth2_preferred_username_claims", ("email",)),
        ("auth_oauth2.verify_aud = false", "oauth2_verify_aud", "no"),
        ("auth_oauth2.scope_prefix = api://", "oauth2_scope_prefix", "api://"),
        ("auth_oauth2.additional_scopes_key = roles", "oauth2_additional_scopes_key", "roles"),
        ("auth_oauth2.scope_aliases.boss = r.tag:administrator", "oauth2_scope_aliases", ("boss=r.tag:administrator",)),
    ],
)
def test_a_key_becomes_a_setting(tmp_path: Path, line: str, key: str, value: object) -> None:
    given = read(conf(tmp_path, "# a comment", "", line), {})
    assert given.values[key] == value
    assert given.warnings == []


def test_what_has_no_effect_is_named_once_each(tmp_path: Path) -> None:
    file = conf(tmp_path, "mqtt.exchange = x", "queue_master_locator = min-masters", "log.console = true")
    given = read(file, {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+x", "RABBITMQ_PORT_5672_TCP": "tcp://1.2.3.4:5672"})
    assert given.values == {}
    assert given.warnings == [
        f"mqtt.exchange in {str(file)!r}, line 1: it has no effect here",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: this variable has no effect here",
    ]


@pytest.mark.parametrize(
    ("line", "is_told"),
    [
        ("management.tcp.ip = 127.0.0.1", True),
        ("prometheus.tcp.ip = 127.0.0.1", True),
        ("management.tcp.ip = 0.0.0.0", False),
        ("management.ssl.versions.1 = tlsv1.3", True),
        ("log.file = /var/log/rabbit.log", True),
        ("log.file = false", False),
        ("deprecated_features.permit.transient_nonexcl_queues = false", True),
        ("deprecated_features.permit.transient_nonexcl_queues = true", False),
        ("cluster_formation.peer_discovery_backend = k8s", False),
        ("collect_statistics_interval = 5000", False),
    ],
)
def test_what_would_have_kept_somebody_out_is_not_passed_over_in_silence(
    tmp_path: Path, line: str, is_told: bool
) -> None:
    given = read(conf(tmp_path, line), {})
    assert len(given.warnings) == is_told
    assert is_told == any(line.split(" ")[0] in warning for warning in given.warnings)


def test_a_password_comes_from_the_file_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    given = read(None, {"RABBITMQ_DEFAULT_PASS_FILE": str(tmp_path / "secret")})
    assert given.values == {"default_pass": "hunter2"}
    with pytest.raises(ConfError):
        read(None, {"RABBITMQ_DEFAULT_PASS_FILE": str(tmp_path / "nothing")})


def test_only_the_first_of_several_listeners_counts(tmp_path: Path) -> None:
    given = read(conf(tmp_path, "listeners.tcp.1 = 5673", "listeners.tcp.2 = 5674"), {})
    assert (given.values["port"], len(given.warnings)) == (5673, 1)


@pytest.mark.parametrize(
    "line",
    ["heartbeat = soon", "loopback_users.guest = no", "vm_memory_high_watermark.relative = 7", "disk_free_limit = x"],
)
def test_a_wrong_value_stops_the_start(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfError) as wrong:
        read(conf(tmp_path, line), {})
    assert line.split(" ")[0] in str(wrong.value)


def test_a_line_without_equals_stops_the_start_and_is_not_shown(run: Ctl, tmp_path: Path) -> None:
    """RabbitMQ refuses such a file. The line may hold a password, as this one does."""
    file = conf(tmp_path, "heartbeat = 7", "default_pass hunter2")
    with pytest.raises(ConfError) as wrong:
        read(file, {})
    assert wrong.value.problems == (f"{str(file)!r}, line 2: there is no = in it; a line is a key = a value",)
    done = run("--rabbitmq-conf", str(file), "--data-dir", str(tmp_path / "data"))
    assert (done.code, done.out) == (2, "")
    assert "hunter2" not in done.err
    assert "line 2" in done.err


def test_the_image_variables_go_before_the_file_and_leverets_own_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = conf(tmp_path, "default_user = filed", "heartbeat = 7", "frame_max = 1")
    variables = {
        "RABBITMQ_DEFAULT_USER": "bob",
        "RABBITMQ_DEFAULT_PASS": "secret",
        "RABBITMQ_NODE_PORT": "5699",
        "RABBITMQ_NODENAME": "rabbit@here",
        "RABBITMQ_CONFIG_FILE": str(file.with_suffix("")),
    }
    given = read(None, variables)
    monkeypatch.setenv("LEVERET_HEARTBEAT_S", "9")
    with pytest.raises(SettingsError) as wrong:
        load({}, given.values, given.places)
    assert wrong.value.problems == (
        f"frame_max: 1 from frame_max in {str(file)!r}, line 3 is not allowed; "
        "it must be a whole number from 4096 to 2147483647",
    )
    settings = load({"frame_max": "9000"}, given.values, given.places)
    assert (settings.default_user, settings.default_pass, settings.port) == ("bob", "secret", 5699)
    assert (settings.node_name, settings.heartbeat_s, settings.frame_max) == ("rabbit@here", 9, 9000)


def test_rabbitmq_server_reads_the_configuration_that_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = conf(tmp_path, "heartbeat = 7")
    places = {"RABBITMQ_CONFIG_FILE": file, "RABBITMQ_CONFIG_FILES": tmp_path / "nothing"}
    monkeypatch.setattr(command, "CONFIGURATION", places)
    found: dict[str, str] = {}
    command.find_configuration(found)
    assert found == {"RABBITMQ_CONFIG_FILE": str(file)}
    assert read(None, found).values == {"heartbeat_s": 7}
    named = {"RABBITMQ_CONFIG_FILE": "/elsewhere.conf"}
    command.find_configuration(named)
    assert named == {"RABBITMQ_CONFIG_FILE": "/elsewhere.conf"}


def test_a_broker_starts_with_them(run: Ctl, tmp_path: Path) -> None:
    file = conf(
        tmp_path,
        "default_pass = secret",
        "loopback_users = none",
        "default_permissions.write = ^a",
        "cheese = 1",
        "management.tcp.port = 0",
    )
    variables = {"RABBITMQ_DEFAULT_USER": "bob", "RABBITMQ_DEFAULT_VHOST": "v", "RABBITMQ_CONFIG_FILE": str(file)}
    with RunningBroker(tmp_path / "data", "--metrics-port", "none", environment=variables) as broker:
        pika.BlockingConnection(pika.URLParameters(f"amqp://bob:secret@127.0.0.1:{broker.port}/v")).close()
        shown = run("ctl", "-s", "list_permissions", "-p", "v", "--data-dir", str(broker.data_dir))
        assert shown.out == "bob\t.*\t^a\t.*\n"
        warned = broker.wait_for_event("a setting of RabbitMQ's is not used")
        assert warned["setting"].startswith("cheese in ")
        assert "secret" not in "".join(broker.output)


def test_definitions_are_imported_at_the_start(start_broker: Callable[..., RunningBroker], tmp_path: Path) -> None:
    definitions = {
        "users": [{"name": "bob", "password": "pw", "tags": "administrator"}],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": "bob", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
        "queues": [{"name": "q", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}],
    }
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(definitions))
    broker = start_broker("--load-definitions", str(file))
    for _ in range(2):
        url = f"amqp://bob:pw@127.0.0.1:{broker.port}/%2F"
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            connection.channel().queue_declare("q", passive=True)
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            pika.BlockingConnection(pika.URLParameters(broker.url))
        broker.restart()


@pytest.mark.parametrize("text", ["{", '{"queues": 1}', '{"queues": [{"name": "q", "vhost": "nov", "durable": true}]}'])
def test_definitions_that_are_wrong_stop_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(text)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "broker", "--port", "0", "--data-dir", str(tmp_path / "data")),
            *("--load-definitions", str(file), "--management-port", "none", "--metrics-port", "none"),
        ],
        capture_output=True,
        encoding="utf-8",
        env=clean_environment(),
        timeout=20,
        check=False,
    )
    assert done.returncode == 65
    assert done.stderr.startswith("leveret: load_definitions: ")
    assert len(done.stderr.splitlines()) == 1


def test_lists_of_oauth2_gather_over_lines(tmp_path: Path) -> None:
    lines = (
        "auth_backends.1 = oauth2",
        "auth_backends.2 = internal",
        "auth_oauth2.algorithms.1 = RS256",
        "auth_oauth2.algorithms.2 = ES256",
        "auth_oauth2.scope_aliases.1.alias = api://Boss",
        "auth_oauth2.scope_aliases.1.scope = r.tag:administrator r.read:*/*",
        "auth_oauth2.scope_aliases.dev = r.tag:management",
        "auth_oauth2.https.peer_verification = verify_peer",
    )
    given = read(conf(tmp_path, *lines), {})
    assert given.warnings == []
    assert given.values["auth_backends"] == ("oauth2", "internal")
    assert given.values["oauth2_algorithms"] == ("RS256", "ES256")
    boss = "api://Boss=r.tag:administrator r.read:*/*"
    assert given.values["oauth2_scope_aliases"] == (boss, "dev=r.tag:management")
    settings = load({}, given.values, given.places)
    assert settings.auth_backends == ("oauth2", "internal")


def test_backend_that_there_is_not_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfError, match="'ldap' is not allowed; it must be internal or oauth2"):
        read(conf(tmp_path, "auth_backends.1 = ldap"), {})


def test_keys_are_not_taken_from_where_anybody_could_change_them(tmp_path: Path) -> None:
    given = read(conf(tmp_path, "auth_oauth2.jwks_url = http://issuer/keys"), {})
    with pytest.raises(SettingsError, match=r"auth_oauth2.jwks_url in .* begins with https://"):
        load({}, given.values, given.places)


def test_plain_and_tls_ports_of_the_api_may_be_both(tmp_path: Path) -> None:
    lines = ("management.tcp.port = 15672", "management.ssl.port = 15671", "management.ssl.certfile = /m.pem")
    values = read(conf(tmp_path, *lines), {}).values
    assert (values["management_port"], values["management_tls_port"]) == (15672, 15671)
