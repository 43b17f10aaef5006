"""Many method calls on channel 1 with their replies read later."""

from collections.abc import Iterable

from bench import wire
from bench.client import BrokerRefused, Client, raise_if_closed

ON_THE_WAY = 200
READ_OCTETS = 1 << 16


def call_many(client: Client, calls: Iterable[bytes]) -> None:
    """Send encoded method frames, 200 at a time, and read one reply for each. Raises BrokerRefused."""
    group: list[bytes] = []
    for call in calls:
        group.append(call)
        if len(group) == ON_THE_WAY:
            client.socket.sendall(b"".join(group))
            read_replies(client, len(group))
            group = []
    client.socket.sendall(b"".join(group))
    read_replies(client, len(group))


def read_replies(client: Client, count: int) -> None:
    """``count`` methods, whichever. Raises BrokerRefused on a close."""
    at, unread = 0, client.unread
    while count:
        frame = wire.find_frame(unread, at)
        if frame is None:
            octets = client.socket.recv(READ_OCTETS)
            if not octets:
                raise BrokerRefused("connection lost while waiting for replies")
            unread += octets
            continue
        kind, _, payload, at = frame
        raise_if_closed(kind, payload)
        count -= 1
    del unread[:at]
