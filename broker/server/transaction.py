"""A channel's open transaction: publishes and settlements that wait for commit.

Routes are found and tags are checked when a method comes; queues see nothing before the commit.
RabbitMQ: Broker Semantics (tx); ref: tx.select, tx.commit, tx.rollback.
"""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Literal

from broker.core.publish.enqueue import Route
from broker.core.unacked import Delivery
from protocol.content import PublishMethod, Shape
from protocol.errors import PreconditionFailed

if TYPE_CHECKING:
    from broker.server.channel import Channel

Disposition = Literal["ack", "reject", "requeue"]


class Transaction:
    """What has happened on ``channel`` since the last commit or rollback."""

    __slots__ = ("_channel", "_publishes", "_settlements")

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self._publishes: list[tuple[PublishMethod, Route, Shape, list[bytes]]] = []
        self._settlements: list[tuple[Disposition, list[Delivery]]] = []

    @property
    def published_count(self) -> int:
        """How many messages wait for the commit."""
        return sum(len(pieces) for _, _, _, pieces in self._publishes)

    @property
    def settled_count(self) -> int:
        """How many deliveries were settled, and wait for it."""
        return sum(delivery.count for delivery in self.settled())

    def settled(self) -> Iterator[Delivery]:
        """Yield the deliveries that were settled."""
        return chain.from_iterable(deliveries for _, deliveries in self._settlements)

    def publish(self, publish: PublishMethod, route: Route, shape: Shape, pieces: list[bytes]) -> None:
        """Keep messages whose route was found."""
        self._publishes.append((publish, route, shape, pieces))

    def settle(self, deliveries: list[Delivery], disposition: Disposition) -> None:
        """Keep deliveries, taken out of the channel's open ones, that were acked, rejected or requeued."""
        self._settlements.append((disposition, deliveries))

    def commit(self) -> bool:
        """Do all of it, as one batch of the log; True if something went there.

        Returns of mandatory messages are sent here, so before commit-ok. Raises PreconditionFailed (406), after
        all was done that could be, when a full queue refused a message.
        """
        channel = self._channel
        is_logged = is_refused = False
        for publish, found, shape, pieces in self._publishes:
            route = self._route_now(publish, found)
            if route.may_be_refused:
                for piece in pieces:
                    went_to_log, was_refused = channel.broker.enqueuer.enqueue_or_refuse(route, shape, piece)
                    is_logged, is_refused = is_logged | went_to_log, is_refused | was_refused
            else:
                is_logged |= channel.enqueue_now(publish, route, shape, pieces)
            for queue in route.queues:
                # A waiting consumer gets it before anything else in the transaction happens, as in RabbitMQ.
                if queue.is_touched:
                    queue.drain()
        for disposition, deliveries in self._settlements:
            if disposition == "requeue":
                channel.requeue(deliveries)
            elif disposition == "reject":
                channel.discard(deliveries, at_once=True)
            else:
                channel.settle(deliveries)
                is_logged |= any(item.queue.log is not None for item in deliveries)
        self._publishes.clear()
        self._settlements.clear()
        if is_refused:
            raise PreconditionFailed("partial tx completion")
        return is_logged

    def _route_now(self, publish: PublishMethod, found: Route) -> Route:
        """Return the route with the queues that have its queues' names by now, as RabbitMQ does.

        To the default exchange a queue's name is its key, so a queue declared since then is found too.
        """
        vhost = self._channel.connection.vhost
        if found.topology_version == vhost.topology_version:
            return found
        queues = {queue.name: vhost.queues.get(queue.name) if queue.is_deleted else queue for queue in found.queues}
        if publish.exchange == "":
            queues.setdefault(publish.routing_key, vhost.queues.get(publish.routing_key))
        return Route([queue for queue in queues.values() if queue is not None], vhost.topology_version)

    def rollback(self) -> None:
        """Forget the publishes; what was settled is open again, under its old tags."""
        self._publishes.clear()
        for _, deliveries in self._settlements:
            for delivery in deliveries:
                self._channel.unacked.put_back(delivery)
        self._settlements.clear()
