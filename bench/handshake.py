"""Opens and closes connections with as little work as can be: every frame is made beforehand.

As clients do, tune-ok and open go out together; everything else waits for its answer.
"""

import socket
import struct

from bench import wire
from bench.client import Address, BrokerRefused, raise_if_closed

READ_OCTETS = 1 << 13
TIMEOUT_S = 30.0


class Handshake:
    """The octets that one user sends to one broker."""

    __slots__ = ("_address", "_channel_open", "_close", "_start_ok", "_tune_ok_and_open")

    def __init__(self, address: Address) -> None:
        self._address = (address.host, address.port)
        response = b"\x00" + address.user.encode() + b"\x00" + address.password.encode()
        arguments = wire.encode_table({"product": "leveret bench"}) + wire.encode_shortstr("PLAIN")
        arguments += wire.encode_longstr(response) + wire.encode_shortstr("en_US")
        self._start_ok = wire.encode_method(0, wire.CONNECTION_START_OK, arguments)
        tune_ok = wire.encode_method(0, wire.CONNECTION_TUNE_OK, struct.pack(">HIH", 2047, 131_072, 0))
        vhost = wire.encode_shortstr(address.vhost)
        self._tune_ok_and_open = tune_ok + wire.encode_method(0, wire.CONNECTION_OPEN, vhost + b"\x00\x00")
        self._channel_open = wire.encode_method(1, wire.CHANNEL_OPEN, b"\x00")
        self._close = wire.encode_method(0, wire.CONNECTION_CLOSE, struct.pack(">HBHH", 200, 0, 0, 0))

    def open(self) -> socket.socket:
        """A connection with channel 1 open. Raises BrokerRefused, OSError."""
        peer = socket.create_connection(self._address, timeout=TIMEOUT_S)
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._call(peer, wire.PROTOCOL_HEADER, wire.CONNECTION_START)
            self._call(peer, self._start_ok, wire.CONNECTION_TUNE)
            self._call(peer, self._tune_ok_and_open, wire.CONNECTION_OPEN_OK)
            self._call(peer, self._channel_open, wire.CHANNEL_OPEN_OK)
        except BaseException:
            peer.close()
            raise
        return peer

    def close(self, peer: socket.socket) -> None:
        """In order. Raises BrokerRefused, OSError."""
        try:
            self._call(peer, self._close, wire.CONNECTION_CLOSE_OK)
        finally:
            peer.close()

    def _call(self, peer: socket.socket, octets: bytes, reply: wire.Method) -> None:
        peer.sendall(octets)
        unread = b""
        while (frame := wire.find_frame(unread, 0)) is None:
            more = peer.recv(READ_OCTETS)
            if not more:
                raise BrokerRefused(f"connection lost while waiting for method {reply}")
            unread += more
        kind, _, payload, stop = frame
        raise_if_closed(kind, payload)
        if wire.method_of(payload) != reply or stop != len(unread):
            raise BrokerRefused(f"expected method {reply}, got {unread[:40]!r}")
