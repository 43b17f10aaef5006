"""AMQPS: what clients see of TLS, of certificates that log in, and of certificates that are renewed."""

import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pika
import pika.credentials
import pika.exceptions
import pytest

from tests.brokers import RunningBroker
from tests.certificates import Authority
from tests.nodes import RunningNode

READY = "Server startup complete"

StartTls = Callable[..., RunningBroker]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    authority.sign("server", "/CN=localhost")
    authority.sign("guest", "/O=shop/CN=guest")
    return authority


@pytest.fixture
def start(authority: Authority, start_broker: Callable[..., RunningBroker]) -> StartTls:
    def start(*flags: str) -> RunningBroker:
        files = authority.directory
        return start_broker(
            *(
                "--tls-port",
                "0",
                "--tls-certificate",
                str(files / "server.pem"),
                "--tls-key",
                str(files / "server.key"),
            ),
            *flags,
        )

    return start


def tls_port(broker: RunningBroker) -> int:
    return int(broker.wait_for_event(READY)["tls_port"])


def connect(broker: RunningBroker, context: ssl.SSLContext, credentials: object = None) -> pika.BlockingConnection:
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            "127.0.0.1",
            tls_port(broker),
            credentials=credentials or pika.PlainCredentials("guest", "guest"),
            ssl_options=pika.SSLOptions(context, "localhost"),
        )
    )


def handshake(broker: RunningBroker, context: ssl.SSLContext) -> tuple[str | None, str]:
    """Return the version that TLS has agreed on, and the serial number of the server's certificate.

    Only once AMQP's first octets have come: with TLS 1.3, a client's certificate is refused after the handshake.
    """
    with (
        socket.create_connection(("127.0.0.1", tls_port(broker)), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(b"AMQP\x00\x00\x09\x01")
        if not wrapped.recv(7):
            raise ConnectionResetError
        certificate = cast("dict[str, str]", wrapped.getpeercert())
        return wrapped.version(), certificate["serialNumber"]


def test_messages_go_through_tls_and_beside_it(start: StartTls, authority: Authority) -> None:
    broker = start()
    body = os.urandom(300_000)
    with (
        connect(broker, authority.client_context()) as sender,
        pika.BlockingConnection(pika.URLParameters(broker.url)) as receiver,
    ):
        channel = sender.channel()
        channel.confirm_delivery()
        channel.queue_declare("q")
        for _ in range(20):
            channel.basic_publish("", "q", body)
        taken = receiver.channel()
        assert [taken.basic_get("q", auto_ack=True)[2] == body for _ in range(20)] == [True] * 20


def test_its_listener_is_told_in_the_words_that_testcontainers_waits_for(start: StartTls) -> None:
    broker = start()
    broker.wait_for_event(f"started TLS (SSL) listener on 127.0.0.1:{tls_port(broker)}")


def test_without_a_certificate_there_is_no_tls(own_broker: RunningBroker) -> None:
    assert "tls_port" not in own_broker.wait_for_event(READY)


def test_plain_client_on_the_tls_port_harms_nobody(start: StartTls, authority: Authority) -> None:
    broker = start()
    with socket.create_connection(("127.0.0.1", tls_port(broker)), 10) as plain:
        plain.sendall(b"AMQP\x00\x00\x09\x01")
        plain.settimeout(10)
        assert not plain.recv(1024).startswith(b"\x01")
    connect(broker, authority.client_context()).close()
    assert not [line for line in broker.output if "Traceback" in line]


def test_old_version_is_refused(start: StartTls, authority: Authority) -> None:
    broker = start("--tls-least-version", "1.3")
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        handshake(broker, context)
    assert handshake(broker, authority.client_context())[0] == "TLSv1.3"


def test_clients_certificate_is_required(start: StartTls, authority: Authority) -> None:
    broker = start("--tls-clients", "require", "--tls-ca", str(authority.certificate))
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        handshake(broker, authority.client_context())
    stranger = Authority(authority.directory / "stranger")
    files = stranger.sign("guest", "/CN=guest")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        handshake(broker, authority.client_context(*files))
    files = authority.directory / "guest.pem", authority.directory / "guest.key"
    connect(broker, authority.client_context(*files)).close()


def test_certificate_logs_in_by_its_common_name(start: StartTls, authority: Authority) -> None:
    broker = start("--tls-clients", "ask", "--tls-ca", str(authority.certificate))
    files = authority.directory / "guest.pem", authority.directory / "guest.key"
    external = pika.credentials.ExternalCredentials()
    with connect(broker, authority.client_context(*files), external) as connection:
        connection.channel().queue_declare("q", exclusive=True)
    nobody = authority.sign("nobody", "/CN=nobody")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        connect(broker, authority.client_context(*nobody), external)
    # Without a certificate the mechanism is offered as well, as RabbitMQ does, and lets nobody in; passwords do.
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        connect(broker, authority.client_context(), external)
    assert any("has shown no certificate" in line for line in broker.output)
    connect(broker, authority.client_context()).close()


def test_external_is_not_offered_for_certificates_that_are_not_checked(start: StartTls, authority: Authority) -> None:
    broker = start()
    files = authority.directory / "guest.pem", authority.directory / "guest.key"
    with pytest.raises(pika.exceptions.AuthenticationError):
        connect(broker, authority.client_context(*files), pika.credentials.ExternalCredentials())


def test_certificate_logs_in_by_its_distinguished_name(
    authority: Authority, tmp_path: Path, start_broker: Callable[..., RunningBroker]
) -> None:
    with RunningNode(tmp_path / "data") as node:
        name = "CN=ann\\, the 1st,O=shop"
        node.control(lambda access: access.users.add(name, None))
        node.control(lambda access: access.set_permission("/", name, configure=".*", write=".*", read=".*"))
    files = authority.directory
    broker = start_broker(
        *("--tls-port", "0", "--tls-certificate", str(files / "server.pem"), "--tls-key", str(files / "server.key")),
        *("--tls-clients", "ask", "--tls-ca", str(authority.certificate), "--tls-login", "distinguished_name"),
    )
    ann = authority.sign("ann", "/O=shop/CN=ann, the 1st")
    with connect(broker, authority.client_context(*ann), pika.credentials.ExternalCredentials()) as connection:
        connection.channel().queue_declare("q", exclusive=True)


@pytest.fixture
def renewable(authority: Authority, tmp_path: Path) -> Path:
    """A directory with the server's files under names that stay."""
    for end in (".pem", ".key"):
        shutil.copy(authority.directory / f"server{end}", tmp_path / f"used{end}")
    return tmp_path


def test_renewed_certificate_counts_without_a_restart(
    authority: Authority, renewable: Path, start_broker: Callable[..., RunningBroker]
) -> None:
    broker = start_broker(
        *("--tls-port", "0", "--tls-certificate", str(renewable / "used.pem"), "--tls-key", str(renewable / "used.key"))
    )
    kept = connect(broker, authority.client_context())
    _, first = handshake(broker, authority.client_context())
    for file, to in zip(authority.sign("renewed", "/CN=localhost"), ("used.pem", "used.key"), strict=True):
        shutil.copy(file, renewable / to)
    os.kill(broker.pid, signal.SIGHUP)
    broker.wait_for_event("certificates are renewed")
    _, second = handshake(broker, authority.client_context())
    assert second != first
    kept.channel().queue_declare("q", exclusive=True)
    kept.close()


def test_broken_renewal_leaves_the_old_certificate(
    authority: Authority, renewable: Path, start_broker: Callable[..., RunningBroker]
) -> None:
    broker = start_broker(
        *("--tls-port", "0", "--tls-certificate", str(renewable / "used.pem"), "--tls-key", str(renewable / "used.key"))
    )
    (renewable / "used.pem").write_text("nothing")
    os.kill(broker.pid, signal.SIGHUP)
    event = broker.wait_for_event("certificates were not renewed")
    assert event["error"].startswith("tls_certificate: ")
    connect(broker, authority.client_context()).close()


def test_hangup_without_tls_changes_nothing(own_broker: RunningBroker) -> None:
    os.kill(own_broker.pid, signal.SIGHUP)
    own_broker.wait_for_event("there is nothing to read again")
    pika.BlockingConnection(pika.URLParameters(own_broker.url)).close()
