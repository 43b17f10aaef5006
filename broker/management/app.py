"""The application: from a request to the function that answers it, and from errors to RabbitMQ's JSON.

Nothing is read from a client before it is known who it is, and a body only up to a limit. What a request changes is on
disk when it is answered. ``make_app`` is all that others need.
"""

import asyncio
import inspect
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from broker.core.later import NotYet
from broker.management.call import Call, Empty, Listing, encode
from broker.management.errors import ApiError, BadRequest, MethodNotAllowed, NothingToActOn, NotThere, Unauthorised
from broker.management.errors import as_api_error as known_error
from broker.management.listing import answer, columns_of, only
from broker.management.logins import Authenticate, BasicLogin
from broker.management.node import ManagedNode
from broker.management.principals import Principal
from broker.management.routing import Row
from broker.management.table import ROUTES
from broker.server.admission import LoginCounts
from broker.server.broker import Broker

BODY_OCTETS_MAX: Final = 20_000_000
"""RabbitMQ's management.http.max_body_size."""
BODY_S: Final = 30.0
"""How long a client may take to send a body."""

HEADERS: Final = {"cache-control": "no-cache", "vary": "accept, accept-encoding, origin"}


def make_app(broker: Broker, authenticate: Authenticate | None = None) -> Starlette:
    """Return the management API of ``broker`` as an ASGI application; it is to run on the broker's own loop.

    ``authenticate`` says who asks; without it, it is the node's users by Basic authentication.
    """
    counts = LoginCounts()
    if authenticate is None:
        login = BasicLogin(broker)
        authenticate, counts = login, login.counts
    app = Starlette()
    # Not a route: Starlette's match what is decoded, and leave out paths with a line break in them.
    app.router.default = Api(ManagedNode(broker, counts), authenticate)
    return app


class Api:
    """The ASGI endpoint below Starlette. Paths are matched undecoded, which Starlette's own routes cannot do."""

    def __init__(self, node: ManagedNode, authenticate: Authenticate) -> None:
        self._node = node
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception as error:
            known = known_error(error)
            if known is None:
                raise
            response = _error_response(known)
        response.headers.setdefault("date", formatdate(usegmt=True))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        raw_path = request.scope.get("raw_path") or request.scope["path"].encode()
        found = ROUTES.find(raw_path.decode("latin-1").partition("?")[0])
        if found is None:
            raise NotThere
        if request.method == "OPTIONS":
            return Response(headers={"allow": found.allowed})
        entry = found.row(request.method)
        if entry is None:
            raise MethodNotAllowed(found.allowed)
        row, parameters = entry
        if any(not value.isprintable() and _has_surrogates(value) for value in parameters.values()):
            raise NotThere
        principal = await self._principal(row, request)
        # The first of two values counts, as with RabbitMQ.
        raw_query = request.scope["query_string"].decode("latin-1")
        query = dict(reversed(parse_qsl(raw_query, keep_blank_values=True)))
        call = Call(self._node, principal, parameters, query, request.headers, request.is_disconnected)
        call.raw_query = raw_query
        _check_vhost(call, request.method)
        if request.method in ("PUT", "POST"):
            call.body = await read_body(request)
        return await self._run(call, row)

    async def _principal(self, row: Row, request: Request) -> Principal:
        if row.needs is None:
            return Principal("")
        principal = await self._authenticate(request)
        principal.check("management")
        principal.check(row.needs)
        return principal

    async def _run(self, call: Call, row: Row) -> Response:
        try:
            while True:
                try:
                    result = row.handler(call)
                    break
                except NotYet as later:
                    await call.until_worth_it(later)
                    _check_vhost(call, row.method)
            if inspect.isawaitable(result):
                result = await result
        finally:
            if row.changes:
                self._node.broker.finish_read()
        if row.changes:
            await on_disk(self._node.broker)
        if isinstance(result, Listing):
            result = await answer(result, call.query)
        elif isinstance(result, dict) and "columns" in call.query:
            result = only(result, columns_of(call.query))
        return _response(result)


def _check_vhost(call: Call, method: str) -> None:
    name = call.parameters.get("vhost")
    if name is None:
        return
    if name not in call.broker.vhosts:
        raise NothingToActOn("vhost_not_found") if method in ("PUT", "POST") else NotThere
    if not call.can_see(name):
        raise Unauthorised("User not authorised to access virtual host")


async def read_body(request: Request) -> bytes:
    """Return the body. Raises BadRequest for one that is too large, or that takes too long to come."""
    if int(request.headers.get("content-length") or 0) > BODY_OCTETS_MAX:
        raise BadRequest("Exceeded HTTP request body size limit")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > BODY_OCTETS_MAX:
                    raise BadRequest("Exceeded HTTP request body size limit")
                chunks.append(chunk)
    except TimeoutError:
        raise ApiError(408, "timeout", "the request's body did not come in time") from None
    return b"".join(chunks)


async def on_disk(broker: Broker) -> None:
    """Return when all that has been applied so far is on disk."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def durable(ticket: int) -> None:
        if not done.done():
            done.set_result(None)

    broker.store.promise(durable)
    broker.finish_read()
    await done


def _response(result: Any) -> Response:
    if isinstance(result, Response):
        return result
    if isinstance(result, Empty):
        headers = dict(HEADERS)
        if result.location:
            headers["location"] = result.location
        return Response(status_code=result.status, headers=headers)
    return Response(encode(result), headers=HEADERS, media_type="application/json")


def _error_response(error: ApiError) -> Response:
    if not error.error:
        return Response(status_code=error.status, headers=error.headers)
    body = encode({"error": error.error, "reason": error.reason})
    return Response(body, error.status, {**HEADERS, **error.headers}, "application/json")


def _has_surrogates(value: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in value)
