"""The x-modulus-hash exchange: each message to one of its destinations, by the hash of its routing keys.

The hash's remainder by the number of bindings picks one of them; so another binding moves most keys.
RabbitMQ: rabbitmq_sharding, whose assignment this is.
"""

from bisect import insort
from collections.abc import Sequence

from broker.core.bindings import Binding, Destination
from broker.core.exchanges.erlang_hash import hash_of_list
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.publish.routable import Routable
from protocol.tables import FieldTable


class ModulusHashExchange(Exchange):
    """Routes to one binding. ``_in_line`` has them in RabbitMQ's order: by key, kind and name of the destination."""

    type_name = "x-modulus-hash"
    __slots__ = ("_in_line",)

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._in_line: list[Binding] = []

    def add(self, binding: Binding) -> None:
        insort(self._in_line, binding, key=_place_of)

    def remove(self, binding: Binding) -> None:
        self._in_line.remove(binding)

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        return self._chosen_by([routing_key])

    def match_message(self, message: Routable) -> list[Destination]:
        """Return one destination, by all routing keys together."""
        return self._chosen_by(message.routing_keys)

    def _chosen_by(self, routing_keys: Sequence[str]) -> list[Destination]:
        if not self._in_line:
            return []
        place = hash_of_list(key.encode() for key in routing_keys) % len(self._in_line)
        return [self._in_line[place].destination]


def _place_of(binding: Binding) -> tuple[bytes, str, bytes, bytes]:
    return (
        binding.routing_key.encode(),
        binding.destination_kind,
        binding.destination.name.encode(),
        binding.identity[2],
    )
