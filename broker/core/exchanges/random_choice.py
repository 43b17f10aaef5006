"""The x-random exchange: each message to one of its destinations, by chance. RabbitMQ: rabbitmq_random_exchange."""

from random import Random

from broker.core.bindings import Binding, Destination
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.publish.routable import LooksAt, Routable
from protocol.tables import FieldTable


class RandomExchange(Exchange):
    """Routes to one binding, each as likely as the others. ``random`` may be replaced by a seeded one."""

    type_name = "x-random"
    __slots__ = ("_in_line", "random")

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self.random = Random()
        self._in_line: list[Binding] = []

    @property
    def looks_at(self) -> LooksAt:
        return LooksAt.MESSAGE

    def add(self, binding: Binding) -> None:
        self._in_line.append(binding)

    def remove(self, binding: Binding) -> None:
        self._in_line.remove(binding)

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        if not self._in_line:
            return []
        return [self.random.choice(self._in_line).destination]

    def match_message(self, message: Routable) -> list[Destination]:
        """Return one destination, however many routing keys the message has."""
        return self.match("", None)
