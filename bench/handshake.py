"""Opens and closes connections with as little work as can be: every frame is made beforehand.

As clients do, tune-ok and open go out together; everything else waits for its answer. An answer that has the octets of
the one before is not looked at again, and the kernel keeps the time, so that there is no call more than sending and
receiving are.
"""

import contextlib
import socket
import struct
from typing import Any

from bench import wire
from bench.client import Address, BrokerRefused, raise_if_closed

READ_OCTETS = 1 << 13
TIMEOUT_S = 30.0
_TIMEOUT = struct.pack("@ll", int(TIMEOUT_S), 0)


class Handshake:
    """The octets that one user sends to one broker."""

    __slots__ = ("_answers", "_close", "_open", "_places")

    def __init__(self, address: Address) -> None:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        self._places = [(family, place) for family, _, _, _, place in found]
        response = b"\x00" + address.user.encode() + b"\x00" + address.password.encode()
        arguments = wire.encode_table({"product": "leveret bench"}) + wire.encode_shortstr("PLAIN")
        arguments += wire.encode_longstr(response) + wire.encode_shortstr("en_US")
        start_ok = wire.encode_method(0, wire.CONNECTION_START_OK, arguments)
        tune_ok = wire.encode_method(0, wire.CONNECTION_TUNE_OK, struct.pack(">HIH", 2047, 131_072, 0))
        vhost = wire.encode_shortstr(address.vhost)
        open_ = wire.encode_method(0, wire.CONNECTION_OPEN, vhost + b"\x00\x00")
        self._open = (
            (wire.PROTOCOL_HEADER, wire.CONNECTION_START),
            (start_ok, wire.CONNECTION_TUNE),
            (tune_ok + open_, wire.CONNECTION_OPEN_OK),
            (wire.encode_method(1, wire.CHANNEL_OPEN, b"\x00"), wire.CHANNEL_OPEN_OK),
        )
        self._close = wire.encode_method(0, wire.CONNECTION_CLOSE, struct.pack(">HBHH", 200, 0, 0, 0))
        self._answers: dict[wire.Method, bytes] = {}

    def open(self) -> socket.socket:
        """A connection with channel 1 open. Raises BrokerRefused, OSError."""
        peer = self._connect()
        try:
            for octets, reply in self._open:
                self._call(peer, octets, reply)
            peer.settimeout(TIMEOUT_S)
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

    def open_and_close(self) -> None:
        """A connection with channel 1, in order. Raises BrokerRefused, OSError."""
        peer = self._connect()
        try:
            for octets, reply in self._open:
                self._call(peer, octets, reply)
            self._call(peer, self._close, wire.CONNECTION_CLOSE_OK)
        finally:
            peer.close()

    def _connect(self) -> socket.socket:
        for family, place in self._places[:-1]:
            with contextlib.suppress(OSError):
                return self._connect_to(family, place)
        return self._connect_to(*self._places[-1])

    def _connect_to(self, family: socket.AddressFamily, place: Any) -> socket.socket:
        peer = socket.socket(family, socket.SOCK_STREAM)
        try:
            # Python's own timeouts would ask before each call whether it may be made.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEOUT)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.connect(place)
        except BaseException:
            peer.close()
            raise
        return peer

    def _call(self, peer: socket.socket, octets: bytes, reply: wire.Method) -> None:
        try:
            peer.sendall(octets)
            unread = peer.recv(READ_OCTETS)
            if unread == self._answers.get(reply):
                return
            while (frame := wire.find_frame(unread, 0)) is None:
                more = peer.recv(READ_OCTETS)
                if not more:
                    raise BrokerRefused(f"connection lost while waiting for method {reply}")
                unread += more
        except BlockingIOError:
            raise TimeoutError(f"no method {reply} within {TIMEOUT_S:.0f} s") from None
        kind, _, payload, stop = frame
        raise_if_closed(kind, payload)
        if wire.method_of(payload) != reply or stop != len(unread):
            raise BrokerRefused(f"expected method {reply}, got {unread[:40]!r}")
        self._answers[reply] = unread
