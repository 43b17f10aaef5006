"""What random scripts put into tables and properties: queue arguments, binding arguments, message properties."""

import random
from dataclasses import dataclass
from typing import Any

EXCHANGE_TYPES = ("direct", "fanout", "topic", "topic", "headers")
_SHORT_TTL_MS = 200
_LONG_MS = 600_000


@dataclass(frozen=True, slots=True)
class Taste:
    """Which features a script uses: a few at a time meet more deeply than all at once."""

    ttl: bool
    short_ttl: bool
    limits: bool
    dead_letters: bool
    priorities: bool
    consumer_priorities: bool
    single_active: bool
    confirms: bool
    tx: bool
    wrong: bool
    carbon: bool
    properties: bool

    @classmethod
    def random(cls, rng: random.Random) -> "Taste":
        """Return a taste: each feature with its own likelihood."""
        priorities = rng.random() < 0.25
        ttl = not priorities and rng.random() < 0.35
        return cls(
            ttl=ttl,
            short_ttl=ttl and rng.random() < 0.4,
            limits=rng.random() < 0.4,
            dead_letters=rng.random() < 0.5,
            priorities=priorities,
            consumer_priorities=rng.random() < 0.3,
            single_active=rng.random() < 0.2,
            confirms=rng.random() < 0.5,
            tx=rng.random() < 0.2,
            wrong=rng.random() < 0.3,
            carbon=rng.random() < 0.25,
            properties=rng.random() < 0.4,
        )


def queue_arguments(rng: random.Random, taste: Taste, name: str, *, wrong: bool = False) -> dict[str, Any]:
    """Return arguments for the queue ``name``; ``wrong`` ones may also be such as must be refused.

    Dead letters of ``q0`` go to ``g0`` and back to ``q0`` only: where several queues feed one, their order is open.
    """
    arguments: dict[str, Any] = {}
    if taste.ttl and rng.random() < 0.5:
        short = [_SHORT_TTL_MS] if taste.short_ttl else []
        arguments["x-message-ttl"] = rng.choice([0, _LONG_MS, *short])
    if taste.limits and rng.random() < 0.7:
        key, values = rng.choice((("x-max-length", (0, 1, 2, 3)), ("x-max-length-bytes", (0, 5, 12))))
        arguments[key] = rng.choice(values)
        arguments["x-overflow"] = rng.choice(("drop-head", "reject-publish", "reject-publish-dlx"))
    if taste.dead_letters and rng.random() < 0.8:
        arguments.update(_dead_letters(rng, name))
    if taste.priorities and rng.random() < 0.7:
        arguments["x-max-priority"] = rng.choice((0, 1, 5, 10))
    if taste.single_active and rng.random() < 0.6:
        arguments["x-single-active-consumer"] = rng.choice((True, True, False))
    if wrong:
        arguments.update(rng.choice(_WRONG_ARGUMENTS))
    return arguments


def _dead_letters(rng: random.Random, name: str) -> dict[str, Any]:
    grave, exchange = f"g{name[1]}", f"d{name[1]}"
    choices: tuple[dict[str, Any], ...] = (
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": grave},
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": grave},
        {"x-dead-letter-exchange": exchange},
        {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": "dead"},
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name},
        {"x-dead-letter-exchange": "d9"},
    )
    return rng.choice(choices)


_WRONG_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"x-message-ttl": -1},
    {"x-message-ttl": "1000"},
    {"x-message-ttl": 1000},
    {"x-expires": 0},
    {"x-expires": 600_000},
    {"x-max-length": -1},
    {"x-max-length": 7},
    {"x-max-length-bytes": True},
    {"x-overflow": "spill"},
    {"x-max-priority": 256},
    {"x-max-priority": 3},
    {"x-single-active-consumer": "yes"},
    {"x-dead-letter-exchange": 5},
    {"x-dead-letter-routing-key": 5},
    {"x-dead-letter-routing-key": "g0"},
    {"x-queue-mode": "lazy"},
    {"x-queue-mode": "busy"},
    {"x-queue-type": "classic"},
    {"x-queue-type": "heap"},
    {"x-max-age": "1h"},
    {"x-unheard-of": 1},
)


def binding_arguments(rng: random.Random) -> dict[str, Any]:
    """Return arguments of a binding to a headers exchange."""
    arguments: dict[str, Any] = {}
    for key in ("h1", "h2", "x-h"):
        if rng.random() < 0.5:
            arguments[key] = rng.choice((1, 2, "1", True, None, 1.5))
    if rng.random() < 0.8:
        arguments["x-match"] = rng.choice(("all", "any", "all-with-x", "any-with-x", "some"))
    return arguments


def properties(rng: random.Random, taste: Taste) -> dict[str, Any]:
    """Return a message's properties."""
    chosen: dict[str, Any] = {}
    if rng.random() < 0.3:
        chosen["delivery_mode"] = rng.choice((1, 2))
    if taste.priorities and rng.random() < 0.7:
        chosen["priority"] = rng.choice((0, 1, 2, 5, 9, 255))
    if taste.ttl and rng.random() < 0.3:
        short = [str(_SHORT_TTL_MS)] if taste.short_ttl else []
        chosen["expiration"] = rng.choice(["0", str(_LONG_MS), *short])
    if taste.properties:
        chosen.update(_plain_properties(rng))
    headers = _headers(rng, taste)
    if headers or rng.random() < 0.05:
        chosen["headers"] = headers
    return chosen


def _plain_properties(rng: random.Random) -> dict[str, Any]:
    everything: dict[str, Any] = {
        "content_type": "text/plain",
        "content_encoding": "",
        "correlation_id": "c-é",
        "reply_to": "somewhere",
        "message_id": "id1",
        "timestamp": 1_700_000_000,
        "type": "t",
        "user_id": "guest",
        "app_id": "a" * 200,
        "cluster_id": "k",
    }
    return {key: value for key, value in everything.items() if rng.random() < 0.2}


def _headers(rng: random.Random, taste: Taste) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    for key in ("h1", "h2", "x-h"):
        if rng.random() < 0.2:
            headers[key] = rng.choice((1, 2, "1", True, None, 1.5, 2**40, [1, "a"], {"k": 1}))
    if taste.carbon and rng.random() < 0.4:
        headers[rng.choice(("CC", "CC", "BCC"))] = rng.choice((["q0"], ["q1", "a"], ["a.b", "q0", 5], []))
    return headers
