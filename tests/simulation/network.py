"""A network of links. What is sent arrives in pieces, later or never; who reads slowly is felt by who writes.

The broker's end is a transport with asyncio's ways: writes gather, above the limit the protocol is told to pause,
close lets out what is left, abort does not. The client's end is two buffers.
"""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.simulation.turns import Happening, Turns

WINDOW_OCTETS = 20_000
"""What is on the way to a client, or waits there unread, at most; the rest waits in the broker."""
GIVEN_UP_US = 30_000_000
"""So long the kernel sends again what nobody answers."""


class Transport(asyncio.Transport):
    """The broker's end of a link. ``protocol`` hears of everything in the loop's time."""

    def __init__(self, link: "Link", loop: asyncio.AbstractEventLoop, high_octets: int) -> None:
        super().__init__()
        self.link = link
        self.loop = loop
        self.protocol: asyncio.Protocol
        self.buffer = bytearray()
        self.reads = True
        self.is_paused = False
        self.is_ending = False
        self.is_lost = False
        self._high_octets = high_octets

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 40_000 + self.link.number), "sockname": ("127.0.0.1", 5672)}.get(
            name, default
        )

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The simulation has its own limit, lower, so that it is met."""

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def write(self, data: Any) -> None:
        assert type(data) is bytes
        if self.is_lost or not data:
            return
        self.link.turns.note(f"out {self.link.number} {len(data)} {zlib.crc32(data):08x}")
        if not self.buffer:
            self.link.unanswered_since_us = self.link.turns.now_us
        self.buffer += data
        if len(self.buffer) > self._high_octets and not self.is_paused:
            self.is_paused = True
            self.protocol.pause_writing()

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        if not self.is_ending:
            self.reads = True

    def is_closing(self) -> bool:
        return self.is_ending

    def close(self) -> None:
        if self.is_ending:
            return
        self.is_ending = True
        self.reads = False
        if not self.buffer:
            self._lose(None)

    def abort(self) -> None:
        self.fail(None)

    def fail(self, error: Exception | None) -> None:
        """End it without sending what is left."""
        self.buffer.clear()
        self.is_ending = True
        self.reads = False
        self._lose(error)

    def take(self, octets: int) -> bytes:
        """The network takes some of what waits to be sent."""
        taken = bytes(self.buffer[:octets])
        del self.buffer[:octets]
        self.link.unanswered_since_us = self.link.turns.now_us
        if self.is_paused and len(self.buffer) <= self._high_octets // 4:
            self.is_paused = False
            self.protocol.resume_writing()
        if self.is_ending and not self.buffer and not self.is_lost:
            self._lose(None)
        return taken

    def _lose(self, error: Exception | None) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        self.link.server_is_gone = True
        self.protocol.connection_lost(error)


class Link:
    """One connection from a client to the broker, and what is on the way on it."""

    def __init__(self, turns: Turns, number: int, piece_octets: int) -> None:
        self.turns = turns
        self.number = number
        self.transport: Transport | None = None
        self.to_server = bytearray()
        self.to_client = bytearray()
        self.end = ""  # how the client has ended it: "closed", "reset" or "silent"
        self.server_is_gone = False
        self.stalled_until_us = 0
        self.unanswered_since_us = 0
        self._piece_octets = piece_octets
        self._has_told = False

    def accept(self, make: Callable[[], asyncio.BaseProtocol], loop: asyncio.AbstractEventLoop, high: int) -> None:
        """The broker takes it."""
        self.transport = Transport(self, loop, high)
        protocol = make()
        assert isinstance(protocol, asyncio.Protocol)
        self.transport.protocol = protocol
        self.turns.note(f"accept {self.number}")
        protocol.connection_made(self.transport)

    @property
    def protocol(self) -> Any:
        """The broker's connection."""
        assert self.transport is not None
        return self.transport.protocol

    @property
    def is_over(self) -> bool:
        """The client has nothing more to expect."""
        return self.server_is_gone and not self.to_client

    # What the client does

    def close(self) -> None:
        """In order: what was sent arrives."""
        self.end = "closed"
        self.to_client.clear()

    def reset(self) -> None:
        """At once: of what is on the way, any part arrives."""
        self.end = "reset"
        del self.to_server[self.turns.chance.randrange(len(self.to_server) + 1) :]
        self.to_client.clear()

    def fall_silent(self) -> None:
        """As a cable that is pulled: nobody hears of it."""
        self.end = "silent"
        self.to_server.clear()
        self.to_client.clear()

    # What may happen

    def possible(self) -> Sequence[Happening]:
        transport = self.transport
        if transport is None or self.server_is_gone or self.stalled_until_us > self.turns.now_us:
            return ()
        if self.end == "silent":
            if transport.buffer and self.turns.now_us >= self.unanswered_since_us + GIVEN_UP_US:
                return (partial(self._break, TimeoutError("timed out")),)
            return ()
        found: list[Happening] = []
        if transport.reads:
            if self.to_server:
                found.append(self._deliver)
            elif self.end == "reset":
                found.append(partial(self._break, ConnectionResetError("reset by peer")))
            elif self.end == "closed" and not self._has_told:
                found.append(self._tell_closed)
        if transport.buffer:
            if self.end == "reset":
                found.append(partial(self._break, BrokenPipeError("broken pipe")))
            elif self.end == "closed" or len(self.to_client) < WINDOW_OCTETS:
                found.append(self._send)
        return found

    def due_us(self) -> int | None:
        if self.transport is None or self.server_is_gone:
            return None
        now_us = self.turns.now_us
        if self.stalled_until_us > now_us:
            return self.stalled_until_us
        if self.end == "silent" and self.transport.buffer:
            return max(now_us, self.unanswered_since_us + GIVEN_UP_US)
        return None

    def _octets(self, most: int) -> int:
        chance = self.turns.chance
        return min(most, chance.choice((1, 7, self._piece_octets, self._piece_octets * 8, 1 << 18)))

    def _deliver(self) -> None:
        assert self.transport is not None
        octets = self._octets(len(self.to_server))
        data = bytes(self.to_server[:octets])
        del self.to_server[:octets]
        self.turns.note(f"in {self.number} {octets} {zlib.crc32(data):08x}")
        self.transport.protocol.data_received(data)

    def _send(self) -> None:
        assert self.transport is not None
        octets = self._octets(len(self.transport.buffer))
        self.turns.note(f"sent {self.number} {octets}")
        data = self.transport.take(octets)
        if not self.end:
            self.to_client += data

    def _tell_closed(self) -> None:
        assert self.transport is not None
        self._has_told = True
        self.turns.note(f"closed {self.number}")
        if not self.transport.protocol.eof_received():
            self.transport.close()

    def _break(self, error: Exception) -> None:
        assert self.transport is not None
        self.turns.note(f"broken {self.number} {error}")
        self.transport.fail(error)
