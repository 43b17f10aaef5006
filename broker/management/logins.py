"""Logins by HTTP: Basic authentication against the node's users, slow for those who guess.

Another way in (the control socket, a token) is another ``Authenticate``. Passwords are neither kept nor logged.
"""

import asyncio
import binascii
import ipaddress
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request

from broker.management.errors import REALM, ApiError, LoginFailed
from broker.management.principals import OPERATOR, Principal
from broker.server.admission import LoginCounts
from broker.server.broker import Broker

Authenticate = Callable[[Request], Awaitable[Principal]]
"""Returns who asks. Raises ApiError (401)."""

FAILURE_DELAY_S: Final = 0.25
"""How long a wrong password waits for its refusal."""


class BasicLogin:
    """User and password with each request. ``counts`` are those by HTTP, which the node's counts include."""

    def __init__(self, broker: Broker) -> None:
        self.counts = LoginCounts()
        self._broker = broker

    async def __call__(self, request: Request) -> Principal:
        """Return the user. Raises LoginFailed (401), and 401 with an empty body where nobody tries to log in."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise ApiError(401, "", "", {"www-authenticate": REALM})
        try:
            user, _, password = b64decode(credentials.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user = password = ""
        if not self._broker.admission.is_login(user, password.encode(), is_local=is_local(request)):
            self.counts.failed += 1
            await asyncio.sleep(FAILURE_DELAY_S)
            raise LoginFailed
        self.counts.succeeded += 1
        return Principal(user, frozenset(self._broker.access_control.users.get(user).tags))


async def operator_login(request: Request) -> Principal:
    """Let everybody in, as the operator: for sockets that only the operator can reach."""
    return OPERATOR


def is_local(request: Request) -> bool:
    """Whether a request comes from the broker's own machine."""
    if request.client is None:
        return True
    try:
        return ipaddress.ip_address(request.client.host.partition("%")[0]).is_loopback
    except ValueError:
        return not request.client.host
