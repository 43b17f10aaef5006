"""What a bad client does, each in a process of its own: work for workload H, which looks at a healthy client beside it.

They run at a lower priority than the rest, for they stand for other machines: a broker that lets them have its
time is seen, a machine that gives them its own is not. Each returns how much it has done.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from bench import wire
from bench.client import Address, BrokerRefused, Client
from bench.handshake import Handshake

NICENESS: Final = 5
TIMEOUT_S: Final = 5.0
TOGETHER_S: Final = 1.0
READ_OCTETS: Final = 1 << 16
CHANNEL_OPEN_OK_OCTETS: Final = 16
CHANNELS: Final = 2_047
REQUESTS: Final = 5_000
GET_EMPTY_OCTETS: Final = 13
EMPTY_QUEUE: Final = "bench-H-empty"
FULL_QUEUE: Final = "bench-H-full"
FULL_COUNT: Final = 1_000
PUBLISH_BODY_OCTETS: Final = 128
PUBLISH_CHUNK_OCTETS: Final = 1 << 16
EXCHANGE: Final = "bench-H"
SLOW_BODY_OCTETS: Final = 1 << 14
SLOW_RATE: Final = 200
RECEIVE_BUFFER_OCTETS: Final = 4096

HTTP: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
AMQP_1_0: Final = b"AMQP\x00\x01\x00\x00"
UNKNOWN_METHOD: Final = wire.encode_method(1, (60, 999), b"\x00" * 20)
WRONG_END: Final = wire.encode_method(1, wire.CHANNEL_OPEN, b"\x00")[:-1] + b"\x00"
CUT_SHORT: Final = wire.encode_method(1, wire.QUEUE_DECLARE, b"\x00\x00\xff")
UNEXPECTED_BODY: Final = wire.encode_frame(wire.BODY_FRAME, 1, b"x" * 100)


def give_way() -> None:
    """Let healthy clients and the broker go first."""
    os.nice(NICENESS)


def churn(address: Address, lasting_s: float, rate: float) -> int:
    """Connections with a channel opened and closed in order, ``rate`` a second at most."""
    give_way()
    handshake = Handshake(address)
    began_s = time.monotonic()
    count = 0
    while (now_s := time.monotonic()) < began_s + lasting_s:
        early_s = began_s + count / rate - now_s
        if early_s > 0:
            time.sleep(early_s)
        handshake.close(handshake.open())
        count += 1
    return count


def send_garbage(address: Address, lasting_s: float) -> int:
    """Connections that send what is no AMQP, before and after the login, and go when they are told, or at once."""
    give_way()
    handshake = Handshake(address)
    ways: tuple[Callable[[], None], ...] = (
        lambda: _send_unasked(address, HTTP),
        lambda: _send_unasked(address, AMQP_1_0),
        lambda: _send_unasked(address, wire.PROTOCOL_HEADER + b"\xff" * 500, is_waiting=False),
        *(
            partial(_send_inside, handshake, octets)
            for octets in (b"\xff" * 500, UNKNOWN_METHOD, WRONG_END, CUT_SHORT, UNEXPECTED_BODY)
        ),
    )
    until_s = time.monotonic() + lasting_s
    count = 0
    while time.monotonic() < until_s:
        ways[count % len(ways)]()
        count += 1
    return count


def _send_unasked(address: Address, octets: bytes, *, is_waiting: bool = True) -> None:
    with socket.create_connection((address.host, address.port), TIMEOUT_S) as peer, contextlib.suppress(OSError):
        peer.sendall(octets)
        while is_waiting and peer.recv(READ_OCTETS):
            pass


def _send_inside(handshake: Handshake, octets: bytes) -> None:
    """After the login, and then wait for what the broker says."""
    with handshake.open() as peer, contextlib.suppress(OSError):
        peer.settimeout(TIMEOUT_S)
        peer.sendall(octets)
        peer.recv(READ_OCTETS)


def fill_channels(address: Address, lasting_s: float) -> int:
    """Connections that open all channels at once, and are cut off when these are open; how many channels."""
    give_way()
    handshake = Handshake(address)
    channels = b"".join(wire.encode_method(number, wire.CHANNEL_OPEN, b"\x00") for number in range(2, CHANNELS + 1))
    until_s = time.monotonic() + lasting_s
    count = 0
    while time.monotonic() < until_s:
        with handshake.open() as peer:
            peer.sendall(channels)
            missing_octets = (CHANNELS - 1) * CHANNEL_OPEN_OK_OCTETS
            while missing_octets > 0:
                octets = peer.recv(READ_OCTETS)
                if not octets:
                    raise BrokerRefused("connection lost while opening channels")
                missing_octets -= len(octets)
        count += CHANNELS
    return count


def flood(address: Address, lasting_s: float) -> int:
    """One connection that asks an empty queue for a message REQUESTS times at once, and again when all is answered."""
    give_way()
    client = Client(address)
    client.declare_queue(EMPTY_QUEUE)
    request = wire.encode_method(1, wire.BASIC_GET, b"\x00\x00" + wire.encode_shortstr(EMPTY_QUEUE) + b"\x01")
    requests = request * REQUESTS
    until_s = time.monotonic() + lasting_s
    count = 0
    while time.monotonic() < until_s:
        client.socket.sendall(requests)
        missing_octets = REQUESTS * GET_EMPTY_OCTETS
        while missing_octets > 0:
            octets = client.socket.recv(READ_OCTETS)
            if not octets:
                raise BrokerRefused("connection lost while it had requests")
            missing_octets -= len(octets)
        count += REQUESTS
    client.delete_queue(EMPTY_QUEUE)
    client.close()
    return count


def publish_all_it_can(address: Address, lasting_s: float) -> int:
    """One connection that publishes as fast as it is read, to a queue that keeps FULL_COUNT; how many messages."""
    give_way()
    client = Client(address)
    client.declare_queue(FULL_QUEUE, arguments={"x-max-length": FULL_COUNT})
    message = wire.encode_publish("", FULL_QUEUE) + wire.encode_content(0, b"", bytes(PUBLISH_BODY_OCTETS))
    chunk_count = PUBLISH_CHUNK_OCTETS // len(message)
    chunk = message * chunk_count
    until_s = time.monotonic() + lasting_s
    count = 0
    while time.monotonic() < until_s:
        client.socket.sendall(chunk)
        count += chunk_count
    client.socket.settimeout(None)
    client.declare_queue(FULL_QUEUE, passive=True)  # All that was sent before has been taken when this is answered.
    client.close()
    return count


def forget_full(address: Address) -> None:
    """Take away what ``publish_all_it_can`` has made."""
    client = Client(address)
    client.delete_queue(FULL_QUEUE)
    client.close()


def open_half(address: Address, count: int) -> int:
    """Sockets that say nothing, or begin a handshake and do not go on. They come all at once, and stay as the process.

    How many were there after a second at most: a broker may keep some waiting for longer.
    """
    give_way()
    beginnings = (b"", wire.PROTOCOL_HEADER[:5], wire.PROTOCOL_HEADER, wire.PROTOCOL_HEADER + b"\x01\x00\x00\x00")
    coming = select.poll()
    for _ in range(count):
        peer = socket.socket()
        peer.setblocking(False)
        peer.connect_ex((address.host, address.port))
        coming.register(peer, select.POLLOUT)
        _kept.append(peer)
    by_descriptor = {peer.fileno(): peer for peer in _kept}
    until_s = time.monotonic() + TOGETHER_S
    there = 0
    while there < count and (left_s := until_s - time.monotonic()) > 0:
        for descriptor, _ in coming.poll(left_s * 1e3):
            coming.unregister(descriptor)
            with contextlib.suppress(OSError):
                by_descriptor[descriptor].send(beginnings[there % len(beginnings)])
            there += 1
    return there


def open_idle(address: Address, count: int) -> float:
    """Connections with a channel, which then say nothing; how many seconds that took."""
    give_way()
    handshake = Handshake(address)
    began_s = time.monotonic()
    for _ in range(count):
        _kept.append(handshake.open())  # noqa: PERF401 - what is open is open, if one fails
    return time.monotonic() - began_s


def consume_and_not_read(address: Address, count: int) -> int:
    """Consumers with auto-ack, each of a queue of its own at one exchange, that read nothing from then on."""
    give_way()
    client = Client(address)
    client.declare_exchange(EXCHANGE, "fanout")
    for number in range(count):
        queue_name = f"bench-H-slow-{number}"
        client.declare_queue(queue_name)
        client.bind_queue(queue_name, EXCHANGE, "")
        consumer = Client(address)
        consumer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
        consumer.consume(queue_name, "c", no_ack=True)
        _kept.append(consumer.socket)
    client.close()
    return count


def publish_to_slow(address: Address, lasting_s: float) -> int:
    """A steady rate of large messages to the exchange of ``consume_and_not_read``."""
    give_way()
    client = Client(address)
    message = wire.encode_publish(EXCHANGE, "") + wire.encode_content(0, b"", bytes(SLOW_BODY_OCTETS))
    began_s = time.monotonic()
    count = 0
    while (now_s := time.monotonic()) < began_s + lasting_s:
        early_s = began_s + count / SLOW_RATE - now_s
        if early_s > 0:
            time.sleep(early_s)
        client.socket.sendall(message)
        count += 1
    client.close()
    return count


def forget_slow(address: Address, count: int) -> None:
    """Take away what ``consume_and_not_read`` has made."""
    client = Client(address)
    for number in range(count):
        client.delete_queue(f"bench-H-slow-{number}")
    client.delete_exchange(EXCHANGE)
    client.close()


_kept: list[socket.socket] = []
"""What is open until the process ends."""
