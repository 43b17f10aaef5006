"""The series of waiting messages: piles of one size, published while nobody consumes and then drained, again and again.

What a pile costs beside its messages, which is a count of the queue and a consumer that comes and goes, is part of the
figure. It is most of it for piles of ten.
"""

import time
from dataclasses import dataclass

from bench.backlog import STALL_S, publish_pile, take_until
from bench.beside import Beside
from bench.client import Address, Client
from bench.deliveries import DeliveryCounter
from bench.messages import same_messages
from bench.meter import Load, Meter
from bench.rounds import RoundFailed

QUEUE = "bench-piles-0"
BODY_OCTETS = 128
CHUNK_OCTETS = 1 << 16
READ_OCTETS = 1 << 18
LIMIT_S = 900.0


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
        publish_pile(publisher, QUEUE, octets, each, size)
        total += size
        take_until(consumer, QUEUE, counter, buffer, total)
        consumer.cancel("c")
        lasted_s = time.monotonic() - began_s
    publisher.close()
    consumer.close()
    counter.finish(consumer.unread)
    return total, lasted_s
