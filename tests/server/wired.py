"""A broker in the test's own process, on a clock that the test moves, and clients that speak to it by octets.

No socket and no loop: a client's octets go to its connection, and what the connection writes is taken apart here.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, cast

from pamqp import commands
from pamqp.base import Frame

from broker.config import Settings
from broker.server.broker import Broker
from broker.server.clock import ManualClock
from broker.server.connection import Connection
from protocol.constants import PROTOCOL_HEADER
from protocol.methods import build, decode_method, encode_method
from protocol.tables import FieldTable
from storage.store import Store
from tests.protocol.octets import message

DEADLINE_S = 10.0
_DEFAULTS = Settings(**dict[str, Any]())  # made once: it looks for each setting in the environment
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"


class Turns:
    """The part of an event loop that a broker asks for: calls in the next turn, made by ``run``."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], object]] = []

    def call_soon(self, call: Callable[[], object]) -> None:
        self._waiting.append(call)

    def run(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()


class Wire:
    """A transport whose writes gather, and that says whether it is read and open."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_read = True
        self.is_open = True

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 40000) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, octets: bytes) -> None:
        self.written += octets

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return not self.is_open

    def close(self) -> None:
        self.is_open = False

    abort = close


class Client:
    """One connection; nothing may be sent while it is not read."""

    def __init__(self, node: "Node", make: Callable[[Broker], Connection] = Connection) -> None:
        self.node = node
        self.wire = Wire()
        self.heartbeat_count = 0
        self.bodies: list[bytes] = []
        self.connection = make(node.broker)
        self.connection.connection_made(cast(asyncio.Transport, self.wire))
        self.connection.data_received(PROTOCOL_HEADER)
        self.start = cast(commands.Connection.Start, self.received()[0])

    def log_in(self, *, capabilities: FieldTable | None = None, frame_max: int = 131072, heartbeat_s: int = 0) -> None:
        """Go through the handshake, up to connection.open."""
        self.send(
            commands.Connection.StartOk,
            0,
            client_properties={"capabilities": capabilities or {}},
            mechanism="PLAIN",
            response="\0guest\0guest",
            locale="en_US",
        )
        self.send(commands.Connection.TuneOk, 0, channel_max=2047, frame_max=frame_max, heartbeat=heartbeat_s)
        self.send(commands.Connection.Open, 0, virtual_host="/")

    def send(self, method: type[Frame], channel: int = 1, **fields: Any) -> None:
        self.feed(encode_method(channel, build(method, **fields)))

    def publish(self, body: bytes, key: str = "q") -> None:
        self.feed(message(body, key.encode()))

    def feed(self, octets: bytes) -> None:
        assert self.wire.is_read
        self.connection.data_received(octets)
        self.node.turns.run()

    def received(self) -> list[Frame]:
        """Return the methods that came since the last call; bodies go to ``bodies``, heartbeats are counted."""
        methods = []
        octets, self.wire.written = bytes(self.wire.written), bytearray()
        while octets:
            kind, size = octets[0], int.from_bytes(octets[3:7])
            payload, octets = octets[7 : 7 + size], octets[8 + size :]
            if kind == 1:
                methods.append(decode_method(payload, from_server=True))
            elif kind == 3:
                self.bodies.append(payload)
            elif kind == 8:
                self.heartbeat_count += 1
        return methods

    def names(self) -> list[str]:
        """As ``received``, the methods' names alone."""
        return [method.name for method in self.received()]

    def declare(self, queue: str, **fields: Any) -> None:
        self.send(commands.Queue.Declare, queue=queue, **fields)
        assert self.names() == ["Queue.DeclareOk"]

    def disconnect(self) -> None:
        """Take the socket away."""
        self.connection.connection_lost(None)
        self.node.turns.run()


class Node:
    """A broker and what it stands on. ``settle`` waits until the disk has all that was promised to be there."""

    def __init__(
        self,
        store: Store,
        reports: "SimpleQueue[Callable[[], None]]",
        clock: ManualClock | None = None,
        **settings: Any,
    ) -> None:
        self.clock = clock or ManualClock()
        self.turns = Turns()
        self.store = store
        self._reports = reports
        self.broker = Broker(
            Settings(**settings) if settings else _DEFAULTS,
            cast(asyncio.AbstractEventLoop, self.turns),
            store,
            self.clock,
            seed=1,
        )
        self.broker.restore()

    def connect(
        self, *capabilities: str, heartbeat_s: int = 0, make: Callable[[Broker], Connection] = Connection
    ) -> Client:
        """Return a client whose connection is open, and its channel 1 too."""
        client = Client(self, make)
        client.log_in(capabilities=dict.fromkeys(capabilities, True), heartbeat_s=heartbeat_s)
        client.send(commands.Channel.Open)
        assert client.names() == ["Connection.Tune", "Connection.OpenOk", "Channel.OpenOk"]
        return client

    def settle(self) -> None:
        """Take the reports of the log's writer until what was promised so far is on disk."""
        done: list[int] = []
        self.store.promise(done.append)
        self.store.flush()
        while not done:
            self.take_report()
        self.turns.run()

    def take_report(self) -> None:
        """Wait until the disk has something to say, and let the broker hear it."""
        try:
            self._reports.get(timeout=DEADLINE_S)()
        except Empty:
            raise AssertionError(f"the disk did not report within {DEADLINE_S} s") from None
        self.broker.finish_read()


@contextmanager
def running_node(directory: Path, **settings: Any) -> Iterator[Node]:
    """A broker on a new data directory, or on the one that an earlier one has left."""
    reports: SimpleQueue[Callable[[], None]] = SimpleQueue()
    store = Store.open(directory, notify=reports.put)
    try:
        yield Node(store, reports, **settings)
    finally:
        store.close()
