"""The control socket, in the broker's process and loop: the HTTP API with all rights, and actions.

Who can open the socket may do everything: it is its owner's alone (0600, in a directory that is 0700). The web server
is loaded when the first client comes, who waits meanwhile in the socket's backlog.
"""

import asyncio
import contextlib
import importlib
import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from broker.control.actions import ActionRefused, Operator
from broker.control.socket_path import address_of, socket_path

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger("leveret.control")

BACKLOG: Final = 64
BODY_OCTETS_MAX: Final = 1 << 16
PREFIX: Final = "/control/"


class ControlSocket:
    """The listening socket; ``serve`` answers it until ``close``."""

    def __init__(self, data_dir: Path) -> None:
        """Listen. Raises OSError."""
        self.path = socket_path(data_dir)
        self._socket = bound_to(self.path)
        self._server: asyncio.Server | None = None
        self._task: asyncio.Task[None] | None = None

    def serve(self, operator: Operator) -> None:
        """Answer from now on."""
        loop = asyncio.get_running_loop()

        def load() -> None:
            loop.remove_reader(self._socket.fileno())
            self._task = loop.create_task(self._serve(operator))

        loop.add_reader(self._socket.fileno(), load)

    async def _serve(self, operator: Operator) -> None:
        loop = asyncio.get_running_loop()
        # In a thread, so that clients of AMQP are served meanwhile.
        await loop.run_in_executor(None, importlib.import_module, "uvicorn.protocols.http.h11_impl")
        from uvicorn.protocols.http.h11_impl import H11Protocol
        from uvicorn.server import ServerState

        from broker.management.http_config import http_config

        config = http_config(ControlApp(operator))
        state = ServerState()
        # From 3.13 on a server looks at its socket's path to remove it in the end, and fails for one that has gone by
        # way of a descriptor; close() removes it by its real path.
        options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await loop.create_unix_server(
            lambda: H11Protocol(config=config, server_state=state, app_state={}), sock=self._socket, **options
        )

    async def close(self) -> None:
        """Listen no more, and take the socket's file away."""
        if self._task is None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
        else:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._server is not None:
            self._server.close()
        self._socket.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


class ControlApp:
    """The ASGI application: actions, and for all other paths the HTTP API, which is loaded when it is asked for."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._api: ASGIApp | None = None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if not scope["path"].startswith(PREFIX):
            await self._loaded_api()(scope, receive, send)
            return
        status, answer = 200, {}
        try:
            body = await whole_body(receive)
            answer = self._operator.answer(scope["method"], scope["path"].removeprefix(PREFIX), body)
            if scope["method"] == "POST":
                await durable(self._operator)
        except ActionRefused as refused:
            status, answer = refused.status, {"error": "refused", "reason": str(refused)}
        octets = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(octets))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": octets})

    def _loaded_api(self) -> "ASGIApp":
        if self._api is None:
            from broker.management.app import make_app
            from broker.management.logins import operator_login

            self._api = make_app(self._operator.broker, operator_login)
        return self._api


async def whole_body(receive: "Receive") -> bytes:
    """Return a request's body. Raises ActionRefused for one that is too large."""
    octets: bytes = b""
    while True:
        message: Any = await receive()
        octets = octets + bytes(message.get("body", b""))
        if len(octets) > BODY_OCTETS_MAX:
            raise ActionRefused(413, "the body is too large")
        if not message.get("more_body"):
            return octets


async def durable(operator: Operator) -> None:
    """Return when what an action has done is on disk."""
    done: asyncio.Future[None] = operator.broker.loop.create_future()

    def tell(_ticket: int) -> None:
        if not done.done():
            done.set_result(None)

    operator.broker.store.promise(tell)
    operator.broker.finish_read()
    await done


def bound_to(path: Path) -> socket.socket:
    """Return a listening socket that only its owner can connect to. Raises OSError.

    A socket that is there already is left from a kill: the data directory's lock says that nobody serves it.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no Unix sockets")
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mask = os.umask(0o177)
        try:
            with address_of(path) as address:
                bound.bind(address)
        finally:
            os.umask(mask)
        bound.setblocking(False)
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound
