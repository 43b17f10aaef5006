"""A blocking AMQP 0-9-1 client over one raw socket: opens a connection with channel 1 and calls methods.

For what happens before and after a run; the hot loops in producer.py and consumer.py take over its socket,
and what it has read too far (``unread``). One channel, no threads, no heartbeats.
"""

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from bench import wire


class BrokerRefused(Exception):
    """The broker closed the channel or the connection; the text is its reply code and reply text."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens and who asks. ``vhost`` and password as in an AMQP URL."""

    host: str = "127.0.0.1"
    port: int = 5672
    user: str = "guest"
    password: str = "guest"
    vhost: str = "/"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a bare port number or from ``amqp://user:password@host:port/vhost``. Raises ValueError."""
        if text.isdecimal():
            return cls(port=int(text))
        url = urlsplit(text)
        if url.scheme != "amqp" or not url.hostname:
            raise ValueError(f"{text!r} is neither a port nor an amqp:// URL")
        vhost = unquote(url.path[1:]) if len(url.path) > 1 else "/"
        user, password = unquote(url.username or "guest"), unquote(url.password or "guest")
        return cls(url.hostname, url.port or 5672, user, password, vhost)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Client:
    """An open connection with channel 1 open."""

    __slots__ = ("claim", "socket", "unread")

    def __init__(self, address: Address, *, timeout_s: float = 20.0) -> None:
        """Connect and open. Raises OSError, and BrokerRefused where the broker answers with a close."""
        self.socket = socket.create_connection((address.host, address.port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = bytearray()
        try:
            self._open(address)
        except BaseException:
            self.socket.close()
            raise

    def _open(self, address: Address) -> None:
        self.socket.sendall(wire.PROTOCOL_HEADER)
        start = self.wait_method(wire.CONNECTION_START)
        self.claim = wire.broker_claim(start)
        response = b"\x00" + address.user.encode() + b"\x00" + address.password.encode()
        capabilities: dict[str, wire.FieldValue] = {"publisher_confirms": True, "basic.nack": True}
        properties = wire.encode_table({"product": "leveret bench", "capabilities": capabilities})
        start_ok = properties + wire.encode_shortstr("PLAIN") + wire.encode_longstr(response)
        self._send(0, wire.CONNECTION_START_OK, start_ok + wire.encode_shortstr("en_US"))
        tune = self.wait_method(wire.CONNECTION_TUNE)
        channel_max, frame_max, _ = struct.unpack_from(">HIH", tune, 4)
        self._send(0, wire.CONNECTION_TUNE_OK, struct.pack(">HIH", channel_max, frame_max or 131_072, 0))
        self._send(0, wire.CONNECTION_OPEN, wire.encode_shortstr(address.vhost) + b"\x00\x00")
        self.wait_method(wire.CONNECTION_OPEN_OK)
        self.call(wire.CHANNEL_OPEN, b"\x00", wire.CHANNEL_OPEN_OK)

    def _send(self, channel: int, method: wire.Method, arguments: bytes) -> None:
        self.socket.sendall(wire.encode_method(channel, method, arguments))

    def call(self, method: wire.Method, arguments: bytes, reply: wire.Method) -> bytes:
        """Send one method on channel 1 and return its reply's payload. Raises BrokerRefused."""
        self._send(1, method, arguments)
        return self.wait_method(reply)

    def wait_method(self, method: wire.Method) -> bytes:
        """The payload of the next frame, which must be ``method``. Raises BrokerRefused on a close."""
        while (frame := wire.find_frame(self.unread, 0)) is None:
            octets = self.socket.recv(1 << 16)
            if not octets:
                raise BrokerRefused(f"connection lost while waiting for method {method}")
            self.unread += octets
        kind, _, payload, stop = frame
        del self.unread[:stop]
        raise_if_closed(kind, payload)
        if kind != wire.METHOD_FRAME or wire.method_of(payload) != method:
            raise BrokerRefused(f"expected method {method}, got frame type {kind}: {payload[:40]!r}")
        return payload

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool = False,
        passive: bool = False,
        arguments: Mapping[str, wire.FieldValue] | None = None,
    ) -> int:
        """Declare; returns the ready messages in it."""
        self.socket.sendall(self.encode_declare(name, durable=durable, passive=passive, arguments=arguments))
        payload = self.wait_method(wire.QUEUE_DECLARE_OK)
        (message_count,) = struct.unpack_from(">I", payload, 5 + payload[4])
        return int(message_count)

    def delete_queue(self, name: str) -> None:
        """Delete, whatever is in it; no error where it does not exist (RabbitMQ's rule)."""
        self.socket.sendall(self.encode_delete(name))
        self.wait_method(wire.QUEUE_DELETE_OK)

    def declare_exchange(self, name: str, kind: str, *, durable: bool = False) -> None:
        """Declare."""
        arguments = b"\x00\x00" + wire.encode_shortstr(name) + wire.encode_shortstr(kind)
        self.call(
            wire.EXCHANGE_DECLARE, arguments + bytes([durable << 1]) + wire.encode_table({}), wire.EXCHANGE_DECLARE_OK
        )

    def delete_exchange(self, name: str) -> None:
        """Delete; no error where it does not exist (RabbitMQ's rule)."""
        arguments = b"\x00\x00" + wire.encode_shortstr(name) + b"\x00"
        self.call(wire.EXCHANGE_DELETE, arguments, wire.EXCHANGE_DELETE_OK)

    def bind_queue(self, queue_name: str, exchange: str, routing_key: str) -> None:
        """Bind."""
        self.socket.sendall(self.encode_bind(queue_name, exchange, routing_key))
        self.wait_method(wire.QUEUE_BIND_OK)

    @staticmethod
    def encode_declare(
        name: str,
        *,
        durable: bool = False,
        passive: bool = False,
        arguments: Mapping[str, wire.FieldValue] | None = None,
    ) -> bytes:
        """The frame of queue.declare."""
        bits = bytes([passive | durable << 1])
        fields = b"\x00\x00" + wire.encode_shortstr(name) + bits + wire.encode_table(arguments or {})
        return wire.encode_method(1, wire.QUEUE_DECLARE, fields)

    @staticmethod
    def encode_bind(queue_name: str, exchange: str, routing_key: str) -> bytes:
        """The frame of queue.bind."""
        names = b"".join(map(wire.encode_shortstr, (queue_name, exchange, routing_key)))
        return wire.encode_method(1, wire.QUEUE_BIND, b"\x00\x00" + names + b"\x00" + wire.encode_table({}))

    @staticmethod
    def encode_delete(name: str) -> bytes:
        """The frame of queue.delete."""
        return wire.encode_method(1, wire.QUEUE_DELETE, b"\x00\x00" + wire.encode_shortstr(name) + b"\x00")

    def limit_unacked(self, prefetch_count: int) -> None:
        """basic.qos for the consumers to come."""
        self.call(wire.BASIC_QOS, struct.pack(">IHB", 0, prefetch_count, 0), wire.BASIC_QOS_OK)

    def consume(self, queue_name: str, consumer_tag: str, *, no_ack: bool) -> None:
        """Subscribe; deliveries follow on the socket."""
        names = wire.encode_shortstr(queue_name) + wire.encode_shortstr(consumer_tag)
        arguments = b"\x00\x00" + names + bytes([no_ack << 1]) + wire.encode_table({})
        self.call(wire.BASIC_CONSUME, arguments, wire.BASIC_CONSUME_OK)

    def cancel(self, consumer_tag: str) -> None:
        """End a subscription all of whose deliveries have come."""
        self.call(wire.BASIC_CANCEL, wire.encode_shortstr(consumer_tag) + b"\x00", wire.BASIC_CANCEL_OK)

    def select_confirms(self) -> None:
        """Publishes on the channel are confirmed from here on, tags from 1."""
        self.call(wire.CONFIRM_SELECT, b"\x00", wire.CONFIRM_SELECT_OK)

    def close(self) -> None:
        """Close in order: when this returns the broker has taken everything sent before.

        Raises BrokerRefused where the broker had closed first, or had sent anything but confirms.
        """
        try:
            self.socket.settimeout(20.0)
            self._send(0, wire.CONNECTION_CLOSE, struct.pack(">HBHH", 200, 0, 0, 0))
            self.wait_method(wire.CONNECTION_CLOSE_OK)
        finally:
            self.socket.close()


def raise_if_closed(kind: int, payload: bytes) -> None:
    """Raise BrokerRefused with the reply text where a frame is channel.close or connection.close."""
    if kind == wire.METHOD_FRAME and wire.method_of(payload) in (wire.CHANNEL_CLOSE, wire.CONNECTION_CLOSE):
        raise BrokerRefused(wire.close_text(payload))
