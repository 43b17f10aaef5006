"""Reads that are made fewer when there is too much to do: the kernel gathers what a client streams, for 4 ms at most.

Where many clients send one message at a time, a read, a wake-up and a write are paid for each few messages. While the
loop has time to spare that is as it should be: each message goes on at once. When it has not, what is read of clients
that send on and on without waiting for anything is gathered by the kernel (SO_RCVLOWAT, socket(7)): it wakes the loop
only when a good part has come. Every 4 ms all of these clients are read in a row, by a call each, and what they sent is
handled together: a queue is drained once for all of them, and a consumer is written to once. So the loop gets further,
and the clients' sends, which no longer wake anybody, cost less too.

A client to which anything is written, be it a confirm, a delivery or a reply, may wait for what comes back, and is
read at once. So is one that speaks TLS, whose octets are not ours to read.
"""

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from broker.server.clock import Clock
from broker.server.heavy import TURN_OCTETS

BUSY: Final = 0.6
"""From this share of a processor on, the loop has too much to do. With many clients on the same machine it gets no more
than three quarters of one."""
AT_EASE: Final = 0.15
"""Below it the loop has time to spare, even if nothing were gathered; gathering makes the same work about four times
cheaper."""
TURN_MS: Final = 4
"""What has gathered is read this often."""
GATHERED_OCTETS: Final = 48 << 10
"""And at once when there is so much."""
READ_OCTETS: Final = 128 << 10
"""A read of what has gathered brings so much at most."""
STREAM_READS: Final = 16
"""A client streams when so many reads in a row came within ``STREAM_MS``, of ``SMALL_OCTETS`` on average at most, and
nothing was written to it meanwhile."""
STREAM_MS: Final = 80
SMALL_OCTETS: Final = 16 << 10
IDLE_TURNS: Final = 10
"""It has stopped when nothing came for so many turns."""
_LOOK_READS: Final = 256
_LOOK_MS: Final = 20
_TURNS_LOOK_MS: Final = 100

IS_KNOWN: Final = sys.platform == "linux"
"""Elsewhere a poll does not go by SO_RCVLOWAT, or is not known to."""


class Client(Protocol):
    """A connection whose reads may be gathered. ``sent_count`` is how often something was written to it, ``reason`` why
    it ended.
    """

    sent_count: int
    reason: str

    @property
    def is_surging(self) -> bool:
        """Whether something that was read before waits to be handled."""

    def handle_gathered(self, data: bytes) -> None:
        """Handle what was read, without finishing."""

    def pause_if_due(self) -> None:
        """Read no more for now where there is no room for what the client sends, or is sent."""


class Stream:
    """What is known of one client's reads, since something was written to it last."""

    __slots__ = ("_socket", "_transport", "began_ms", "client", "idle_turns", "octets", "reads", "sent_count")

    def __init__(self, client: Client, transport: asyncio.Transport, opened: socket.socket) -> None:
        self.client = client
        self._transport = transport
        self._socket = opened
        self.began_ms = self.reads = self.octets = self.idle_turns = self.sent_count = 0

    def wake_at(self, octets: int) -> None:
        """Have the kernel wait for so many octets before it wakes the loop; 1 is at once."""
        if not self._transport.is_closing():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)

    def read(self) -> bytes:
        """Return what has gathered; nothing at the end or where reading fails, since that wakes the loop."""
        if self._transport.is_closing() or not self._transport.is_reading() or self.client.is_surging:
            return b""
        try:
            return os.read(self._socket.fileno(), READ_OCTETS)
        except BlockingIOError:
            return b""
        except OSError as error:
            self.client.reason = str(error)  # Which the loop is not told any more: to it, this is the end.
            return b""


class Gathering:
    """Whether reads are gathered now, and of whom. ``must_look`` is asked at every read that is not full.

    ``busy_ms()`` says how long the loop has had something to do. ``finish()`` is called when what was read in a row has
    been handled; ``call_soon`` lets others have their turn.
    """

    __slots__ = (
        *("_busy_ms", "_call_soon", "_clock", "_due", "_finish", "_is_turning", "_looked_ms", "_reads", "_used_ms"),
        *("is_busy", "streams"),
    )

    def __init__(
        self,
        clock: Clock,
        busy_ms: Callable[[], int],
        finish: Callable[[], object],
        call_soon: Callable[[Callable[[], object]], object],
    ) -> None:
        self._clock = clock
        self._busy_ms = busy_ms
        self._finish = finish
        self._call_soon = call_soon
        self._reads = 0
        self._looked_ms, self._used_ms = clock.monotonic_ms(), busy_ms()
        self._is_turning = False
        self._due: deque[Stream] = deque()
        self.is_busy = False
        self.streams: set[Stream] = set()
        """Those that are gathered."""

    def must_look(self) -> bool:
        """Count a read; say whether ``look`` has to see whose it was."""
        self._reads += 1
        if self._reads >= _LOOK_READS:
            self._see_how_busy()
        return self.is_busy

    def look(self, stream: Stream, octets: int) -> None:
        """Take note of a read of so many octets, when all that it leads to has been written."""
        if stream.client.sent_count != stream.sent_count:
            stream.sent_count = stream.client.sent_count
            self._let_go(stream)
        elif stream in self.streams:
            stream.idle_turns = 0
        else:
            stream.reads += 1
            stream.octets += octets
            if stream.reads < STREAM_READS:
                return
            is_quick = self._clock.monotonic_ms() - stream.began_ms < STREAM_MS
            if is_quick and stream.octets < STREAM_READS * SMALL_OCTETS:
                self._gather(stream)
            else:
                self._begin(stream)

    def forget(self, stream: Stream) -> None:
        """Drop one that has gone."""
        self.streams.discard(stream)

    def _begin(self, stream: Stream) -> None:
        stream.began_ms = self._clock.monotonic_ms()
        stream.reads = stream.octets = 0

    def _gather(self, stream: Stream) -> None:
        self.streams.add(stream)
        stream.idle_turns = 0
        stream.wake_at(GATHERED_OCTETS)
        self._set_timer()

    def _let_go(self, stream: Stream) -> None:
        """Read it at once again, as it waits for an answer, has stopped, or the loop has time."""
        if stream in self.streams:
            self.streams.remove(stream)
            stream.wake_at(1)
        self._begin(stream)

    def _set_timer(self) -> None:
        if self.streams and not self._is_turning:
            self._is_turning = True
            self._clock.call_later(TURN_MS, self._turn)

    def _turn(self) -> None:
        """Read what all have gathered."""
        if self._clock.monotonic_ms() - self._looked_ms >= _TURNS_LOOK_MS:
            self._see_how_busy()
        self._due.extend(self.streams)
        self._read_due()

    def _read_due(self) -> None:
        """Read those whose turn it is, as many as may be read before others have theirs."""
        try:
            self._read_in_a_row()
        finally:
            if self._due:
                self._call_soon(self._read_due)
            else:
                self._is_turning = False
                self._set_timer()

    def _read_in_a_row(self) -> None:
        read: list[tuple[Stream, int]] = []
        turn_octets = 0
        while self._due and turn_octets < TURN_OCTETS:
            stream = self._due.popleft()
            if stream not in self.streams:
                continue
            stream.idle_turns += 1
            if not self.is_busy or stream.idle_turns > IDLE_TURNS:
                self._let_go(stream)
            elif data := stream.read():
                stream.client.handle_gathered(data)
                read.append((stream, len(data)))
                turn_octets += len(data)
        if read:
            self._finish()
            for stream, octets in read:
                stream.client.pause_if_due()
                self.look(stream, octets)

    def _see_how_busy(self) -> None:
        """See what share of a processor the loop's thread had since the last look."""
        now_ms = self._clock.monotonic_ms()
        passed_ms = now_ms - self._looked_ms
        if passed_ms < _LOOK_MS:
            self._reads = 0
            return
        used_ms = self._busy_ms()
        self.is_busy = used_ms - self._used_ms > passed_ms * (AT_EASE if self.is_busy else BUSY)
        self._reads, self._looked_ms, self._used_ms = 0, now_ms, used_ms
