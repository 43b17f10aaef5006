"""Logins by HTTP: Basic authentication or a bearer token, slow for those who guess.

Another way in (the control socket) is another ``Authenticate``. Passwords are neither kept nor logged.
"""

import asyncio
import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from starlette.requests import Request

from broker.management.errors import REALM, ApiError, LoginFailed
from broker.management.principals import OPERATOR, Principal
from broker.server.admission import LoginCounts, Visitor
from broker.server.broker import Broker
from broker.server.login import is_loopback
from broker.server.refusals import KeysWanted, Refused

log = structlog.get_logger("leveret.management")

Authenticate = Callable[[Request], Awaitable[Principal]]
"""Returns who asks. Raises ApiError (401)."""

PROTOCOL: Final = "http"
FAILURE_DELAY_S: Final = 0.25
"""How long a wrong password waits for its refusal. So a connection has four lines a second in the log at most."""
NAME_SHOWN_MAX: Final = 255
"""So much of a name is logged: users' names are no longer in AMQP."""


class BasicLogin:
    """User and password, or a token in place of the password or by itself, with each request.

    ``counts`` are those by HTTP, which the node's counts include.
    """

    def __init__(self, broker: Broker) -> None:
        self.counts = LoginCounts()
        self._broker = broker

    async def __call__(self, request: Request) -> Principal:
        """Return the user. Raises LoginFailed (401), and 401 with an empty body where nobody tries to log in."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            user, password = "", credentials.strip()
        elif scheme.lower() == "basic":
            try:
                user, _, password = b64decode(credentials.strip(), validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                user = password = ""
        else:
            raise ApiError(401, "", "", {"www-authenticate": REALM})
        try:
            visitor = await self._visitor(request, user, password.encode())
        except Refused as refused:
            self.counts.failed += 1
            log.warning("HTTP login refused", peer=peer(request), user=user[:NAME_SHOWN_MAX], why=str(refused))
            await asyncio.sleep(FAILURE_DELAY_S)
            raise LoginFailed from None
        self.counts.succeeded += 1
        if visitor.grant is not None:
            return Principal(visitor.name, frozenset(visitor.grant.tags), grant=visitor.grant)
        return Principal(user, frozenset(self._broker.access_control.users.get(user).tags))

    async def _visitor(self, request: Request, user: str, password: bytes) -> Visitor:
        """Return who that is. Raises Refused."""
        admission = self._broker.admission
        source = request.client.host if request.client is not None else ""
        try:
            return admission.log_in(user, password, is_local=is_local(request), source=source, protocol=PROTOCOL)
        except KeysWanted:
            fetched: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            admission.fetch_keys(lambda: None if fetched.done() else fetched.set_result(None))
            await fetched
        try:
            return admission.log_in(user, password, is_local=is_local(request), source=source, protocol=PROTOCOL)
        except KeysWanted:
            raise Refused("the token's key is not known") from None


async def operator_login(request: Request) -> Principal:
    """Let everybody in, as the operator: for sockets that only the operator can reach."""
    return OPERATOR


def peer(request: Request) -> str:
    """Return where a request comes from, for the log."""
    return f"{request.client.host}:{request.client.port}" if request.client is not None else "local socket"


def is_local(request: Request) -> bool:
    """Whether a request comes from the broker's own machine."""
    if request.client is None:
        return True
    return not request.client.host or is_loopback(request.client.host)
