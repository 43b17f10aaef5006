"""Passwords do not get into the log, whatever a client does with them."""

import socket

import pytest
from pamqp import commands

from protocol.methods import build, encode_method
from tests.brokers import RunningBroker

LOGIN = encode_method(
    0,
    build(
        commands.Connection.StartOk,
        client_properties={},
        mechanism="PLAIN",
        response=b"\0guest\0sup3rsecret",
        locale="en_US",
    ),
)


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
