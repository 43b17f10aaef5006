"""The nginx of docs/operating.md, as it stands there but for ports and files, before a broker."""

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest

from tests.brokers import RunningBroker
from tests.certificates import Authority
from tests.waiting import until

PAGE = Path(__file__).parent.parent / "docs" / "operating.md"
STREAM_MODULES = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so")


@pytest.fixture
def proxied(start_broker: Callable[..., RunningBroker], tmp_path: Path) -> Iterator[tuple[int, int, ssl.SSLContext]]:
    """The proxy's ports for AMQPS and for HTTPS, and what trusts it."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed: the page's reverse proxy is not tried")
    broker = start_broker("--management-port", "any", "--metrics-port", "none")
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.sign("broker", "/CN=localhost")
    amqps, https = free_port(), free_port()
    text = "\n".join(re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL))
    for here, there in (
        ("/etc/ssl/broker.pem", str(certificate)),
        ("/etc/ssl/broker.key", str(key)),
        ("listen 5671 ", f"listen 127.0.0.1:{amqps} "),
        ("listen 443 ", f"listen 127.0.0.1:{https} "),
        ("127.0.0.1:5672", f"127.0.0.1:{broker.port}"),
        ("127.0.0.1:15672", f"127.0.0.1:{broker.wait_for_event('HTTP')['port']}"),
    ):
        assert here in text, "the page has changed"
        text = text.replace(here, there)
    stream, server = text.split("\nserver {")
    modules = "".join(f"load_module {path};\n" for path in STREAM_MODULES if Path(path).exists())
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    log = tmp_path / "error.log"
    user = "user root;" if os.getuid() == 0 else ""  # Else its workers could not write below this directory.
    (tmp_path / "nginx.conf").write_text(
        f"{modules}{user}daemon off;\npid {tmp_path}/nginx.pid;\nerror_log {log};\nevents {{}}\n{stream}\n"
        f"http {{\naccess_log off;\n{temporary}server {{{server}\n}}\n"
    )
    process = subprocess.Popen([nginx, "-p", str(tmp_path), "-e", str(log), "-c", str(tmp_path / "nginx.conf")])
    try:
        until(lambda: is_open(amqps) and is_open(https), "nginx to listen")
        yield amqps, https, authority.client_context()
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_clients_come_through_nginx(proxied: tuple[int, int, ssl.SSLContext]) -> None:
    amqps, https, context = proxied
    options = pika.SSLOptions(context, "localhost")
    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost", amqps, ssl_options=options))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("a/b")
    channel.basic_publish("", "a/b", b"x" * 100_000)

    def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        asking = http.client.HTTPSConnection("localhost", https, context=context, timeout=30)
        login = {"authorization": f"Basic {b64encode(b'guest:guest').decode()}"}
        asking.request(method, path, body, {"content-type": "application/json", **login})
        answer = asking.getresponse()
        status, octets = answer.status, answer.read()
        asking.close()
        return status, octets

    status, octets = ask("GET", "/api/queues/%2F/a%2Fb")
    assert (status, json.loads(octets)["name"]) == (200, "a/b"), "%2F has stayed what it was"
    large = json.dumps({"parameters": [], "comment": "x" * 9_000_000}).encode()
    assert ask("POST", "/api/definitions", large)[0] in (200, 204)
    assert [ask("GET", path)[0] for path in ("/metrics", "/metrics/per-object")] == [403, 403]
    assert channel.basic_get("a/b", auto_ack=True)[2] == b"x" * 100_000
    channel.queue_delete("a/b")
    connection.close()
