"""Workload Q: durable queues declared and bound to a durable exchange, one by one and many on the way at once."""

import time

from bench.client import Address, Client
from bench.figures import Effort, Figure, rate_figures
from bench.meter import Load, Meter
from bench.pipeline import call_many, read_replies

EXCHANGE = "bench-Q"
PIPELINED = 100
"""Pairs of declare and bind sent before their replies are read."""

NAMES = [f"bench-Q-{number:05}" for number in range(20_000)]


def measure_declares(address: Address, effort: Effort) -> list[Figure]:
    """Each counts a declare and a bind together."""
    client = Client(address)
    client.delete_exchange(EXCHANGE)
    client.declare_exchange(EXCHANGE, "direct", durable=True)
    try:
        figures: list[Figure] = []
        for name, batch in (("one by one", 1), ("pipelined", PIPELINED)):
            count, load = _declare(address, client, batch, effort.window_s)
            figures += rate_figures(f"declare and bind, {name}", "pair", count, load)
    finally:
        client.delete_exchange(EXCHANGE)
        client.close()
    return figures


def _declare(address: Address, client: Client, batch: int, window_s: float) -> tuple[int, Load]:
    """As many as the window allows, ``batch`` pairs on the way at once; deleted afterwards."""
    pairs = [(client.encode_declare(name, durable=True), client.encode_bind(name, EXCHANGE, name)) for name in NAMES]
    count = 0
    meter = Meter(address.port)
    until_s = time.monotonic() + window_s
    try:
        while count < len(NAMES) and time.monotonic() < until_s:
            group = pairs[count : count + batch]
            count += len(group)
            if batch == 1:
                for octets in group[0]:
                    client.socket.sendall(octets)
                    read_replies(client, 1)
            else:
                client.socket.sendall(b"".join(declare + bind for declare, bind in group))
                read_replies(client, 2 * len(group))
        return count, meter.load()
    finally:
        call_many(client, (client.encode_delete(name) for name in NAMES[:count]))
