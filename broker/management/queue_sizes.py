"""The sizes of queues' messages, as RabbitMQ's JSON and metrics name them. See broker/core/queues/sizes.py."""

from itertools import chain
from typing import Any

from broker.core.queues.classic import ClassicQueue
from broker.core.queues.sizes import QueueSizes, Sizes, add_delivered, sizes_of
from broker.core.unacked import ParkedDelivery
from broker.server.broker import Broker


class HeldSizes:
    """The sizes of what consumers hold, by queue: all channels are gone through once, when the first queue asks."""

    __slots__ = ("_broker", "_sizes")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._sizes: dict[ClassicQueue, Sizes] | None = None

    def of(self, queue: ClassicQueue) -> QueueSizes:
        """Return the sizes of all messages of a queue."""
        if not queue.unacked_count:
            return sizes_of(queue)
        if self._sizes is None:
            self._sizes = self._held()
        return sizes_of(queue, self._sizes.get(queue))

    def _held(self) -> dict[ClassicQueue, Sizes]:
        held: dict[ClassicQueue, Sizes] = {}
        for connection in self._broker.connections:
            for channel in connection.channels.values():
                in_transaction = channel.transaction.settled() if channel.transaction is not None else ()
                for delivery in chain(channel.unacked.open(), in_transaction):
                    run = delivery.run if isinstance(delivery, ParkedDelivery) else None
                    sizes = held.setdefault(delivery.queue, Sizes())
                    add_delivered(sizes, delivery.queue, delivery.stretch, run)
        return held


def described_sizes(queue: ClassicQueue, sizes: QueueSizes) -> dict[str, Any]:
    """Return them as ``/api/queues`` has them.

    ``message_bytes_estimated`` is there, and true, where bodies are among them that nobody has counted.
    """
    ready, paged, unacked = sizes.ready, sizes.paged, sizes.unacked
    described = {
        "message_bytes": ready.octets + paged.octets + unacked.octets,
        "message_bytes_paged_out": paged.octets,
        "message_bytes_persistent": ready.persistent_octets + paged.persistent_octets + unacked.persistent_octets,
        "message_bytes_ram": ready.octets + unacked.octets,
        "message_bytes_ready": ready.octets + paged.octets,
        "message_bytes_unacknowledged": unacked.octets,
        "messages_paged_out": paged.count,
        "messages_persistent": ready.persistent_count + paged.persistent_count + unacked.persistent_count,
        "messages_ram": ready.count + queue.unacked_count,
        "messages_ready_ram": ready.count,
        "messages_unacknowledged_ram": queue.unacked_count,
    }
    return described | ({"message_bytes_estimated": True} if sizes.is_estimated else {})
