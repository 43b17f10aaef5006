"""A channel's open transaction: publishes and settlements that wait for commit.

Routes are found and tags are checked when a method comes; queues see nothing before the commit.
RabbitMQ: Broker Semantics (tx); ref: tx.select, tx.commit, tx.rollback.
"""

from typing import TYPE_CHECKING, Literal

from broker.core.enqueue import Route
from broker.core.unacked import Delivery
from protocol.content import PublishMethod, Shape

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

    def publish(self, publish: PublishMethod, route: Route, shape: Shape, pieces: list[bytes]) -> None:
        """Keep messages whose route was found."""
        self._publishes.append((publish, route, shape, pieces))

    def settle(self, deliveries: list[Delivery], disposition: Disposition) -> None:
        """Keep deliveries, taken out of the channel's open ones, that were acked, rejected or requeued."""
        self._settlements.append((disposition, deliveries))

    def commit(self) -> bool:
        """Do all of it, as one batch of the log; True if something went there.

        Returns of mandatory messages are sent here, so before commit-ok.
        """
        channel = self._channel
        is_logged = False
        for publish, route, shape, pieces in self._publishes:
            route.forget_deleted()
            is_logged |= channel.enqueue_now(publish, route, shape, pieces)
        for disposition, deliveries in self._settlements:
            if disposition == "requeue":
                channel.requeue(deliveries)
            elif disposition == "reject":
                channel.discard(deliveries)
            else:
                channel.settle(deliveries)
                is_logged |= any(item.queue.log is not None for item in deliveries)
        self._publishes.clear()
        self._settlements.clear()
        return is_logged

    def rollback(self) -> None:
        """Forget the publishes; what was settled is open again, under its old tags."""
        self._publishes.clear()
        for _, deliveries in self._settlements:
            for delivery in deliveries:
                self._channel.unacked.put_back(delivery)
        self._settlements.clear()
