"""The direct exchange, and the default exchange, which is one with a binding for each queue.

A message goes where its routing key is bound, octet for octet. Spec: AMQP 0-9-1, 3.1.3.1 and 3.1.3.3.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from broker.core.bindings import Binding, Destination, Destinations
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from protocol.tables import FieldTable

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue


class DirectExchange(Exchange):
    """Routes to the bindings whose routing key equals the message's."""

    type_name = "direct"
    __slots__ = ("_by_key",)

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._by_key: dict[str, Destinations] = {}

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        return list(self._by_key.get(routing_key, ()))

    def add(self, binding: Binding) -> None:
        destinations = self._by_key.get(binding.routing_key)
        if destinations is None:
            destinations = self._by_key[binding.routing_key] = Destinations()
        destinations.add(binding.destination)

    def remove(self, binding: Binding) -> None:
        destinations = self._by_key[binding.routing_key]
        destinations.discard(binding.destination)
        if not destinations:
            del self._by_key[binding.routing_key]


class DefaultExchange(Exchange):
    """Routes to the queue that is named as the routing key. Has no bindings: it looks at the queues themselves."""

    type_name = "direct"
    __slots__ = ("_queues", "_reply_queues")

    def __init__(
        self, vhost_name: str, queues: Mapping[str, "ClassicQueue"], reply_queues: Mapping[str, "ClassicQueue"]
    ) -> None:
        super().__init__("", vhost_name, ExchangeProperties(durable=True))
        self._queues = queues
        self._reply_queues = reply_queues

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        queue = self._queues.get(routing_key) or self._reply_queues.get(routing_key)
        return [] if queue is None else [queue]

    def match_each(self, routing_keys: Sequence[str]) -> Sequence[tuple[Destination, ...]]:
        queues, replies = self._queues, self._reply_queues
        found = [queues.get(routing_key) or replies.get(routing_key) for routing_key in routing_keys]
        return [() if queue is None else (queue,) for queue in found]

    def add(self, binding: Binding) -> None:
        raise AssertionError("the default exchange takes no bindings")

    def remove(self, binding: Binding) -> None:
        raise AssertionError("the default exchange has no bindings")
