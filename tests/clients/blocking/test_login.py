"""Who may come in, and what the door says. RabbitMQ: access-control, auth-notification."""

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from pika.exceptions import (
    AMQPConnectionError,
    ConnectionClosedByBroker,
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)


@pytest.mark.parametrize(("user", "password"), [("guest", "wrong"), ("nobody", "guest"), ("guest", "")])
def test_wrong_credentials_are_a_probable_authentication_error(
    user: str, password: str, connect: Callable[..., Any]
) -> None:
    with pytest.raises(ProbableAuthenticationError) as refused:
        connect(credentials=pika.PlainCredentials(user, password))
    assert "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN" in str(refused.value)


def test_missing_vhost_is_a_probable_access_denied_error(connect: Callable[..., Any]) -> None:
    with pytest.raises((ProbableAccessDeniedError, ConnectionClosedByBroker)) as refused:
        connect(virtual_host="no-such-vhost")
    assert "NOT_ALLOWED - vhost no-such-vhost not found" in str(refused.value)


def test_broker_goes_on_serving_after_refusals(connect: Callable[..., Any]) -> None:
    for _ in range(3):
        with pytest.raises(AMQPConnectionError):
            connect(credentials=pika.PlainCredentials("guest", "wrong"))
    assert connect().is_open


@pytest.mark.parametrize(
    "greeting",
    [
        b"AMQP\x00\x00\x09\x02",
        b"AMQP\x00\x00\x0a\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ],
)
def test_unknown_greeting_is_answered_with_the_protocol_we_speak(greeting: bytes, broker_url: str) -> None:
    url = urlsplit(broker_url)
    with socket.create_connection((url.hostname, url.port), timeout=10) as peer:
        peer.sendall(greeting)
        answer = b""
        while len(answer) < 8:
            read = peer.recv(100)
            assert read
            answer += read
    assert answer == b"AMQP\x00\x00\x09\x01"


def test_pika_calls_a_broker_of_another_version_incompatible(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pika.frame.ProtocolHeader, "marshal", lambda _self: b"AMQP\x00\x00\x09\x07")
    with pytest.raises(IncompatibleProtocolError):
        connect()


def test_connection_can_be_opened_and_closed_many_times(connect: Callable[..., Any]) -> None:
    for _ in range(50):
        connect().close()
    assert connect().channel().is_open
