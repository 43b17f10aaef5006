"""Passwords do not get into the log, whatever a client does with them."""

import socket
from typing import Any

import pytest
from pamqp import commands

from broker.cli import parser
from broker.config import Mark, Settings, flag_name
from protocol.methods import build, encode_method
from tests.brokers import RunningBroker


def login(password: bytes) -> bytes:
    """Return the frame of a login as guest."""
    method = build(
        commands.Connection.StartOk,
        client_properties={},
        mechanism="PLAIN",
        response=b"\0guest\0" + password,
        locale="en_US",
    )
    return encode_method(0, method)


LOGIN = login(b"sup3rsecret")


@pytest.mark.parametrize("damage", ["cut", "end octet", "second channel"])
def test_password_in_a_broken_login_is_not_logged(own_broker: RunningBroker, damage: str) -> None:
    payload = LOGIN[7:-4] if damage == "cut" else LOGIN[7:-1]
    end = b"\x00" if damage == "end octet" else b"\xce"
    frame = b"\x01" + (b"\x00\x01" if damage == "second channel" else b"\x00\x00") + len(payload).to_bytes(4) + payload
    with socket.create_connection(("127.0.0.1", own_broker.port), 10) as client:
        client.sendall(b"AMQP\x00\x00\x09\x01" + frame + end)
        own_broker.wait_for_event("connection dropped")
    shown = "".join(own_broker.output)
    assert "sup3rsecret" not in shown
    assert ",".join(map(str, b"sup3r")) not in shown


def test_password_of_a_refused_login_is_not_logged(own_broker: RunningBroker) -> None:
    with socket.create_connection(("127.0.0.1", own_broker.port), 10) as client:
        client.sendall(b"AMQP\x00\x00\x09\x01" + LOGIN)
        own_broker.wait_for_event("connection dropped")
    shown = "".join(own_broker.output)
    assert "guest" in shown
    assert "sup3rsecret" not in shown


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzZWtyZXQifQ.c2Vrcmv0"


def connected(broker: RunningBroker) -> socket.socket:
    """Return a socket with an open connection on it."""
    client = socket.create_connection(("127.0.0.1", broker.port), 10)
    client.sendall(b"AMQP\x00\x00\x09\x01" + login(b"guest"))
    for method in (
        build(commands.Connection.TuneOk, channel_max=0, frame_max=131072, heartbeat=0),
        build(commands.Connection.Open, virtual_host="/"),
    ):
        client.sendall(encode_method(0, method))
    broker.wait_for_event("connection opened")
    return client


@pytest.mark.parametrize("damage", ["none", "cut", "end octet", "on a channel"])
def test_next_token_is_not_logged(own_broker: RunningBroker, damage: str) -> None:
    frame = encode_method(0, build(commands.Connection.UpdateSecret, new_secret=TOKEN, reason="soon over"))
    payload = frame[7:-12] if damage == "cut" else frame[7:-1]
    head = b"\x01" + (b"\x00\x01" if damage == "on a channel" else b"\x00\x00") + len(payload).to_bytes(4)
    with connected(own_broker) as client:
        client.sendall(head + payload + (b"\x00" if damage == "end octet" else b"\xce"))
        if damage != "none":
            own_broker.wait_for_event("connection error")
    own_broker.wait_for_event("connection closed")
    shown = "".join(own_broker.output)
    assert not any(part in shown for part in TOKEN.split("."))
    assert ",".join(map(str, TOKEN[:8].encode())) not in shown


def test_settings_that_are_secret_are_in_no_list_of_processes() -> None:
    secrets = [key for key, field in Settings.model_fields.items() if Mark.SECRET in field.metadata]
    assert {"default_pass", "tls_key_pass", "management_tls_key_pass"} <= set(secrets)
    flags = {option for action in parser()._actions for option in action.option_strings}
    assert "--tls-key" in flags
    assert not {flag_name(key) for key in secrets} & flags
    values: dict[str, Any] = dict.fromkeys(secrets, "s3kret")
    assert "s3kret" not in repr(Settings(**values))
