"""Workload N: messages pile up without a consumer, then one drains them. Rates both ways, memory at the top."""

import time

from bench import processes
from bench.beside import Beside
from bench.client import Address, BrokerRefused, Client
from bench.deliveries import DeliveryCounter
from bench.figures import Effort, Figure, rate_figures
from bench.messages import same_messages
from bench.meter import Meter
from bench.rounds import RoundFailed

QUEUE = "bench-N-0"
BODY_OCTETS = 128
CHUNK_OCTETS = 1 << 16
READ_OCTETS = 1 << 18
LOOK_S = 0.1
LIMIT_S = 600.0
STALL_S = 30.0


def measure_backlog(address: Address, effort: Effort) -> list[Figure]:
    """Transient messages of 128 octets in a transient queue, drained with auto-ack."""
    count = effort.backlog_count
    client = Client(address)
    client.delete_queue(QUEUE)
    client.declare_queue(QUEUE)
    try:
        publishing = Meter(address.port)
        with Beside(pile_up, address, count) as producer:
            top_octets = _watch(producer, publishing.broker)
            published_s = producer.result(1.0)
            published = publishing.load(producer.process)
        draining = Meter(address.port)
        with Beside(drain, address, count) as consumer:
            top_octets = max(top_octets, _watch(consumer, draining.broker))
            drained_s = consumer.result(1.0)
            drained = draining.load(consumer.process)
        if left := client.declare_queue(QUEUE, passive=True):
            raise RoundFailed(f"{left} messages were left")
    finally:
        client.delete_queue(QUEUE)
        client.close()
    figures = rate_figures("published without consumer", "message", count, published, elapsed_s=published_s)
    if top_octets:
        figures.append(Figure(name=f"memory, {count:,} waiting", value=top_octets / (1 << 20), unit="MiB"))
    return figures + rate_figures("drained", "message", count, drained, elapsed_s=drained_s)


def _watch(worker: Beside[float], broker: list[int]) -> int:
    """The most resident memory of the broker until the worker has its result."""
    top_octets = 0
    until_s = time.monotonic() + LIMIT_S
    while not worker.has_result(LOOK_S):
        top_octets = max(top_octets, processes.resident_set_octets(broker))
        if time.monotonic() > until_s:
            raise RoundFailed(f"not ready within {LIMIT_S:.0f} s")
    return max(top_octets, processes.resident_set_octets(broker))


def pile_up(address: Address, count: int) -> float:
    """Seconds until ``count`` messages wait in the queue, by the broker's own count."""
    client = Client(address)
    (octets, each) = next(same_messages("", QUEUE, BODY_OCTETS, persistent=False, chunk_octets=CHUNK_OCTETS).chunks)
    client.socket.settimeout(None)
    began_s = time.monotonic()
    publish_pile(client, QUEUE, octets, each, count)
    lasted_s = time.monotonic() - began_s
    client.close()
    return lasted_s


def publish_pile(client: Client, queue: str, octets: bytes | bytearray, each: int, count: int) -> None:
    """Publish ``count`` messages, of which ``octets`` holds ``each``, and return when so many wait in ``queue``.

    Raises RoundFailed when no more come.
    """
    for _ in range(count // each):
        client.socket.sendall(octets)
    client.socket.sendall(octets[: len(octets) // each * (count % each)])
    waiting, changed_s = -1, time.monotonic()
    while waiting < count:
        now = client.declare_queue(queue, passive=True)
        if now != waiting:
            waiting, changed_s = now, time.monotonic()
        elif time.monotonic() - changed_s > STALL_S:
            raise RoundFailed(f"only {waiting} of {count} messages arrived")


def drain(address: Address, count: int) -> float:
    """Seconds until all have been delivered, each looked at as in the other workloads."""
    client = Client(address)
    counter = DeliveryCounter(same_messages("", QUEUE, BODY_OCTETS, persistent=False, chunk_octets=CHUNK_OCTETS).bodies)
    buffer = bytearray(READ_OCTETS)
    client.socket.settimeout(STALL_S)
    began_s = time.monotonic()
    take_until(client, QUEUE, counter, buffer, count)
    lasted_s = time.monotonic() - began_s
    client.close()
    counter.finish(client.unread)
    return lasted_s


def take_until(client: Client, queue: str, counter: DeliveryCounter, buffer: bytearray, count: int) -> None:
    """Consume from ``queue``, as "c", until ``counter`` has had ``count`` deliveries. Raises BrokerRefused."""
    client.consume(queue, "c", no_ack=True)
    early, client.unread = client.unread, bytearray()
    if early:
        counter.feed(early, len(early))
    while counter.delivered < count:
        octets = client.socket.recv_into(buffer)
        if not octets:
            raise BrokerRefused("connection lost while draining")
        counter.feed(buffer, octets)
