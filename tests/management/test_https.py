"""The HTTP API and the metrics over TLS, without plain ports, and what is told of certificates that end."""

import json
import os
import shutil
import signal
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.brokers import READY, RunningBroker
from tests.certificates import Authority

WAIT_S = 20.0
BASIC = {"authorization": "Basic " + b64encode(b"guest:guest").decode()}

Start = Callable[..., RunningBroker]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("https"))
    authority.sign("server", "/CN=localhost")
    authority.sign("client", "/CN=client")
    return authority


def flags(authority: Authority, kind: str, name: str = "server") -> tuple[str, ...]:
    """Return the flags for a certificate; ``kind`` is ``tls`` or ``management-tls``."""
    files = authority.directory
    return (f"--{kind}-certificate", str(files / f"{name}.pem"), f"--{kind}-key", str(files / f"{name}.key"))


def port_of(broker: RunningBroker, protocol: str) -> int:
    broker.wait_for_event("HTTP")
    return next(int(event["port"]) for event in broker.events("HTTP") if event["protocol"] == protocol)


def get(port: int, path: str, context: ssl.SSLContext) -> tuple[int, Any]:
    request = urllib.request.Request(f"https://localhost:{port}{path}", headers=BASIC)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S, context=context) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_api_speaks_tls_with_files_of_its_own(start_broker: Start, authority: Authority) -> None:
    broker = start_broker("--management-tls-port", "any", *flags(authority, "management-tls"))
    assert [event["protocol"] for event in broker.events("HTTP") or [broker.wait_for_event("HTTP")]] == ["https"]
    context = authority.client_context()
    port = port_of(broker, "https")
    assert get(port, "/api/whoami", context) == (200, '{"name":"guest","tags":["administrator"]}')
    overview = json.loads(get(port, "/api/overview", context)[1])
    assert ("https", port) in {(each["protocol"], each["port"]) for each in overview["listeners"]}
    with pytest.raises(urllib.error.URLError, match="VERIFY_FAILED"):
        get(port, "/api/whoami", ssl.create_default_context())


def test_api_and_metrics_speak_tls_with_the_files_of_amqp(start_broker: Start, authority: Authority) -> None:
    ports = ("--management-tls-port", "any", "--metrics-tls-port", "any", "--tls-port", "0")
    broker = start_broker(*ports, *flags(authority, "tls"), "--plain-tcp", "off")
    ready = broker.wait_for_event(READY)
    assert "port" not in ready
    context = authority.client_context()
    status, text = get(port_of(broker, "https"), "/api/health/checks/protocol-listener/amqp", context)
    assert (status, json.loads(text)["reason"]) == (503, "No active listener")
    assert "rabbitmq_build_info" in get(port_of(broker, "https/prometheus"), "/metrics", context)[1]
    options = pika.SSLOptions(context, "localhost")
    pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", ready["tls_port"], ssl_options=options)).close()


def test_clients_of_the_api_may_have_to_show_a_certificate(start_broker: Start, authority: Authority) -> None:
    required = ("--management-tls-ca", str(authority.certificate), "--management-tls-clients", "require")
    broker = start_broker("--management-tls-port", "any", *flags(authority, "management-tls"), *required)
    port = port_of(broker, "https")
    files = authority.directory
    shown = authority.client_context(files / "client.pem", files / "client.key")
    assert get(port, "/api/whoami", shown)[0] == 200
    with pytest.raises((ssl.SSLError, urllib.error.URLError, ConnectionError)):
        get(port, "/api/whoami", authority.client_context())


def test_certificate_of_the_api_is_renewed_without_a_restart(
    start_broker: Start, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "used.pem", tmp_path / "used.key"
    for used in (certificate, key):
        shutil.copy(authority.directory / f"server{used.suffix}", used)
    named = ("--management-tls-certificate", str(certificate), "--management-tls-key", str(key))
    broker = start_broker("--management-tls-port", "any", *named)
    port = port_of(broker, "https")
    first = ssl.get_server_certificate(("127.0.0.1", port))
    for file, used in zip(authority.sign("renewed", "/CN=localhost"), (certificate, key), strict=True):
        shutil.copy(file, used)
    os.kill(broker.pid, signal.SIGHUP)
    broker.wait_for_event("certificates are renewed")
    assert ssl.get_server_certificate(("127.0.0.1", port)) != first
    assert get(port, "/api/whoami", authority.client_context())[0] == 200


def test_certificates_that_end_soon_are_told(start_broker: Start, authority: Authority) -> None:
    broker = start_broker("--management-tls-port", "any", "--tls-port", "0", *flags(authority, "tls"))
    port, context = port_of(broker, "https"), authority.client_context()
    checks = "/api/health/checks/certificate-expiration"
    assert get(port, f"{checks}/1/days", context) == (200, '{"status":"ok"}')
    status, text = get(port, f"{checks}/1/weeks", context)
    told = json.loads(text)
    assert (status, told["status"], told["reason"]) == (503, "failed", "Certificates expiring")
    assert {each["protocol"] for each in told["expired"]} == {"amqp/ssl", "https"}
    amqp = next(each for each in told["expired"] if each["protocol"] == "amqp/ssl")
    assert amqp["port"] == broker.wait_for_event(READY)["tls_port"]
    assert amqp["certfile"] == str(authority.directory / "server.pem")
    assert len(amqp["certfile_expires_on"][0]) == len("2026-11-23 16:04:01")
    bad = "Time unit not recognised. Supported units: days, weeks, months, years."
    assert json.loads(get(port, f"{checks}/1/parsecs", context)[1])["reason"] == bad
    assert json.loads(get(port, f"{checks}/x/weeks", context)[1])["reason"] == "Invalid expiration value."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--management-tls-port", "any"), "tls_certificate: there is none"),
        (("--plain-tcp", "off"), "plain_tcp: it is off"),
        (
            ("--management-tls-port", "any", "--management-tls-certificate", "/none"),
            "management_tls_certificate: ",
        ),
    ],
)
def test_tls_without_what_it_needs_ends_the_start(start_broker: Start, given: tuple[str, ...], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        start_broker(*given)
