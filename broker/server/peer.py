"""The socket's side of a client's connection: what is written to it, whether it is read, how long it is waited for.

What it says and is told is connection.py's.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.server.clock import Timer
from broker.server.deadlines import Deadlines
from broker.server.heartbeat import Heartbeat
from broker.server.limits import OUT_LIMIT_OCTETS, Pause

if TYPE_CHECKING:
    from broker.server.broker import Broker
    from broker.server.channel import Channel


class Peer(asyncio.Protocol):
    """One client by its socket. ``out`` holds the octets that the end of the read writes."""

    __slots__ = (
        *("__weakref__", "_deadline", "_deadlines", "_heartbeat", "_is_unwritten", "_out_octets", "_pauses"),
        *("_transport", "broker", "channels", "connected_ms", "is_writable", "out", "peer", "received_count"),
        *("received_octets", "sent_count", "sent_octets"),
    )

    def __init__(self, broker: "Broker") -> None:
        self.broker = broker
        self.out: list[bytes] = []
        self.channels: dict[int, Channel] = {}
        self.is_writable = True
        self.peer = ""
        self.connected_ms = broker.clock.wall_ms()
        self.received_octets = self.received_count = self.sent_octets = self.sent_count = 0
        """Octets, and reads and writes, since the connection began."""
        self._transport: asyncio.Transport
        self._out_octets = 0
        self._is_unwritten = False
        self._pauses: set[Pause] = set()
        self._heartbeat: Heartbeat | None = None
        self._deadline: Timer | None = None
        self._deadlines: Deadlines[Any] | None = None

    @property
    def name(self) -> str:
        """What operators know it by: both ends, ``address:port -> address:port``."""
        here = self._transport.get_extra_info("sockname")
        return f"{self.peer} -> {here[0]}:{here[1]}" if isinstance(here, tuple) else f"{self.peer} -> local socket"

    @property
    def unwritten_octets(self) -> int:
        """What waits to be sent to the client."""
        return self._transport.get_write_buffer_size()

    @property
    def is_tls(self) -> bool:
        """Whether it is encrypted."""
        return self._transport.get_extra_info("ssl_object") is not None

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read from it for now."""
        return bool(self._pauses)

    # Writing

    def send(self, octets: bytes) -> None:
        """Add whole frames to what the end of the read writes."""
        self.out.append(octets)
        self._out_octets += len(octets)
        if not self._is_unwritten:
            self._is_unwritten = True
            self.broker.unwritten.append(self)

    def delivered(self, octets: int) -> None:
        """Count the octets of deliveries that were added to ``out``; write at once when they are many."""
        self._out_octets += octets
        if not self._is_unwritten:
            self._is_unwritten = True
            self.broker.unwritten.append(self)
        if self._out_octets > OUT_LIMIT_OCTETS:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered."""
        self._is_unwritten = False
        if not self.out:
            return
        if self._transport.is_closing():
            self.out.clear()
            return
        octets = b"".join(self.out)
        self.sent_octets += len(octets)
        self.sent_count += 1
        self.out.clear()
        self._out_octets = 0
        if self._heartbeat is not None:
            self._heartbeat.has_sent = True
        self._transport.write(octets)

    def write_now(self, octets: bytes) -> None:
        """Write what nothing has gathered before."""
        self.sent_octets += len(octets)
        self.sent_count += 1
        if self._heartbeat is not None:
            self._heartbeat.has_sent = True
        self._transport.write(octets)

    def stop_heartbeat(self) -> None:
        """Send and expect none any more. A connection that kept it would be in a circle with it, and stay in memory."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None

    def _send_heartbeat(self) -> None:
        self._transport.write(b"\x08\x00\x00\x00\x00\x00\x00\xce")

    def pause_reading(self, why: Pause) -> None:
        """Take nothing more from the socket, until each reason not to is over."""
        self._pauses.add(why)
        if why != "unread replies" and self._heartbeat is not None:
            self._heartbeat.is_listening = False
        self._transport.pause_reading()

    def resume_reading(self, *reasons: Pause) -> None:
        """Read on, unless there is another reason not to."""
        self._pauses.difference_update(reasons)
        if self._heartbeat is not None and not self._pauses - {"unread replies"}:
            self._heartbeat.is_listening = True
        if not self._pauses and not self._transport.is_closing():
            self._transport.resume_reading()

    # Ends

    def abort(self) -> None:
        """Drop the socket at once."""
        self._transport.abort()

    def _set_deadline(self, delay_ms: int, action: Callable[[], object] | None = None) -> None:
        self._lift_deadline()
        self._deadline = self.broker.clock.call_later(delay_ms, action or self._transport.abort)

    def _await_end(self) -> None:
        """Give the client some time to close the socket."""
        self._lift_deadline()
        self._deadlines = self.broker.leaving
        self._deadlines.set(self)

    def _lift_deadline(self) -> None:
        if self._deadlines is not None:
            self._deadlines.lift(self)
            self._deadlines = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
