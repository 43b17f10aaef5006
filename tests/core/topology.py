"""A virtual host to test with: real queues without a log, and a journal that is a dictionary."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from random import Random
from typing import Any

import pytest

from broker.core.access.access import Access
from broker.core.access.permissions import Permission, Permissions
from broker.core.access.users import Users
from broker.core.bindings import Destination
from broker.core.exchanges.exchange import Exchange
from broker.core.exchanges.kept import ExchangeContext
from broker.core.names import QueueNames
from broker.core.queues.classic import ClassicQueue
from broker.core.vhosts import VirtualHost
from protocol.errors import AmqpError
from protocol.tables import FieldTable
from storage.definitions import Definition, JsonValue
from tests.core.recording import RecordingLog, new_context

OWNER = object()
"""The connection that most tests act for."""


class Journal:
    """The fold of what was defined, and how many calls it took."""

    def __init__(self) -> None:
        self.live: dict[tuple[str, ...], JsonValue] = {}
        self.calls = 0

    def define(self, key: Sequence[str], value: JsonValue) -> None:
        self.calls += 1
        if value is None:
            del self.live[tuple(key)]
        else:
            self.live[tuple(key)] = value

    def definitions(self) -> list[Definition]:
        return [Definition(key, value) for key, value in self.live.items()]


def new_vhost(
    journal: Journal | None = None,
    name: str = "/",
    first_queue_id: int = 1,
    exchange_context: ExchangeContext | None = None,
) -> VirtualHost:
    return VirtualHost(
        name,
        make_queue={"classic": partial(ClassicQueue, context=new_context(RecordingLog()))},
        next_queue_id=count(first_queue_id).__next__,
        queue_names=QueueNames(Random(7)),
        define=(journal or Journal()).define,
        exchange_context=exchange_context,
    )


def full_access(user: str = "guest", vhost: str = "/") -> Access:
    """Return the checks of a user who may do everything."""
    define = Journal().define
    permissions = Permissions(define)
    permissions.put(Permission(user, vhost, ".*", ".*", ".*"))
    return Access(Users(define), permissions, user, vhost)


def new_queue(vhost: VirtualHost, name: str, **properties: Any) -> ClassicQueue:
    return vhost.declare_queue(name, owner=OWNER, arguments={}, **properties)


def new_exchange(vhost: VirtualHost, name: str, kind: str = "direct", **properties: Any) -> Exchange:
    return vhost.declare_exchange(name, kind, arguments={}, **properties)


def bind(vhost: VirtualHost, queue: str, exchange: str, key: str = "", arguments: FieldTable | None = None) -> None:
    vhost.bind_queue(queue, exchange, key, arguments or {}, owner=OWNER)


def unbind(vhost: VirtualHost, queue: str, exchange: str, key: str = "", arguments: FieldTable | None = None) -> None:
    vhost.unbind_queue(queue, exchange, key, arguments or {}, owner=OWNER)


def routed(vhost: VirtualHost, exchange: str, key: str = "", headers: FieldTable | None = None) -> list[str]:
    """Return the names of the queues that a message goes to, in order."""
    return names(vhost.route(vhost.exchanges[exchange], key, headers))


def names(destinations: Iterable[Destination]) -> list[str]:
    return [destination.name for destination in destinations]


def refused(kind: type[AmqpError], text: str, function: Any, *args: Any, **kwargs: Any) -> None:
    """Call ``function`` and see it refuse with exactly this error and text."""
    with pytest.raises(kind) as raised:
        function(*args, **kwargs)
    assert type(raised.value) is kind
    assert raised.value.detail == text


def declare(vhost: VirtualHost, name: str, owner: object = OWNER, **properties: Any) -> ClassicQueue:
    arguments: FieldTable = properties.pop("arguments", {})
    return vhost.declare_queue(name, owner=owner, arguments=arguments, **properties)
