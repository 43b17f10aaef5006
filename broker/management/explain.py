"""Why a message goes where it goes: the queues that it would reach, by which bindings, and which just miss it.

Nothing is published. What RabbitMQ lacks.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from broker.core.bindings import Binding
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.json_tables import table_of
from broker.core.publish.routable import Routable
from broker.core.publish.routing import alternate_of
from broker.management.bindings import default_binding, describe_binding
from broker.management.call import Call
from broker.management.errors import BadRequest
from broker.management.exchanges import named_exchange
from broker.management.routing import Row
from protocol.tables import FieldTable

MISSES_SHOWN: Final = 5
BINDINGS_LOOKED_AT: Final = 5000
EXPLAINED_TYPES: Final = ("direct", "fanout", "topic", "headers")
"""Types whose bindings decide each for itself; with others, all bindings to a chosen queue count."""


def _headers_in(call: Call) -> FieldTable:
    try:
        return table_of(json.loads(call.query.get("headers") or "{}"))
    except (ValueError, RecursionError):
        raise BadRequest("headers should be an object of JSON") from None


def explain_route(call: Call) -> dict[str, Any]:
    first, vhost = named_exchange(call), call.vhost()
    access = call.access()
    if access is not None:
        access.check("read", "exchange", first.name)
    message = Routable((call.query.get("routing_key", ""),), _headers_in(call))
    queues = sorted(queue.name for queue in vhost.route_message(first, message) if queue.name in vhost.queues)
    matched: list[dict[str, Any]] = []
    misses: list[tuple[int, dict[str, Any]]] = []
    asked: list[Exchange] = [first]
    for exchange in asked:
        found = exchange.match_message(message)
        if not exchange.name:
            matched += [default_binding(vhost.name, queue.name) for queue in found if queue.name in vhost.queues]
        for binding in _first_of(exchange):
            if binding.destination in found and _matches(exchange, binding, message):
                matched.append(describe_binding(vhost.name, binding))
                if isinstance(binding.destination, Exchange) and binding.destination not in asked:
                    asked.append(binding.destination)
            else:
                distance, why = _distance(exchange, binding, message)
                misses.append((distance, {**describe_binding(vhost.name, binding), "why_not": why}))
        alternate = alternate_of(vhost.exchanges, exchange) if not found else None
        if alternate is not None and alternate not in asked:
            asked.append(alternate)
    misses.sort(key=lambda miss: miss[0])
    return {
        "routed": bool(queues),
        "queues": queues,
        "exchanges": [exchange.name for exchange in asked],
        "bindings": matched,
        "nearest_misses": [miss for _, miss in misses[:MISSES_SHOWN]],
    }


def _first_of(exchange: Exchange) -> Iterator[Binding]:
    yield from list(exchange.bindings.values())[:BINDINGS_LOOKED_AT]


def _matches(exchange: Exchange, binding: Binding, message: Routable) -> bool:
    """Whether this binding alone would let the message through: it is put into an exchange of its own."""
    if exchange.type_name not in EXPLAINED_TYPES:
        return True
    alone = type(exchange)(exchange.name, exchange.vhost_name, ExchangeProperties(arguments=exchange.arguments))
    alone.add(binding)
    return bool(alone.match_message(message))


def _distance(exchange: Exchange, binding: Binding, message: Routable) -> tuple[int, str]:
    """Return how far a binding is from matching, and in what it differs."""
    key = message.routing_keys[0]
    if exchange.type_name == "headers":
        headers = message.headers or {}
        wanted = {name: value for name, value in binding.arguments.items() if not name.startswith("x-")}
        wrong = [name for name, value in wanted.items() if headers.get(name) != value]
        return len(wrong), f"headers differ: {', '.join(sorted(wrong))}" if wrong else "its x-match does not hold"
    if exchange.type_name == "topic":
        return _topic_distance(binding.routing_key.split("."), key.split("."))
    return _edit_distance(binding.routing_key, key), f"its key is '{binding.routing_key}'"


def _topic_distance(pattern: list[str], words: list[str]) -> tuple[int, str]:
    for place, (wanted, word) in enumerate(zip(pattern, words, strict=False), 1):
        if wanted == "#":
            return len(words), f"what follows '#', word {place} of the pattern, does not fit"
        if wanted not in ("*", word):
            wrong = sum(a not in ("*", "#", b) for a, b in zip(pattern, words, strict=False))
            return wrong + abs(len(pattern) - len(words)), f"word {place} is '{word}', not '{wanted}'"
    return abs(len(pattern) - len(words)), f"it has {len(pattern)} words, the key has {len(words)}"


def _edit_distance(one: str, other: str) -> int:
    """Return in how many places two texts differ, counted from both ends inwards: cheap, and good enough to sort by."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return max(len(one), len(other)) - start - end


ROWS: Final = (
    Row(
        "GET",
        "/api/exchanges/{vhost}/{exchange}/route",
        explain_route,
        "Where a message would go and why; routing_key, headers (JSON)",
    ),
)
