"""Reads deliveries one by one, for workloads that look at time and not at throughput."""

from bench import wire
from bench.client import BrokerRefused, Client, raise_if_closed

READ_OCTETS = 1 << 16


def read_delivery(client: Client) -> tuple[bytes, bytes]:
    """Header payload and body of the next delivery. Raises BrokerRefused on anything else."""
    while (found := take_delivery(client.unread)) is None:
        octets = client.socket.recv(READ_OCTETS)
        if not octets:
            raise BrokerRefused("connection lost while waiting for a delivery")
        client.unread += octets
    return found


def take_delivery(unread: bytearray) -> tuple[bytes, bytes] | None:
    """The same of octets already read, which are removed; None while it is not whole. One body frame at most."""
    method = wire.find_frame(unread, 0)
    if method is None:
        return None
    kind, _, payload, header_at = method
    raise_if_closed(kind, payload)
    if kind != wire.METHOD_FRAME or wire.method_of(payload) != wire.BASIC_DELIVER:
        raise BrokerRefused(f"frame type {kind} where a delivery must begin: {payload[:40]!r}")
    header = wire.find_frame(unread, header_at)
    if header is None:
        return None
    stop, body = header[3], b""
    if any(header[2][4:12]):
        found = wire.find_frame(unread, stop)
        if found is None:
            return None
        body, stop = found[2], found[3]
    del unread[:stop]
    return header[2], body
