"""Workload Q: durable queues declared and bound to a durable exchange, one by one and many on the way at once."""

import os
import time

from bench import wire
from bench.client import Address, BrokerRefused, Client, raise_if_closed
from bench.figures import Effort, Figure, rate_figures
from bench.meter import Load, Meter

EXCHANGE = "bench-Q"
PIPELINED = 100
"""Pairs of declare and bind sent before their replies are read."""

NAMES = [f"bench-Q-{number:05}" for number in range(20_000)]
READ_OCTETS = 1 << 16


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
    pairs = [(_encode_declare(name), _encode_bind(name)) for name in NAMES]
    count = 0
    meter = Meter(address.port, [os.getpid()])
    until_s = time.monotonic() + window_s
    try:
        while count < len(NAMES) and time.monotonic() < until_s:
            group = pairs[count : count + batch]
            count += len(group)
            if batch == 1:
                for octets in group[0]:
                    client.socket.sendall(octets)
                    _read_replies(client, 1)
            else:
                client.socket.sendall(b"".join(declare + bind for declare, bind in group))
                _read_replies(client, 2 * len(group))
        return count, meter.load()
    finally:
        for first in range(0, count, PIPELINED):
            names = NAMES[first : min(first + PIPELINED, count)]
            client.socket.sendall(b"".join(map(_encode_delete, names)))
            _read_replies(client, len(names))


def _encode_declare(name: str) -> bytes:
    arguments = b"\x00\x00" + wire.encode_shortstr(name) + b"\x02" + wire.encode_table({})
    return wire.encode_method(1, wire.QUEUE_DECLARE, arguments)


def _encode_bind(name: str) -> bytes:
    names = b"".join(map(wire.encode_shortstr, (name, EXCHANGE, name)))
    return wire.encode_method(1, wire.QUEUE_BIND, b"\x00\x00" + names + b"\x00" + wire.encode_table({}))


def _encode_delete(name: str) -> bytes:
    return wire.encode_method(1, wire.QUEUE_DELETE, b"\x00\x00" + wire.encode_shortstr(name) + b"\x00")


def _read_replies(client: Client, count: int) -> None:
    """``count`` methods, whichever. Raises BrokerRefused on a close."""
    at, unread = 0, client.unread
    while count:
        frame = wire.find_frame(unread, at)
        if frame is None:
            octets = client.socket.recv(READ_OCTETS)
            if not octets:
                raise BrokerRefused("connection lost while declaring")
            unread += octets
            continue
        kind, _, payload, at = frame
        raise_if_closed(kind, payload)
        count -= 1
    del unread[:at]
