"""Heartbeats keep an idle connection, and end a silent one. RabbitMQ: heartbeats."""

import socket
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest

from tests.clients.names import Names
from tests.clients.waiting import pump


def read_until_closed(peer: socket.socket) -> bytes:
    octets = b""
    while True:
        try:
            read = peer.recv(65536)
        except ConnectionResetError:
            return octets
        if not read:
            return octets
        octets += read


def frame(method: Any) -> bytes:
    octets: bytes = pika.frame.Method(0, method).marshal()
    return octets


@pytest.mark.parametrize("heartbeat_s", [1, 2])
def test_idle_connection_lives_by_heartbeats(heartbeat_s: int, connect: Callable[..., Any], names: Names) -> None:
    connection = connect(heartbeat=heartbeat_s)
    channel = connection.channel()
    assert connection._impl.params.heartbeat == heartbeat_s
    checker = connection._impl._heartbeat_checker
    wanted = 5  # frames sent by the broker: more than two intervals, in which a silent peer would be dropped
    pump(connection, until=lambda: checker._heartbeat_frames_received >= wanted, deadline_s=wanted * heartbeat_s)
    queue = names.queue("heartbeat")
    assert channel.queue_declare(queue).method.queue == queue


def test_silent_socket_is_dropped_without_a_close_method(broker_url: str) -> None:
    url = urlsplit(broker_url)
    with socket.create_connection((url.hostname, url.port), timeout=15) as peer:
        peer.sendall(b"AMQP\x00\x00\x09\x01")
        start = pika.spec.Connection.StartOk(
            client_properties={}, mechanism="PLAIN", response=f"\0{url.username}\0{url.password}", locale="en_US"
        )
        tune = pika.spec.Connection.TuneOk(channel_max=2047, frame_max=131072, heartbeat=1)
        peer.sendall(frame(start) + frame(tune) + frame(pika.spec.Connection.Open(virtual_host="/")))
        began = time.monotonic()
        octets = read_until_closed(peer)
        lasted_s = time.monotonic() - began
    assert 1.5 < lasted_s < 5
    heartbeat = b"\x08\x00\x00\x00\x00\x00\x00\xce"
    assert octets.endswith(heartbeat)
    assert 2 <= octets.count(heartbeat) <= 10
    assert struct.pack(">HH", 10, 50) not in octets


def test_connection_without_heartbeat_gets_none(connect: Callable[..., Any]) -> None:
    connection = connect(heartbeat=0)
    assert connection._impl.params.heartbeat == 0
    assert connection._impl._heartbeat_checker is None
    assert connection.channel().is_open
