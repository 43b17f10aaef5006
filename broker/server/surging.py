"""A client's connection by a socket: reads are put together, or gathered by the kernel, where that helps; clients that
send much take turns, and many ends at once are spread.

All else is connection.py's.
"""

from collections.abc import Sequence
from functools import partial

from broker.server.broker import Broker
from broker.server.connection import Connection
from broker.server.gathering import IS_KNOWN, Stream
from broker.server.heavy import HEAVY_OCTETS
from broker.server.surge import FULL_READ_OCTETS, Surge


class SurgingConnection(Connection):
    """One client, read from a socket."""

    __slots__ = ("_stream", "_surge")

    _receive = Connection.data_received

    def __init__(self, broker: Broker) -> None:
        Connection.__init__(self, broker)
        self._surge: Surge | None = None
        self._stream: Stream | None = None

    def data_received(self, data: bytes, more: Sequence[bytes] = ()) -> None:
        """Handle what was read, unless the next read comes at once and is better handled together with it."""
        octets = len(data)
        is_full = octets >= FULL_READ_OCTETS
        if self._surge is not None:
            self._surge.add(data)
        elif is_full:
            self._surge = Surge(self.broker.surges, self.broker.loop.call_soon, self._receive)
            self._surge.add(data)
        else:
            self._receive(data, more)
        if octets:  # There are none where it goes on with what it has read.
            self.broker.polling.noted(octets)
        if not is_full and self.has_published and self.broker.gathering.must_look():
            self._look(octets)
        if octets >= HEAVY_OCTETS and not self.is_surging:
            self.broker.heavy_senders.sent(self, octets)

    @property
    def is_surging(self) -> bool:
        """Whether something that was read before waits to be handled."""
        return self._surge is not None and self._surge.is_waiting

    def hold(self) -> None:
        """Read nothing while others have their turn."""
        if not self._pauses:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again, unless there is another reason not to."""
        if not self._pauses and not self._transport.is_closing():
            self._transport.resume_reading()

    def _look(self, octets: int) -> None:
        """See whether the client streams, and is better read less often."""
        if self._stream is None:
            opened = self._transport.get_extra_info("socket") if IS_KNOWN and self.tls is None else None
            if opened is None:
                return
            self._stream = Stream(self, self._transport, opened)
        self.broker.gathering.look(self._stream, octets)

    def eof_received(self) -> bool:
        """Say whether the socket stays open for now: it is closed at once unless many others are."""
        if self.tls is not None or self.broker.departures.may_go():
            return False  # TLS closes it, whatever is said here.
        self.pause_writing()
        self.broker.departures.wait(self._transport.close)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle what came before the end, then give everything back, when it is this connection's turn."""
        if self._surge is not None:
            self._surge.take()
        if self._stream is not None:
            self.broker.gathering.forget(self._stream)
        self.broker.heavy_senders.forget(self)
        if self.broker.departures.may_go():
            super().connection_lost(exc)
            return
        self.pause_writing()
        self.stop_heartbeat()
        self.broker.departures.wait(partial(super().connection_lost, exc))
