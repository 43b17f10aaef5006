"""Messages that go on from an exchange without a channel: those that it kept.

RabbitMQ: delayed message exchange, recent history exchange.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from broker.core.exchanges.exchange import Exchange
from broker.core.publish.addressed import Addressed
from broker.core.publish.enqueue import Enqueuer, Route
from broker.core.publish.routable import LooksAt
from broker.core.queues.classic import ClassicQueue
from protocol.content import Shape

if TYPE_CHECKING:
    from broker.core.vhosts import VirtualHost


class Republisher:
    """Routes kept messages and appends them to queues. What finds no queue is dropped, as nobody waits for a return."""

    __slots__ = ("_enqueuer", "_vhosts")

    def __init__(self, vhosts: Mapping[str, "VirtualHost"], enqueuer: Enqueuer) -> None:
        self._vhosts = vhosts
        self._enqueuer = enqueuer

    def republish(self, exchange: Exchange, shape: Shape, pieces: list[bytes]) -> None:
        """Let messages go the way that ``exchange`` routes them now, with the keys that they were published with."""
        vhost = self._vhosts[exchange.vhost_name]
        is_one = shape.lead and vhost.looks_at(exchange) is not LooksAt.MESSAGE
        for group in [pieces] if is_one else [[piece] for piece in pieces]:
            message = Addressed(shape, group, shape.routing_key)
            self.enqueue(vhost.route_message(exchange, message), message.shape, message.pieces)

    def enqueue(self, queues: Sequence[ClassicQueue], shape: Shape, pieces: list[bytes]) -> None:
        """Append messages to queues; one that is full refuses them if that is its rule."""
        if not queues:
            return
        route = Route(queues, 0)
        if not route.may_be_refused:
            self._enqueuer.enqueue(route, shape, pieces)
            return
        for piece in pieces:
            self._enqueuer.enqueue_or_refuse(route, shape, piece)
