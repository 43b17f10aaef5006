"""What is told of a node: the ways to log in, the files that were read, TLS, memory by what takes it, the disk."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pika
import pika.credentials
import pytest
from pamqp.commands import Connection

from broker.management.node_facts import cipher_parts
from protocol.constants import PROTOCOL_HEADER
from protocol.methods import decode_method
from tests.brokers import RunningBroker
from tests.certificates import Authority
from tests.management.client import Api


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    authority.sign("server", "/CN=localhost")
    authority.sign("guest", "/O=shop/CN=guest")
    return authority


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("etc") / "rabbitmq.conf"
    file.write_text("heartbeat = 33\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def broker(authority: Authority, conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    files = authority.directory
    flags = (
        *("--tls-port", "0", "--tls-certificate", str(files / "server.pem"), "--tls-key", str(files / "server.key")),
        *("--tls-clients", "ask", "--tls-ca", str(authority.certificate), "--management-port", "any"),
        *("--rabbitmq-conf", str(conf)),
    )
    with RunningBroker(tmp_path_factory.mktemp("facts") / "data", *flags) as broker:
        yield broker


@pytest.fixture
def api(broker: RunningBroker) -> Api:
    return Api(int(broker.wait_for_event("HTTP")["port"]))


def tls_port(broker: RunningBroker) -> int:
    return int(broker.wait_for_event("Server startup complete")["tls_port"])


def offered(broker: RunningBroker, context: ssl.SSLContext | None) -> str:
    """Return the mechanisms of connection.start, over TLS or without."""
    plain = socket.create_connection(("127.0.0.1", broker.port if context is None else tls_port(broker)), 20)
    used = plain if context is None else context.wrap_socket(plain, server_hostname="localhost")
    with used:
        used.sendall(PROTOCOL_HEADER)
        octets = b""
        while len(octets) < 7 or len(octets) < 8 + int.from_bytes(octets[3:7]):
            octets += used.recv(65536)
    start = decode_method(octets[7:-1], from_server=False)
    assert isinstance(start, Connection.Start)
    return str(start.mechanisms)


def test_external_is_offered_over_tls_alone_and_told_of_the_node(
    broker: RunningBroker, authority: Authority, api: Api
) -> None:
    assert offered(broker, None).split() == ["PLAIN", "AMQPLAIN"]
    assert offered(broker, authority.client_context()).split() == ["PLAIN", "AMQPLAIN", "EXTERNAL"]
    (node,) = api.get("nodes")
    assert {each["name"]: each["enabled"] for each in node["auth_mechanisms"]} == {
        "PLAIN": True,
        "AMQPLAIN": True,
        "EXTERNAL": True,
    }
    assert "rabbitmq_auth_mechanism_ssl" in node["enabled_plugins"]


def test_files_that_were_read_are_told(api: Api, conf: Path) -> None:
    (node,) = api.get("nodes")
    assert node["config_files"] == [str(conf)]
    assert api.get("config/effective")["heartbeat_s"] == 33


def test_tls_of_a_connection_and_its_certificate_are_told(
    broker: RunningBroker, authority: Authority, api: Api
) -> None:
    context = authority.client_context(authority.directory / "guest.pem", authority.directory / "guest.key")
    parameters = pika.ConnectionParameters(
        "127.0.0.1",
        tls_port(broker),
        credentials=pika.credentials.ExternalCredentials(),
        ssl_options=pika.SSLOptions(context, "localhost"),
    )
    with pika.BlockingConnection(parameters):
        (shown,) = api.get("connections")
    assert (shown["ssl"], shown["auth_mechanism"], shown["user"]) == (True, "EXTERNAL", "guest")
    assert (shown["ssl_protocol"], shown["ssl_key_exchange"], shown["ssl_hash"]) == ("tlsv1.3", "any", "aead")
    assert shown["ssl_cipher"] in ("aes_256_gcm", "aes_128_gcm", "chacha20_poly1305")
    assert shown["peer_cert_subject"] == "CN=guest,O=shop"
    assert shown["peer_cert_issuer"].startswith("CN=")
    first, _, last = shown["peer_cert_validity"].partition(" - ")
    assert first < last
    assert last.endswith("Z")


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        ("TLS_AES_256_GCM_SHA384", ("any", "aes_256_gcm", "aead")),
        ("TLS_CHACHA20_POLY1305_SHA256", ("any", "chacha20_poly1305", "aead")),
        ("ECDHE-RSA-AES128-GCM-SHA256", ("ecdhe_rsa", "aes_128_gcm", "aead")),
        ("ECDHE-ECDSA-AES256-SHA384", ("ecdhe_ecdsa", "aes_256_cbc", "sha384")),
        ("AES256-SHA", ("rsa", "aes_256_cbc", "sha")),
    ],
)
def test_cipher_suite_is_named_as_erlang_does(suite: str, expected: tuple[str, str, str]) -> None:
    assert cipher_parts(suite) == expected


def test_memory_is_told_by_what_takes_it(broker: RunningBroker, api: Api) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for name, arguments in {
            "plain": {},
            "sure": {"x-queue-type": "quorum"},
            "log": {"x-queue-type": "stream"},
        }.items():
            channel.queue_declare(name, durable=True, arguments=arguments)
            for _ in range(3):
                channel.basic_publish("", name, bytes(100_000), pika.BasicProperties(delivery_mode=2))
        channel.basic_get("plain")
        node = api.get("nodes")[0]
        memory = api.get(f"nodes/{node['name']}/memory")["memory"]
        relative = api.get(f"nodes/{node['name']}/memory/relative")["memory"]
        assert api.get("queues/%2F/plain")["memory"] >= 200_000
    assert 200_000 <= memory["queue_procs"] < 300_000
    assert 100_000 <= memory["connection_channels"] < 200_000
    assert min(memory["quorum_queue_procs"], memory["stream_queue_procs"]) >= 300_000
    parts = {name: octets for name, octets in memory.items() if isinstance(octets, int)}
    assert sum(parts.values()) == memory["total"]["rss"]
    assert set(relative) == {*parts, "total"}
    assert (relative["total"], relative["queue_procs"], relative["mnesia"]) == (100, 1, 0)


def test_what_was_done_to_the_disk_is_counted(broker: RunningBroker, api: Api) -> None:
    before = api.get("nodes")[0]
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", bytes(50_000), pika.BasicProperties(delivery_mode=2))
    after = api.get("nodes")[0]
    assert after["io_write_bytes"] >= before["io_write_bytes"] + 50_000
    assert after["io_write_count"] > before["io_write_count"]
    assert after["io_sync_count"] > before["io_sync_count"]
    assert after["io_sync_avg_time"] > 0
    assert after["context_switches"] > 0
