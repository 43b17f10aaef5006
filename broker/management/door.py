"""The HTTP ports: listened on from the start, while the web framework is loaded when the first client comes.

So that a broker whose API nobody uses neither starts later nor takes more memory. uvicorn serves the connections on
the broker's own loop; this file limits how many there are and how long a request may take to come.
"""

import asyncio
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

from broker.config import ANY_PORT
from broker.server import listener
from broker.server.broker import Broker
from broker.server.tls import Certificates

if TYPE_CHECKING:
    from broker.management.web import Web

log = structlog.get_logger("leveret.management")

HANDSHAKE_S: Final = 10.0
"""How long TLS may take to begin."""
CONNECTIONS_MAX: Final = 500
"""Further clients are turned away."""


class Doors:
    """All HTTP ports of a broker."""

    def __init__(self, broker: Broker, certificates: Certificates | None = None) -> None:
        self.broker = broker
        self._certificates = certificates
        self.web: Web | None = None
        self.clients: set[Entrance] = set()
        self._loading: asyncio.Task[None] | None = None
        self._waiting: list[Entrance] = []
        self._servers: list[asyncio.Server] = []

    async def open(self) -> None:
        """Listen on the ports of the settings. One that cannot be listened on is told, and the broker goes on."""
        settings = self.broker.settings
        wanted = {
            "http": settings.management_port,
            "https": settings.management_tls_port,
            "http/prometheus": settings.metrics_port,
            "https/prometheus": settings.metrics_tls_port,
        }
        problems: dict[str, str] = {}
        for protocol, port in wanted.items():
            if port == 0:
                continue
            try:
                await self._open(settings.host, 0 if port == ANY_PORT else port, protocol)
            except (listener.ListenError, OSError) as error:
                problems[protocol] = str(error)
        if problems:
            log.error("no HTTP here", protocol=", ".join(problems), error="; ".join(problems.values()))

    async def _open(self, host: str, port: int, protocol: str) -> None:
        loop = asyncio.get_running_loop()
        sockets = listener.bind(host, port)
        tls: dict[str, Any] = {}
        if protocol.startswith("https"):
            assert self._certificates is not None, "there is no TLS without them"
            tls = {"ssl": self._certificates.context, "ssl_handshake_timeout": HANDSHAKE_S}
            self.broker.tls_files[protocol] = self._certificates.files
        try:
            for bound in sockets:
                self._servers.append(await loop.create_server(lambda: Entrance(self), sock=bound, backlog=128, **tls))
        except OSError:
            listener.close_all(sockets)
            raise
        for bound in sockets:
            address, number = bound.getsockname()[:2]
            self.broker.listening.append((protocol, address, number))
        log.info("HTTP", protocol=protocol, port=sockets[0].getsockname()[1])

    def close(self) -> None:
        """Accept nobody more, and end the connections there are."""
        for server in self._servers:
            server.close()
        for client in list(self.clients):
            client.abort()

    def admit(self, entrance: "Entrance") -> None:
        """Let a client in, at once or when the framework is loaded."""
        if len(self.clients) >= CONNECTIONS_MAX:
            entrance.abort()
            return
        self.clients.add(entrance)
        if self.web is not None:
            entrance.enter(self.web)
            return
        self._waiting.append(entrance)
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load())

    async def _load(self) -> None:
        # In another thread, so that AMQP's clients do not wait for a hundred modules.
        module = await asyncio.to_thread(importlib.import_module, "broker.management.web")
        make_web = cast("Callable[[Broker], Web]", module.Web)
        self.web = make_web(self.broker)
        waiting, self._waiting = self._waiting, []
        for entrance in waiting:
            entrance.enter(self.web)


class Entrance(asyncio.Protocol):
    """A client, until uvicorn's protocol takes its place; its octets wait meanwhile."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._inner: Any = None
        self._early = b""
        self._transport: asyncio.Transport
        self._is_gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for somebody who takes what is read."""
        self._transport = cast(asyncio.Transport, transport)
        self._doors.admit(self)

    def enter(self, web: "Web") -> None:
        """Hand the client over."""
        if self._is_gone:
            return
        self._inner = web.new_protocol()
        self._inner.connection_made(self._transport)
        if self._early:
            self._inner.data_received(self._early)
            self._early = b""
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass octets on, or keep the first of them for whoever comes."""
        if self._inner is not None:
            self._inner.data_received(data)
        else:
            self._early += data
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        """Pass the end on."""
        return cast("bool | None", self._inner.eof_received()) if self._inner is not None else None

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._is_gone = True
        self._doors.clients.discard(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def abort(self) -> None:
        """Drop the client at once."""
        self._transport.abort()
