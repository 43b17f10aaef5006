"""Logins by token over sockets: what clients see, expiry, a next token, and keys that are fetched."""

import http.server
import json
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from tests.brokers import RunningBroker
from tests.certificates import Authority
from tests.management.client import Api
from tests.tokens import ALL, key_set, public_key_file, rsa_key, token

WAIT_S = 20.0

Start = Callable[..., RunningBroker]


RULES = ("--auth-backends", "oauth2,internal", "--oauth2-resource-server-id", "rabbitmq", "--management-port", "any")


@pytest.fixture
def start(start_broker: Start) -> Iterator[Start]:
    """Starts a broker that takes tokens for the audience ``rabbitmq``, and has its HTTP API."""
    yield lambda *flags: start_broker(*RULES, *flags)
    close_all()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    directory = tmp_path_factory.mktemp("oauth2")
    flags = (*RULES, "--oauth2-signing-keys", f"k1={public_key_file(directory)}")
    with RunningBroker(directory / "data", *flags) as broker:
        yield broker


@pytest.fixture
def broker(shared: RunningBroker) -> Iterator[RunningBroker]:
    """The broker of this file's tests, with one key that is in a file."""
    yield shared
    close_all()


_opened: list[pika.BlockingConnection] = []


def close_all() -> None:
    while _opened:
        connection = _opened.pop()
        if connection.is_open:
            connection.close()


def connect(broker: RunningBroker, password: str, user: str = "") -> pika.BlockingConnection:
    connection = pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", broker.port, "/", pika.PlainCredentials(user, password))
    )
    _opened.append(connection)
    return connection


def refused(broker: RunningBroker, password: str) -> str:
    with pytest.raises((pika.exceptions.ProbableAuthenticationError, pika.exceptions.ProbableAccessDeniedError)) as at:
        connect(broker, password)
    return str(at.value.args[0])


def channel_error(connection: pika.BlockingConnection, action: Callable[[Any], object]) -> tuple[int, str]:
    channel = connection.channel()
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        action(channel)
    return closed.value.reply_code, closed.value.reply_text


def wait_for_close(connection: pika.BlockingConnection) -> tuple[int, str]:
    def wait() -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            connection.process_data_events(WAIT_S)

    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        wait()
    return closed.value.reply_code, closed.value.reply_text


def update_secret(connection: pika.BlockingConnection, secret: str) -> None:
    """Send connection.update-secret and wait until the broker has answered what came after it."""
    connection._impl.update_secret(secret, "a new token", callback=lambda _: None)
    connection.channel().close()


LOGIN_REFUSED = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
NO_ENTRY = "NOT_ALLOWED - access to vhost '/' refused for user 'alice'"


def test_token_logs_in_as_its_subject(broker: RunningBroker) -> None:
    connection = connect(broker, token(), user="whoever")
    channel = connection.channel()
    channel.queue_declare("q")
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"x", pika.BasicProperties(user_id="alice"))
    assert channel.basic_get("q", auto_ack=True)[2] == b"x"
    assert "alice" in [event["user"] for event in broker.events("connection opened")]
    code, text = channel_error(
        connection, lambda ch: ch.basic_publish("", "q", b"", pika.BasicProperties(user_id="bob"))
    )
    assert (code, text.endswith("but authenticated user was 'alice'")) == (406, True)
    connection.close()
    connect(broker, "guest", "guest").close()


def test_bad_tokens_are_refused_and_not_logged(broker: RunningBroker) -> None:
    wrong = [
        token(seconds=-5),
        token(name="other"),
        token(kid="unknown"),
        token(aud="other"),
        token()[:-5] + "AAAAA",
        "a.b.c",
    ]
    for password in wrong:
        assert LOGIN_REFUSED in refused(broker, password)
    assert NO_ENTRY in refused(broker, token("rabbitmq.read:other/*"))
    shown = "".join(broker.output)
    assert "the token is refused: it has expired" in shown
    assert not any(part in shown for password in wrong[:-1] for part in password.split("."))
    assert broker.process.poll() is None


def test_operations_are_checked_against_the_scopes(broker: RunningBroker) -> None:
    owner = connect(broker, "guest", "guest")
    channel = owner.channel()
    channel.exchange_declare("topic", "topic")
    channel.queue_declare("q")
    reader = connect(broker, token("rabbitmq.read:%2F/*", "rabbitmq.write:*/topic/eu.*", "rabbitmq.write:*/q"))
    refusals = {
        "queue 'new'": lambda ch: ch.queue_declare("new"),
        "exchange 'amq.default'": lambda ch: ch.basic_publish("", "q", b""),
        "topic 'us.1' in exchange 'topic'": lambda ch: ch.basic_publish("topic", "us.1", b""),
        "topic 'eu.1' in exchange 'topic'": lambda ch: ch.queue_bind("q", "topic", "eu.1"),
    }
    for what, action in refusals.items():
        text = f"ACCESS_REFUSED - access to {what} in vhost '/' refused for user 'alice'"
        assert channel_error(reader, action) == (403, text)
    channel = reader.channel()
    channel.confirm_delivery()
    channel.basic_publish("topic", "eu.1", b"")
    assert channel.basic_get("q") == (None, None, None)


def test_connection_is_closed_when_its_token_expires(broker: RunningBroker) -> None:
    connection = connect(broker, token(seconds=2))
    assert wait_for_close(connection) == (320, "CONNECTION_FORCED - credential expired")


@pytest.mark.spec("RabbitMQ: Extensions, connection.update-secret")
def test_next_token_keeps_the_connection_and_changes_its_rights(broker: RunningBroker) -> None:
    connection = connect(broker, token(seconds=3))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"x")
    update_secret(connection, token("rabbitmq.read:*/*", seconds=6))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="access to exchange"):
        channel.basic_publish("", "q", b"x")
    update_secret(connection, token(*ALL, seconds=5))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"x")
    assert wait_for_close(connection) == (320, "CONNECTION_FORCED - credential expired")


@pytest.mark.parametrize("kind", ["expired", "of another user", "of another issuer", "none", "empty"])
def test_next_token_that_is_not_good_ends_the_connection(broker: RunningBroker, kind: str) -> None:
    bad = {
        "expired": token(seconds=-5),
        "of another user": token(user="bob"),
        "of another issuer": token(name="other"),
        "none": "secret",
        "empty": "",
    }[kind]
    connection = connect(broker, token())
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        update_secret(connection, bad)
    assert closed.value.reply_code == 530
    assert closed.value.reply_text == "NOT_ALLOWED - New secret was refused by one of the backends"


def test_secret_of_a_user_with_a_password_is_let_be(broker: RunningBroker) -> None:
    connection = connect(broker, "guest", "guest")
    update_secret(connection, "whatever")
    connection.channel().queue_declare("q")
    connection.close()


# HTTP


def http_api(broker: RunningBroker) -> Api:
    return Api(int(broker.wait_for_event("HTTP")["port"]), "", "")


def bearer(text: str) -> dict[str, Any]:
    return {"authorization": f"Bearer {text}"}


def test_bearer_token_logs_in_by_http(broker: RunningBroker) -> None:
    api = http_api(broker)
    admin = bearer(token(*ALL, "rabbitmq.tag:administrator"))
    assert api.get("whoami", **admin) == {"name": "alice", "tags": ["administrator"]}
    assert api("PUT", "queues/%2F/by-http", {}, **admin).status == 201
    refusal = {"error": "not_authorized", "reason": "Login failed"}
    for bad in (token(seconds=-1), token(name="other"), "x", ""):
        answer = api("GET", "whoami", **bearer(bad))
        assert (answer.status, answer.body) == (401, refusal)
    plain = api("GET", "whoami", **bearer(token()))
    assert (plain.status, plain.body["reason"]) == (401, "Not management user")
    as_password = Api(api.port, "whoever", token("rabbitmq.tag:management"))
    assert as_password.get("whoami") == {"name": "alice", "tags": ["management"]}


def test_scopes_hold_by_http_too(broker: RunningBroker) -> None:
    api = http_api(broker)
    admin = Api(api.port)
    assert admin.put("vhosts/other") == 201
    assert admin.put("queues/%2F/mine") == 201
    limited = bearer(token("rabbitmq.read:%2F/mine", "rabbitmq.tag:management"))
    assert [each["name"] for each in api.get("vhosts", **limited)] == ["/"]
    assert api("GET", "queues/other", **limited).status == 401
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    assert api("POST", "queues/%2F/mine/get", body, **limited).status == 200
    assert api("DELETE", "queues/%2F/mine", **limited).status == 401
    assert api("PUT", "queues/%2F/new", {}, **limited).status == 401
    assert {"mine", "new"} & {queue["name"] for queue in admin.get("queues")} == {"mine"}


def test_logins_are_counted_by_protocol_and_source(broker: RunningBroker) -> None:
    admin = Api(http_api(broker).port)
    assert admin.delete("auth/attempts/x") == 204
    connect(broker, token()).close()
    refused(broker, token(seconds=-5))
    counted = {each["protocol"]: each for each in admin.get("auth/attempts/x")}
    assert counted["amqp091"]["auth_attempts"] == 2
    assert counted["amqp091"]["auth_attempts_failed"] == 1
    by_source = {(each["protocol"], each["username"]): each for each in admin.get("auth/attempts/x/source")}
    alice = by_source["amqp091", "alice"]
    assert (alice["remote_address"], alice["auth_attempts_succeeded"], alice["auth_attempts_failed"]) == (
        "127.0.0.1",
        1,
        0,
    )
    assert admin.delete("auth/attempts/x/source") == 204
    assert not [each for each in admin.get("auth/attempts/x/source") if each["protocol"] == "amqp091"]


# Keys that are fetched


class Issuer:
    """Serves a key set and its description by https; ``requests`` are the paths asked for."""

    def __init__(self, authority: Authority) -> None:
        self.keys = key_set(k1=rsa_key())
        self.requests: list[str] = []
        certificate, key = authority.sign("issuer", "/CN=localhost")
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                found = issuer.answer(self.path)
                self.send_response(200 if found else 404)
                self.send_header("content-length", str(len(found)))
                self.end_headers()
                self.wfile.write(found)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="issuer", daemon=True).start()

    def answer(self, path: str) -> bytes:
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        return self.keys if path == "/keys" else b""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def issuer(authority: Authority) -> Iterator[Issuer]:
    made = Issuer(authority)
    yield made
    made.close()


def test_keys_are_fetched_from_the_issuer_when_a_token_needs_them(
    start: Start, issuer: Issuer, authority: Authority
) -> None:
    broker = start("--oauth2-issuer", issuer.url, "--oauth2-ca", str(authority.certificate))
    assert issuer.requests == []
    connect(broker, token()).close()
    assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]
    connect(broker, token()).close()
    for _ in range(3):
        assert LOGIN_REFUSED in refused(broker, token(kid="invented"))
    assert len(issuer.requests) == 2


def test_keys_are_fetched_for_http_too(start: Start, issuer: Issuer, authority: Authority) -> None:
    broker = start("--oauth2-jwks-url", f"{issuer.url}/keys", "--oauth2-ca", str(authority.certificate))
    assert http_api(broker).get("whoami", **bearer(token("rabbitmq.tag:management")))["name"] == "alice"
    assert issuer.requests == ["/keys"]


def test_issuer_that_cannot_be_trusted_lets_nobody_in(start: Start, issuer: Issuer) -> None:
    broker = start("--oauth2-jwks-url", f"{issuer.url}/keys")
    assert LOGIN_REFUSED in refused(broker, token())
    assert "verify failed" in broker.wait_for_event("signing keys were not fetched")["error"]
    connect(broker, "guest", "guest").close()


def test_key_set_in_a_file_is_read_again_when_told(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(k1=rsa_key()))
    broker = start("--oauth2-jwks-url", file.as_uri())
    connect(broker, token()).close()
    assert LOGIN_REFUSED in refused(broker, token(kid="k2", name="other"))
    file.write_bytes(key_set(k2=rsa_key("other")))
    broker.process.send_signal(signal.SIGHUP)
    broker.wait_for_event("signing keys are renewed")
    connect(broker, token(kid="k2", name="other")).close()
    assert LOGIN_REFUSED in refused(broker, token())
