"""Workload L: persistent messages at a steady 5,000 a second; how long until each is confirmed, and delivered.

Each message has an instant at which it is due, and time counts from there: a broker that stalls the sender is
not excused from what should have been sent meanwhile. The consumer acknowledges; queue and messages are
durable.
"""

import select
import struct
import time
from collections import deque

from bench import wire
from bench.beside import Beside
from bench.client import Address, Client
from bench.confirms import ConfirmCounter
from bench.figures import Effort, Figure, cpu_figures, percentile_of
from bench.messages import PERSISTENT_FLAGS
from bench.meter import Meter
from bench.rounds import RoundFailed
from bench.singles import take_delivery

QUEUE = "bench-L-0"
RATE = 5_000
BODY_OCTETS = 1024
PREFETCH_COUNT = 1000
READ_OCTETS = 1 << 16
RESULT_LIMIT_S = 60.0
LATE_S = 0.001
LATE_SHARE = 0.05
"""When more messages than this were sent later than LATE_S after they were due, the generator was the limit."""

_due = struct.Struct(">d")


def measure_latency(address: Address, effort: Effort) -> list[Figure]:
    """p50, p99, p99.9 from due to confirmed, and from due to delivered."""
    count = round(RATE * effort.window_s)
    warm_up_count = round(RATE * effort.warm_up_s)
    client = Client(address)
    client.delete_queue(QUEUE)
    client.declare_queue(QUEUE, durable=True)
    limit_s = effort.warm_up_s + effort.window_s + RESULT_LIMIT_S
    try:
        meter = Meter(address.port)
        with (
            Beside(take, address, warm_up_count + count) as taking,
            Beside(publish, address, warm_up_count + count) as publishing,
        ):
            confirmed_s, late_count = publishing.result(limit_s)
            delivered_s = taking.result(limit_s)
            load = meter.load(taking.process, publishing.process)
    finally:
        client.delete_queue(QUEUE)
        client.close()
    is_limited = late_count > LATE_SHARE * (count + warm_up_count)
    figures = [
        Figure(
            name=f"{what}, p{percent}",
            value=percentile_of(ordered, percent) * 1e3,
            unit="ms",
            is_limited=is_limited,
            is_disturbed=load.is_disturbed,
        )
        for what, ordered in (
            ("confirmed", sorted(confirmed_s[warm_up_count:])),
            ("delivered", sorted(delivered_s[warm_up_count:])),
        )
        for percent in (50, 99, 99.9)
    ]
    return figures + cpu_figures("at 5,000/s", "message", warm_up_count + count, load)


def publish(address: Address, count: int) -> tuple[list[float], int]:
    """Seconds from due to confirmed of each message, in order; how many were sent late by the generator itself."""
    client = Client(address)
    client.select_confirms()
    filler = bytes(BODY_OCTETS - _due.size)
    message = bytearray(
        wire.encode_publish("", QUEUE) + wire.encode_content(PERSISTENT_FLAGS, b"\x02", bytes(_due.size) + filler)
    )
    due_at = len(message) - 1 - BODY_OCTETS
    confirms = ConfirmCounter()
    waiting: deque[float] = deque()
    confirmed_s: list[float] = []
    late_count = sent = 0
    began_s = time.monotonic() + 0.05
    while len(confirmed_s) < count:
        now_s = time.monotonic()
        due_s = began_s + sent / RATE
        if sent < count and now_s >= due_s:
            _due.pack_into(message, due_at, due_s)
            client.socket.sendall(message)
            waiting.append(due_s)
            late_count += now_s - due_s > LATE_S
            sent += 1
            if now_s < due_s + 1 / RATE:
                continue
        pause_s = max(0.0, due_s - now_s) if sent < count else RESULT_LIMIT_S
        readable, _, _ = select.select([client.socket], [], [], pause_s)
        if readable:
            confirms.feed(client.socket.recv(READ_OCTETS))
            now_s = time.monotonic()
            # Out of order only within one read or so: attributed in order of publishing.
            while len(confirmed_s) < confirms.confirmed:
                confirmed_s.append(now_s - waiting.popleft())
        elif sent == count:
            raise RoundFailed(f"{count - len(confirmed_s)} confirms did not come")
    client.close()
    return confirmed_s, late_count


def take(address: Address, count: int) -> list[float]:
    """Seconds from due to delivered of each message, in order of delivery."""
    client = Client(address)
    client.limit_unacked(PREFETCH_COUNT)
    client.consume(QUEUE, "c", no_ack=False)
    client.socket.settimeout(RESULT_LIMIT_S)
    delivered_s: list[float] = []
    while len(delivered_s) < count:
        octets = client.socket.recv(READ_OCTETS)
        now_s = time.monotonic()
        if not octets:
            raise RoundFailed("connection lost while consuming")
        client.unread += octets
        before = len(delivered_s)
        while (found := take_delivery(client.unread)) is not None:
            delivered_s.append(now_s - _due.unpack_from(found[1])[0])
        if len(delivered_s) > before:
            client.socket.sendall(wire.encode_ack(len(delivered_s), multiple=True))
    client.close()
    return delivered_s
