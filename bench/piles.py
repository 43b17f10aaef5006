"""The series of waiting messages: piles of one size, published while nobody consumes and then drained, again and again.

What a pile costs beside its messages, which is a count of the queue and a consumer that comes and goes, is part of the
figure. It is most of it for piles of ten.
"""

import time
from dataclasses import dataclass

from bench.beside import Beside
from bench.client import Address, BrokerRefused, Client
from bench.deliveries import DeliveryCounter
from bench.messages import same_messages
from bench.meter import Load, Meter
from bench.rounds import RoundFailed

QUEUE = "bench-piles-0"
BODY_OCTETS = 128
CHUNK_OCTETS = 1 << 16
READ_OCTETS = 1 << 18
LIMIT_S = 900.0
STALL_S = 30.0


@dataclass(frozen=True, slots=True)
class Piles:
    """What was done: ``message_count`` published and drained in ``lasted_s``, under ``load``."""

    message_count: int
    lasted_s: float
    load: Load


def measure_piles(address: Address, size: int, window_s: float) -> Piles:
    """Piles of ``size`` transient messages in a transient queue, for ``window_s`` and until the last is empty.

    Raises RoundFailed, BrokerRefused, OSError.
    """
    client = Client(address)
    client.delete_queue(QUEUE)
    client.declare_queue(QUEUE)
    try:
        meter = Meter(address.port)
        with Beside(_pile_and_drain, address, size, window_s) as worker:
            message_count, lasted_s = worker.result(LIMIT_S)
            load = meter.load(worker.process)
        if left := client.declare_queue(QUEUE, passive=True):
            raise RoundFailed(f"{left} messages were left")
    finally:
        client.delete_queue(QUEUE)
        client.close()
    return Piles(message_count, lasted_s, load)


def _pile_and_drain(address: Address, size: int, window_s: float) -> tuple[int, float]:
    """How many messages were published and drained, and the seconds that it took."""
    stream = same_messages("", QUEUE, BODY_OCTETS, persistent=False, chunk_octets=CHUNK_OCTETS)
    (octets, each) = next(stream.chunks)
    publisher, consumer = Client(address), Client(address)
    publisher.socket.settimeout(None)
    consumer.socket.settimeout(STALL_S)
    counter, buffer = DeliveryCounter(stream.bodies), bytearray(READ_OCTETS)
    began_s = time.monotonic()
    lasted_s, total = 0.0, 0
    while lasted_s < window_s:
        for _ in range(size // each):
            publisher.socket.sendall(octets)
        publisher.socket.sendall(octets[: len(octets) // each * (size % each)])
        _wait_for(publisher, size)
        total += size
        _drain(consumer, counter, buffer, total)
        lasted_s = time.monotonic() - began_s
    publisher.close()
    consumer.close()
    counter.finish(consumer.unread)
    return total, lasted_s


def _wait_for(client: Client, size: int) -> None:
    """Return when so many messages wait in the queue. Raises RoundFailed when no more come."""
    waiting, changed_s = -1, time.monotonic()
    while waiting < size:
        now = client.declare_queue(QUEUE, passive=True)
        if now != waiting:
            waiting, changed_s = now, time.monotonic()
        elif time.monotonic() - changed_s > STALL_S:
            raise RoundFailed(f"only {waiting} of {size} messages arrived")


def _drain(client: Client, counter: DeliveryCounter, buffer: bytearray, until: int) -> None:
    """Consume until ``until`` messages have been delivered since the first pile."""
    client.consume(QUEUE, "c", no_ack=True)
    early, client.unread = client.unread, bytearray()
    if early:
        counter.feed(early, len(early))
    while counter.delivered < until:
        octets = client.socket.recv_into(buffer)
        if not octets:
            raise BrokerRefused("connection lost while draining")
        counter.feed(buffer, octets)
    client.cancel("c")
