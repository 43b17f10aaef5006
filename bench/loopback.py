"""A stand-in for a broker that does next to nothing, to learn how fast the load generator itself is.

Speaks just enough AMQP that a workload with one queue and one message shape runs against it: publishes are
counted by their octets, deliveries are slices of a pre-encoded block, confirms are one basic.ack per read. It
routes everything to everyone, keeps nothing, and obeys prefetch. One process, one poll loop. Not a broker: no
figure of it says anything about one.
"""

import contextlib
import os
import select
import socket
import struct
from collections.abc import Iterator

from bench import wire
from bench.acknowledgements import BLOCK

READ_OCTETS = 1 << 18
_REPLIES: dict[wire.Method, tuple[wire.Method, bytes]] = {
    wire.CONNECTION_START_OK: (wire.CONNECTION_TUNE, struct.pack(">HIH", 2047, 131_072, 0)),
    wire.CONNECTION_OPEN: (wire.CONNECTION_OPEN_OK, b"\x00"),
    wire.CHANNEL_OPEN: (wire.CHANNEL_OPEN_OK, wire.encode_longstr(b"")),
    wire.QUEUE_DECLARE: (wire.QUEUE_DECLARE_OK, wire.encode_shortstr("q") + struct.pack(">II", 0, 0)),
    wire.QUEUE_DELETE: (wire.QUEUE_DELETE_OK, struct.pack(">I", 0)),
    wire.BASIC_QOS: (wire.BASIC_QOS_OK, b""),
    wire.BASIC_CONSUME: (wire.BASIC_CONSUME_OK, wire.encode_shortstr("c")),
    wire.CONFIRM_SELECT: (wire.CONFIRM_SELECT_OK, b""),
    wire.CONNECTION_CLOSE: (wire.CONNECTION_CLOSE_OK, b""),
}


class Loopback:
    """Listens on ``port`` of 127.0.0.1 once made; ``run`` serves until the process is ended."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.published = 0
        self.publish_octets = 0
        """One publish, learnt from the first; all are equal."""
        self.block = memoryview(b"")
        self.delivery_octets = 0
        self.upper = 0
        """The upper 48 bits of all delivery tags in the block."""
        self._shape = (b"", b"")
        self.buffer = bytearray(READ_OCTETS)
        self._peers: dict[int, _Peer] = {}

    def close(self) -> None:
        """Stop listening in this process."""
        self._listener.close()

    def run(self) -> None:
        """Serve for ever."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            for descriptor, events in poll.poll():
                if descriptor == self._listener.fileno():
                    peer = _Peer(self, self._listener.accept()[0])
                    self._peers[peer.socket.fileno()] = peer
                    poll.register(peer.socket, select.POLLIN)
                elif events & ~select.POLLOUT and not self._peers[descriptor].read():
                    poll.unregister(descriptor)
                    self._peers.pop(descriptor).socket.close()
            for descriptor, peer in self._peers.items():
                if peer.is_consumer:
                    poll.modify(descriptor, select.POLLIN if peer.deliver() else select.POLLIN | select.POLLOUT)

    def learn(self, content: bytes, publish: bytes, octets: int) -> None:
        """Take the first publish as the shape of all, and encode the deliveries of 65,536 tags."""
        if (publish, content) == self._shape:
            return
        self._shape = (publish, content)
        self.publish_octets, self.upper = octets, 0
        names = publish[6:-1]
        arguments = wire.encode_shortstr("c") + bytes(8) + b"\x00" + names
        delivery = wire.encode_method(1, wire.BASIC_DELIVER, arguments) + content
        self.delivery_octets = len(delivery)
        block = bytearray(delivery * BLOCK)
        low = bytes(range(256))
        block[20 :: len(delivery)] = low * 256
        block[19 :: len(delivery)] = b"".join(bytes([high]) * 256 for high in low)
        self.block = memoryview(block)

    def move_block(self, upper: int) -> None:
        """Write other upper halves into the tags; a copy, since the old block may still be on its way."""
        block = bytearray(self.block)
        for place, octet in enumerate(upper.to_bytes(6)):
            block[13 + place :: self.delivery_octets] = bytes([octet]) * BLOCK
        self.block, self.upper = memoryview(block), upper


class _Peer:
    """One connection: methods are answered, publishes and acknowledgements are counted."""

    def __init__(self, loopback: Loopback, peer: socket.socket) -> None:
        self.socket, self._loopback = peer, loopback
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = bytearray()
        self.is_consumer = False
        self._has_greeted = self._wants_confirms = False
        self._published = self._delivered = self._acknowledged = self._prefetch_count = 0
        self._unsent = memoryview(b"")

    def read(self) -> bool:
        """Read once; False when the peer has gone."""
        with contextlib.suppress(ConnectionResetError):
            size = self.socket.recv_into(self._loopback.buffer)
            if size:
                self._unread += memoryview(self._loopback.buffer)[:size]
                self._take()
                return True
        return False

    def _take(self) -> None:
        if not self._has_greeted:
            self._has_greeted = True
            del self._unread[:8]
            self._send(
                0,
                wire.CONNECTION_START,
                b"\x00\x09"
                + wire.encode_table({"product": "loopback", "version": "0"})
                + wire.encode_longstr(b"PLAIN") * 2,
            )
        before = self._published
        self._take_run()
        for frame in self._frames():
            self._answer(*frame)
        if self._wants_confirms and self._published > before:
            self.socket.sendall(wire.encode_ack(self._published, multiple=True))

    def _take_run(self) -> None:
        """Count what comes on channel 1 once its shape is known; what is left begins with a frame on channel 0."""
        step = wire.ACK_OCTETS if self.is_consumer else self._loopback.publish_octets
        if not step or not (self._published or self.is_consumer) or self._unread[1:3] != b"\x00\x01":
            return
        count = len(self._unread) // step
        del self._unread[: count * step]
        if self.is_consumer:
            self._acknowledged += count
        else:
            self._published += count
            self._loopback.published += count

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while (frame := wire.find_frame(self._unread, 0)) is not None:
            _, channel, payload, stop = frame
            if wire.method_of(payload) == wire.BASIC_PUBLISH:
                if not self._take_first_publish(payload, stop):
                    return
                self._take_run()
                continue
            del self._unread[:stop]
            yield channel, payload

    def _take_first_publish(self, publish: bytes, stop: int) -> bool:
        header = wire.find_frame(self._unread, stop)
        body = header and wire.find_frame(self._unread, header[3])
        if not body:
            return False
        self._loopback.learn(bytes(self._unread[stop : body[3]]), publish, body[3])
        del self._unread[: body[3]]
        self._published += 1
        self._loopback.published += 1
        return True

    def _answer(self, channel: int, payload: bytes) -> None:
        method = wire.method_of(payload)
        if method == wire.CONNECTION_TUNE_OK:
            return
        if method == wire.BASIC_QOS:
            (self._prefetch_count,) = struct.unpack_from(">H", payload, 8)
        reply, arguments = _REPLIES[method]
        self._send(channel, reply, arguments)
        self._wants_confirms |= method == wire.CONFIRM_SELECT
        if method == wire.BASIC_CONSUME:
            self.is_consumer = True
            self.socket.setblocking(False)
            self._delivered = self._acknowledged = self._loopback.published = 0

    def _send(self, channel: int, method: wire.Method, arguments: bytes) -> None:
        self.socket.sendall(wire.encode_method(channel, method, arguments))

    def deliver(self) -> bool:
        """Send what credit allows; False while the peer does not read as fast."""
        while self._unsent or self._encode_run():
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return False
            except OSError:
                return True
        return True

    def _encode_run(self) -> bool:
        upto = self._loopback.published
        if self._prefetch_count:
            upto = min(upto, self._acknowledged + self._prefetch_count)
        first = self._delivered + 1
        if upto < first:
            return False
        if first >> 16 != self._loopback.upper:
            self._loopback.move_block(first >> 16)
        last = min(upto, first | 0xFFFF)
        step = self._loopback.delivery_octets
        self._unsent = self._loopback.block[(first & 0xFFFF) * step : ((last & 0xFFFF) + 1) * step]
        self._delivered = last
        return True


@contextlib.contextmanager
def loopback_process(loopback: Loopback | None = None) -> Iterator[int]:
    """A loopback in a process of its own; gives its port and ends it afterwards."""
    loopback = loopback or Loopback()
    child = os.fork()
    if not child:
        try:
            loopback.run()
        finally:
            os._exit(1)
    loopback.close()
    try:
        yield loopback.port
    finally:
        os.kill(child, 15)
        os.waitpid(child, 0)
