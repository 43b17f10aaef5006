"""One request, as the resources see it: who asks, for what, with which body, and the broker to ask.

And what they may answer with beside JSON values: CREATED, NO_CONTENT, a Listing, or a response of Starlette's own.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from starlette.responses import Response

from broker.core.access.access import Access
from broker.core.later import NotYet
from broker.core.vhosts import VirtualHost
from broker.management.errors import ApiError, BadRequest, NothingToActOn, NotThere, Unauthorised
from broker.management.principals import Principal
from broker.server.broker import Broker

if TYPE_CHECKING:
    from broker.management.node import ManagedNode

_NO_BODY: Final = b""
GONE_LOOK_S: Final = 0.25
"""How often a request that waits looks whether its client still does."""
TWICE_ENCODED: Final = "the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"


class Empty:
    """An answer without a body."""

    __slots__ = ("location", "status")

    def __init__(self, status: int, location: str = "") -> None:
        self.status = status
        self.location = location


CREATED: Final = Empty(201)
NO_CONTENT: Final = Empty(204)


@dataclass(slots=True)
class Listing:
    """Many objects; only those that are shown are described, unless they are sorted by what a description has.

    ``name_of`` gives the name that filters look at; ``keys`` gives ``name`` and ``vhost`` without the description.
    """

    objects: list[Any]
    describe: Callable[[Any], dict[str, Any]]
    name_of: Callable[[Any], str] = lambda each: str(each.name)
    keys: Callable[[Any], Mapping[str, Any]] | None = None


class Call:
    """A request that somebody who is logged in, and may make it, makes. ``parameters`` are the path's."""

    __slots__ = ("body", "headers", "is_gone", "node", "parameters", "principal", "query", "raw_query")

    def __init__(
        self,
        node: "ManagedNode",
        principal: Principal,
        parameters: Mapping[str, str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        is_gone: Callable[[], Awaitable[bool]],
    ) -> None:
        self.node = node
        self.principal = principal
        self.parameters = parameters
        self.query = query
        self.headers = headers
        self.is_gone = is_gone
        """Whether the client has hung up; to be asked now and then by what takes long."""
        self.body = _NO_BODY
        self.raw_query = ""

    def __getitem__(self, name: str) -> str:
        return self.parameters[name]

    @property
    def broker(self) -> Broker:
        """The node's broker."""
        return self.node.broker

    async def until_worth_it(self, later: NotYet) -> None:
        """Return when what could not be done yet may be tried again: all may be otherwise then.

        Raises ApiError (408) when the client has hung up: as with a connection that ends, what waited is not done.
        """
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[None] = loop.create_future()
        later.in_another_turn(loop.call_soon)(lambda: None if asked.done() else asked.set_result(None))
        while not asked.done():
            await asyncio.wait((asked,), timeout=GONE_LOOK_S)
            if await self.is_gone():
                raise ApiError(408, "timeout", "the client has gone")

    # Virtual hosts

    def vhost(self) -> VirtualHost:
        """Return the virtual host that the path names; app.py has seen to it that it exists and is visible."""
        return self.broker.vhosts[self.parameters["vhost"]]

    def can_see(self, vhost: str) -> bool:
        """Whether the user gets to see what is in a virtual host: by tag, or for being let in."""
        if self.principal.has("monitoring"):
            return True
        return self._may_enter(vhost)

    def _may_enter(self, vhost: str) -> bool:
        grant = self.principal.grant
        return (
            self.broker.access_control.may_enter(self.principal.name, vhost)
            if grant is None
            else grant.may_enter(vhost)
        )

    def visible_vhosts(self) -> list[VirtualHost]:
        """Return the virtual hosts that the user gets to see, by name."""
        return [each for each in self.broker.access_control.vhosts_listed() if self.can_see(each.name)]

    def access(self) -> Access | None:
        """Return the user's rights in the path's virtual host; None for the operator, whom nothing is refused."""
        if self.principal.is_operator:
            return None
        principal = self.principal
        return self.broker.access_control.access(principal.name, self.parameters["vhost"], grant=principal.grant)

    def check_entry(self) -> None:
        """Refuse who may see the virtual host but not act in it. Raises Unauthorised (401)."""
        vhost = self.parameters["vhost"]
        if not self.principal.is_operator and not self._may_enter(vhost):
            raise Unauthorised

    # Body and query

    def json(self) -> Any:
        """Return the body's JSON. Raises BadRequest where it is none."""
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise BadRequest("not_json") from None

    def fields(self, *required: str) -> dict[str, Any]:
        """Return the body's object, {} for an empty body. Raises BadRequest where it is none, or a key is missing."""
        value = self.json() if self.body.strip() else {}
        if value is None:
            value = {}
        if isinstance(value, str):
            raise BadRequest(f"invalid payload: {TWICE_ENCODED}")
        if not isinstance(value, dict):
            raise BadRequest("not_json")
        check_keys(value, required)
        return value

    def all_of(self, name: str) -> list[str]:
        """Return all values that the query has by that name."""
        return [value for each, value in parse_qsl(self.raw_query, keep_blank_values=True) if each == name]

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query is ``true``."""
        return self.query.get(name) == "true"


def check_keys(fields: Mapping[str, Any], required: Iterable[str]) -> None:
    """Raise BadRequest naming the keys that are not there, in RabbitMQ's words."""
    missing = [f"{{key_missing,{name}}}" for name in required if name not in fields]
    if missing:
        raise BadRequest(f"[{','.join(missing)}]" if len(missing) < 3 else "[" + ",\n ".join(missing) + "]")


def text_in(fields: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return a text of the body. Raises BadRequest for anything else."""
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise BadRequest(["not_string", name])
    return value


def truth_in(fields: Mapping[str, Any], name: str) -> bool:
    """Return a truth value of the body, false where it is not there; "true" counts as one. Raises BadRequest."""
    value = fields.get(name, False)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise BadRequest(["not_boolean", value])


def whole_number(value: Any) -> int:
    """Return a whole number, or a text of digits as one. Raises BadRequest."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.lstrip("-").isdigit() and len(value) < 20:
        return int(value)
    raise BadRequest(["not_integer", value])


def found(value: Any) -> Any:
    """Return ``value``, which is what the path names. Raises NotThere (404) where it is None."""
    if value is None:
        raise NotThere
    return value


def acted_on(value: Any, reason: str) -> Any:
    """Return ``value``, which an action needs. Raises NothingToActOn (404) where it is None."""
    if value is None:
        raise NothingToActOn(reason)
    return value


def encode(value: Any) -> bytes:
    """Return a value as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


Answer = Any
"""A value of JSON, Empty, Listing or a Response; or something to await that gives one of these."""
Handler = Callable[[Call], Answer]
__all__ = [
    "Answer",
    "CREATED",
    "Call",
    "Empty",
    "Handler",
    "Listing",
    "NO_CONTENT",
    "Response",
    "acted_on",
    "check_keys",
    "encode",
    "found",
    "text_in",
    "truth_in",
    "whole_number",
]
