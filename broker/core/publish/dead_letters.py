"""Dead letters: messages that died in a queue go on to its dead letter exchange, with their history in headers.

The move is one batch of the log: published in the new queues and settled in the old one, or neither.
RabbitMQ: Dead Letter Exchanges; where its versions differ, wire behaviour is that of the 3.x line.
"""

from collections.abc import Callable, Mapping
from typing import Any

from broker.core.clock import Clock
from broker.core.messages import Stretch, readdressed
from broker.core.publish.addressed import carbon_keys
from broker.core.publish.enqueue import Enqueuer, Route
from broker.core.publish.routable import LooksAt, Routable
from broker.core.queues.classic import ClassicQueue
from broker.core.vhosts import VirtualHost
from protocol.content import Shape
from protocol.headers import decode_headers, expiration_of, with_header_payload, with_headers
from protocol.tables import FieldTable, Timestamp


class DeadLetters:
    """Publishes what died. A missing exchange, or one that routes nowhere, drops it, as in RabbitMQ."""

    __slots__ = ("_clock", "_enqueuer", "_vhosts", "count")

    def __init__(self, vhosts: Mapping[str, VirtualHost], enqueuer: Enqueuer, clock: Clock) -> None:
        self._vhosts = vhosts
        self._enqueuer = enqueuer
        self._clock = clock
        self.count: Callable[[ClassicQueue, int, str], None] = lambda queue, count, reason: None
        """Is told of the messages that died in a queue, and why."""

    def dead_letter(self, queue: ClassicQueue, stretch: Stretch, reason: str) -> None:
        """Publish the messages of ``stretch``, which died in ``queue``; the caller settles them there."""
        if queue.enforcement is None:
            return
        rules = queue.enforcement.rules
        vhost = self._vhosts.get(queue.vhost_name)
        if vhost is None or rules.dead_letter_exchange is None:
            return
        exchange = vhost.exchanges.get(rules.dead_letter_exchange)
        if exchange is None:
            return
        self.count(queue, len(stretch.pieces), reason)
        stretch = stretch.as_published()
        is_one = stretch.shape.lead and vhost.looks_at(exchange) is not LooksAt.MESSAGE
        groups = [stretch.pieces] if is_one else [[piece] for piece in stretch.pieces]
        for pieces in groups:
            shape = stretch.shape
            if shape.is_keyed:
                shape, piece = shape.alone(pieces[0])
                pieces = [piece]
            headers = decode_headers(shape.header_payload(pieces[0]))
            carbon = carbon_keys(headers, "CC")
            shape, pieces = self._with_history(queue, shape, pieces, headers, reason, carbon)
            keys = [shape.routing_key, *carbon]
            if rules.dead_letter_routing_key is not None:
                keys = [rules.dead_letter_routing_key]
            shape = readdressed(shape, exchange.name, keys[0])
            targets = vhost.route_message(exchange, Routable(keys, headers, shape, pieces))
            if reason != "rejected":
                targets = [target for target in targets if not _is_cycle(headers["x-death"], target.name)]
            if targets:
                self._enqueuer.enqueue(Route(targets, vhost.topology_version), shape, pieces)

    def _with_history(
        self,
        queue: ClassicQueue,
        shape: Shape,
        pieces: list[bytes],
        headers: FieldTable,
        reason: str,
        carbon: list[str],
    ) -> tuple[Shape, list[bytes]]:
        """Return shape and pieces with the death in ``headers``, which change, and without an expiration."""
        payload = shape.header_payload(pieces[0])
        death: FieldTable = {
            "count": 1,
            "reason": reason,
            "queue": queue.name,
            "time": Timestamp(self._clock.wall_ms() // 1000),
            "exchange": shape.exchange,
            "routing-keys": [shape.routing_key, *carbon],
        }
        expiration = expiration_of(payload)
        if expiration is not None:
            death["original-expiration"] = expiration
        _record_death(headers, death)
        rules = queue.enforcement.rules if queue.enforcement is not None else None
        if rules is not None and rules.dead_letter_routing_key is not None:
            headers.pop("CC", None)
        return with_header_payload(shape, pieces, with_headers(payload, headers, keeps_expiration=False))


def _record_death(headers: FieldTable, death: FieldTable) -> None:
    """Put a death at the front of x-death, or count it up where the same queue and reason are there already."""
    deaths = headers.get("x-death")
    known = [entry for entry in deaths if isinstance(entry, dict)] if isinstance(deaths, list) else []
    for place, entry in enumerate(known):
        if entry.get("queue") == death["queue"] and entry.get("reason") == death["reason"]:
            del known[place]
            count = entry.get("count")
            death = {**entry, "count": int(count) + 1 if isinstance(count, int) else 1}
            break
    headers["x-death"] = [death, *known]
    if "x-first-death-reason" not in headers:
        _tell(headers, "first", death)
    _tell(headers, "last", death)


def _tell(headers: FieldTable, which: str, death: FieldTable) -> None:
    """Put a death's facts into headers of their own, in RabbitMQ's order."""
    for fact in ("exchange", "queue", "reason"):
        headers[f"x-{which}-death-{fact}"] = death[fact]


def _is_cycle(deaths: list[dict[str, Any]], queue: str) -> bool:
    """Whether a message that died in ``queue`` before came back there without ever being rejected on the way."""
    for entry in deaths:
        if entry.get("reason") == "rejected":
            return False
        if entry.get("queue") == queue:
            return True
    return False
