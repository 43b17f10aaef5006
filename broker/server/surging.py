"""A client's connection by a socket: reads are put together where that helps, and many ends at once are spread.

All else is connection.py's.
"""

from collections.abc import Sequence
from functools import partial

from broker.server.broker import Broker
from broker.server.connection import Connection
from broker.server.surge import FULL_READ_OCTETS, Surge


class SurgingConnection(Connection):
    """One client, read from a socket."""

    __slots__ = ("_surge",)

    _receive = Connection.data_received

    def __init__(self, broker: Broker) -> None:
        Connection.__init__(self, broker)
        self._surge: Surge | None = None

    def data_received(self, data: bytes, more: Sequence[bytes] = ()) -> None:
        """Handle what was read, unless the next read comes at once and is better handled together with it."""
        if self._surge is None:
            if len(data) < FULL_READ_OCTETS:
                self._receive(data, more)
                return
            self._surge = Surge(self.broker.surges, self.broker.loop.call_soon, self._receive)
        self._surge.add(data)

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
        if self.broker.departures.may_go():
            super().connection_lost(exc)
            return
        self.pause_writing()
        self.stop_heartbeat()
        self.broker.departures.wait(partial(super().connection_lost, exc))
