"""The fanout exchange: a message goes to all that is bound, whatever its key. Spec: AMQP 0-9-1, 3.1.3.2."""

from broker.core.bindings import Binding, Destination, Destinations
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from protocol.tables import FieldTable


class FanoutExchange(Exchange):
    """Routes to every binding."""

    type_name = "fanout"
    __slots__ = ("_destinations",)

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._destinations = Destinations()

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        return list(self._destinations)

    def add(self, binding: Binding) -> None:
        self._destinations.add(binding.destination)

    def remove(self, binding: Binding) -> None:
        self._destinations.discard(binding.destination)
