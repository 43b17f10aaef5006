"""A broker in a thread of the test's own process, so that a test can do to it what only an operator can."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import pika
import pika.exceptions

from broker.config import Settings
from broker.core.access.control import AccessControl
from broker.server.broker import Broker
from broker.server.clock import Clock
from broker.server.surging import SurgingConnection
from storage.store import Store

Result = TypeVar("Result")

WAIT_S = 20.0


class RunningNode:
    """A node that listens on a free port of 127.0.0.1. ``call`` does something to it between two reads."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        self.settings = Settings(data_dir=data_dir, **settings)
        self.port = 0
        self._node: Broker
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001 - told to the test's thread
            self._error = error
        finally:
            self._ready.set()

    async def _live(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        store = Store.open(self.settings.data_dir, notify=self._notify)
        try:
            self._node = node = Broker(self.settings, loop, store, Clock(loop))
            node.restore()
            server = await loop.create_server(lambda: SurgingConnection(node), "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stopping.wait()
            server.close()
            for connection in list(node.connections):
                connection.abort()
            await node.wait_until_unconnected()
        finally:
            store.close()

    def _notify(self, report: Callable[[], None]) -> None:
        def receive() -> None:
            report()
            self._node.finish_read()

        self._loop.call_soon_threadsafe(receive)

    def call(self, function: Callable[[Broker], Result]) -> Result:
        """Return what ``function`` does with the broker, called in its own thread, as a management surface would."""

        async def run() -> Result:
            try:
                return function(self._node)
            finally:
                self._node.finish_read()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(WAIT_S)

    def connect(
        self, user: str = "guest", password: str = "guest", vhost: str = "/", **parameters: Any
    ) -> pika.BlockingConnection:
        """Return a connection of pika's. Keyword arguments are set on its parameters."""
        wanted = pika.URLParameters(f"amqp://127.0.0.1:{self.port}/{quote(vhost, safe='')}")
        wanted.credentials = pika.PlainCredentials(user, password)
        for name, value in parameters.items():
            setattr(wanted, name, value)
        return pika.BlockingConnection(wanted)

    def control(self, change: Callable[[AccessControl], Result]) -> Result:
        """Return what ``change`` does with users, virtual hosts and permissions."""
        return self.call(lambda broker: change(broker.access_control))

    def opening(self, user: str, password: str, vhost: str = "/") -> str:
        """Return "ok", or code and text with which a new connection is refused."""
        try:
            self.connect(user, password, vhost).close()
        except (pika.exceptions.ProbableAccessDeniedError, pika.exceptions.ProbableAuthenticationError) as denied:
            found = re.search(r"\((\d+)\) (['\"])[A-Z_]+ - (.*)\2", str(denied.args[0]))
            assert found is not None
            return f"{found[1]} {found[3]}"
        return "ok"

    def stop(self) -> None:
        """End it in order; its data stays."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # It has ended by itself.
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(WAIT_S)
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
