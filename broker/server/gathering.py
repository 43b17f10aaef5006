"""Reads that are made fewer when there is too much to do: the kernel gathers what a client streams, for 4 ms at most.

Where many clients send one message at a time, a read, a wake-up and a write are paid for each few messages. While the
loop has time to spare that is as it should be: each message goes on at once. When it has not, what is read of clients
that send on and on without waiting for anything is gathered by the kernel (SO_RCVLOWAT, socket(7)): it wakes the loop
only when a good part has come, or when the loop asks for what is there, which it does every 4 ms. So the loop gets
further, and the clients' sends, which no longer wake anybody, cost less too.

A client to which anything is written, be it a confirm, a delivery or a reply, may wait for what comes back, and is
read at once.
"""

import asyncio
import socket
import sys
from typing import Final

from broker.server.clock import Clock

BUSY: Final = 0.6
"""From this share of a processor on, the loop has too much to do. With many clients on the same machine it gets no more
than three quarters of one."""
AT_EASE: Final = 0.15
"""Below it the loop has time to spare, even if nothing were gathered; gathering makes the same work three to four times
cheaper."""
TURN_MS: Final = 4
"""What has gathered is read this often."""
GATHERED_OCTETS: Final = 32 << 10
"""And at once when there is so much."""
STREAM_READS: Final = 16
"""A client streams when so many reads in a row came within ``STREAM_MS``, of ``SMALL_OCTETS`` on average at most, and
nothing was written to it meanwhile."""
STREAM_MS: Final = 80
SMALL_OCTETS: Final = 16 << 10
IDLE_TURNS: Final = 10
"""It has stopped when nothing came for so many turns."""
_LOOK_READS: Final = 256
_LOOK_MS: Final = 20

IS_KNOWN: Final = sys.platform == "linux"
"""Elsewhere a poll does not go by SO_RCVLOWAT, or is not known to."""


class Stream:
    """What is known of one client's reads, since something was written to it last."""

    __slots__ = ("began_ms", "idle_turns", "is_shut", "octets", "reads", "sent_count", "socket", "transport")

    def __init__(self, transport: asyncio.Transport, opened: socket.socket) -> None:
        self.transport = transport
        self.socket = opened
        self.is_shut = False
        """Whether the kernel gathers."""
        self.began_ms = self.reads = self.octets = self.idle_turns = self.sent_count = 0

    def shut(self, octets: int) -> None:
        """Have the kernel wait for so many octets; 1 is at once."""
        is_shut = octets > 1
        if is_shut != self.is_shut and not self.transport.is_closing():
            self.is_shut = is_shut
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)


class Gathering:
    """Whether reads are gathered now, and of whom. ``must_look`` is asked at every read that is not full."""

    __slots__ = ("_clock", "_is_timed", "_looked_ms", "_reads", "_used_ms", "is_busy", "streams")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reads = 0
        self._looked_ms, self._used_ms = clock.monotonic_ms(), clock.processor_ms()
        self._is_timed = False
        self.is_busy = False
        self.streams: set[Stream] = set()
        """Those that are gathered."""

    def must_look(self) -> bool:
        """Count a read; say whether ``look`` has to see whose it was."""
        self._reads += 1
        if self._reads >= _LOOK_READS:
            self._see_how_busy()
        return self.is_busy

    def look(self, stream: Stream, octets: int, sent_count: int) -> None:
        """Take note of a read of so many octets, after which that many writes to the client had been made."""
        if sent_count != stream.sent_count:
            self.forget(stream)
            stream.shut(1)
            stream.sent_count = sent_count
            self._begin(stream)
        elif stream in self.streams:
            stream.idle_turns = 0
            stream.shut(GATHERED_OCTETS)
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
        """Gather no more of it: it waits for an answer, or has gone."""
        self.streams.discard(stream)

    def _begin(self, stream: Stream) -> None:
        stream.began_ms = self._clock.monotonic_ms()
        stream.reads = stream.octets = 0

    def _gather(self, stream: Stream) -> None:
        self.streams.add(stream)
        stream.idle_turns = 0
        stream.shut(GATHERED_OCTETS)
        self._set_timer()

    def _set_timer(self) -> None:
        if self.streams and not self._is_timed:
            self._is_timed = True
            self._clock.call_later(TURN_MS, self._turn)

    def _turn(self) -> None:
        """Have all read that has gathered."""
        self._is_timed = False
        for stream in tuple(self.streams):
            stream.idle_turns += 1
            stream.shut(1)
            if not self.is_busy or stream.idle_turns > IDLE_TURNS:
                self.streams.discard(stream)
                self._begin(stream)
        self._set_timer()

    def _see_how_busy(self) -> None:
        """See what share of a processor the loop's thread had since the last look."""
        now_ms = self._clock.monotonic_ms()
        passed_ms = now_ms - self._looked_ms
        if passed_ms < _LOOK_MS:
            self._reads = 0
            return
        used_ms = self._clock.processor_ms()
        self.is_busy = used_ms - self._used_ms > passed_ms * (AT_EASE if self.is_busy else BUSY)
        self._reads, self._looked_ms, self._used_ms = 0, now_ms, used_ms
