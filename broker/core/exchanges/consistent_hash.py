"""The x-consistent-hash exchange: each message to one of its destinations, the same for the same key.

A binding's routing key is its weight: how many buckets it has. A hash of the message's routing key, of a header or of
a property picks the bucket; buckets are numbered in the order bound, so that a new binding takes over its share of
the keys and moves no others. RabbitMQ: rabbitmq_consistent_hash_exchange, whose assignment this is.
"""

from bisect import bisect_right
from typing import Final

from broker.core.bindings import Binding, Destination
from broker.core.exchanges.erlang_hash import HASH_OF_UNDEFINED, bucket_of, hash_of_binary, hash_of_field
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.publish.routable import LooksAt, Routable
from broker.core.terms import term_text
from protocol.errors import PreconditionFailed
from protocol.headers import identity_of
from protocol.tables import FieldTable

HASH_HEADER: Final = "hash-header"
HASH_PROPERTY: Final = "hash-property"
PROPERTIES: Final = ("correlation_id", "message_id", "timestamp")


class ConsistentHashExchange(Exchange):
    """Routes to the binding whose bucket the message's hash falls into.

    ``_starts`` has the first bucket's number of each of ``_in_line``, the bindings in the order bound.
    """

    type_name = "x-consistent-hash"
    __slots__ = ("_bucket_count", "_hash_header", "_hash_property", "_in_line", "_starts")

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._hash_header: str | None = properties.arguments.get(HASH_HEADER)
        self._hash_property: str | None = properties.arguments.get(HASH_PROPERTY)
        self._in_line: list[Binding] = []
        self._starts: list[int] = []
        self._bucket_count = 0

    @property
    def looks_at(self) -> LooksAt:
        return LooksAt.KEY if self._hash_header is self._hash_property is None else LooksAt.HEADER

    @classmethod
    def check_arguments(cls, exchange: str, arguments: FieldTable) -> None:
        """Also raises PreconditionFailed (406) for both ways to hash at once, and for what cannot be hashed."""
        super().check_arguments(exchange, arguments)
        if HASH_HEADER in arguments and HASH_PROPERTY in arguments:
            raise PreconditionFailed(f"{HASH_HEADER} and {HASH_PROPERTY} are mutually exclusive")
        hash_header, hash_property = arguments.get(HASH_HEADER, ""), arguments.get(HASH_PROPERTY, PROPERTIES[0])
        if not isinstance(hash_header, str):
            raise PreconditionFailed(f"{HASH_HEADER} must be a string, not {term_text(hash_header)}")
        if hash_property not in PROPERTIES:
            text = hash_property if isinstance(hash_property, str) else term_text(hash_property)
            raise PreconditionFailed(f"Unsupported property: {text}")

    def check_binding(self, routing_key: str, arguments: FieldTable) -> None:
        """Raises PreconditionFailed (406) unless the key is a weight, an integer greater than 0."""
        digits = routing_key[1:] if routing_key[:1] in ("+", "-") else routing_key
        if not digits.isascii() or not digits.isdigit():
            raise PreconditionFailed(f"The binding key must be an integer: {term_text(routing_key)}")
        if int(routing_key) < 1:
            raise PreconditionFailed("The binding key must be greater than 0")

    def add(self, binding: Binding) -> None:
        self._in_line.append(binding)
        self._starts.append(self._bucket_count)
        self._bucket_count += int(binding.routing_key)

    def remove(self, binding: Binding) -> None:
        place = self._in_line.index(binding)
        weight = int(binding.routing_key)
        del self._in_line[place], self._starts[place]
        self._starts[place:] = [start - weight for start in self._starts[place:]]
        self._bucket_count -= weight

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        """Return the destination for a routing key, whatever the exchange is to hash."""
        return self._chosen_by(hash_of_binary(routing_key.encode()))

    def match_message(self, message: Routable) -> list[Destination]:
        """Return one destination, also for several routing keys: the publisher's is hashed."""
        if self._hash_header is not None:
            headers = message.headers or {}
            is_there = self._hash_header in headers
            return self._chosen_by(hash_of_field(headers[self._hash_header]) if is_there else HASH_OF_UNDEFINED)
        if self._hash_property is not None:
            value = identity_of(message.header_payload(), self._hash_property)
            return self._chosen_by(HASH_OF_UNDEFINED if value is None else hash_of_binary(value))
        return self.match(message.routing_keys[0], None)

    def _chosen_by(self, seed: int) -> list[Destination]:
        if not self._bucket_count:
            return []
        bucket = bucket_of(seed, self._bucket_count)
        return [self._in_line[bisect_right(self._starts, bucket) - 1].destination]
