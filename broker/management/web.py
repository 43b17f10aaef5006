"""uvicorn around the app, without its server: the broker has a loop, sockets and signals of its own."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from broker.management.app import make_app
from broker.management.http_config import http_config
from broker.server.broker import Broker

REQUEST_HEAD_S: Final = 10.0
"""How long a new client may take to send the head of its first request."""
IDLE_S: Final = 60
HEAD_OCTETS_MAX: Final = 65_536


class Web:
    """What makes the protocol of each new HTTP connection."""

    def __init__(self, broker: Broker) -> None:
        self.app = make_app(broker)
        self._config = http_config(self.app, timeout_keep_alive=IDLE_S, h11_max_incomplete_event_size=HEAD_OCTETS_MAX)
        self._state = ServerState()

    def new_protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return TimedProtocol(config=self._config, server_state=self._state, app_state={})


class TimedProtocol(H11Protocol):
    """As uvicorn's, but a client that sends nothing for long is dropped, also before its first request."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a request, not for ever."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(REQUEST_HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def _head_is_late(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()
