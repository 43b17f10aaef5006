"""Bindings: which exchange feeds which queue or exchange, on what terms.

A binding's identity is its source, destination, routing key and arguments; to bind twice is to bind once. The
exchange types keep indexes of their own for routing; here is the whole, found from either end in one step, so
that a queue with a hundred thousand bindings goes without a search. Spec: AMQP 0-9-1, 2.1.2.4 and 3.1.3.
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from protocol.tables import FieldTable, encode_table

if TYPE_CHECKING:
    from broker.core.exchanges.exchange import Exchange
    from broker.core.queues.classic import ClassicQueue

Destination: TypeAlias = Union["ClassicQueue", "Exchange"]
DestinationKind: TypeAlias = Literal["queue", "exchange"]
BindingIdentity: TypeAlias = tuple[Destination, str, bytes]
"""Within one source: destination, routing key, canonical octets of the arguments."""


def arguments_identity(arguments: FieldTable) -> bytes:
    """Return octets that are equal for equal arguments, whatever their order; ``b""`` for none.

    Integers of different widths differ here, as in RabbitMQ: to unbind, send what was sent to bind.
    """
    if not arguments:
        return b""
    return encode_table({key: arguments[key] for key in sorted(arguments)})


class Binding:
    """One binding. Never changed once made; compared by object."""

    __slots__ = ("arguments", "destination", "destination_kind", "identity", "routing_key", "source")

    def __init__(
        self,
        source: "Exchange",
        destination_kind: DestinationKind,
        destination: Destination,
        routing_key: str,
        arguments: FieldTable,
    ) -> None:
        self.source = source
        self.destination_kind = destination_kind
        self.destination = destination
        self.routing_key = routing_key
        self.arguments = arguments
        self.identity: BindingIdentity = (destination, routing_key, arguments_identity(arguments))

    @property
    def is_durable(self) -> bool:
        """Whether it outlives the process: both ends do. RabbitMQ: Queues, "Durability"."""
        return self.source.durable and self.destination.durable

    @property
    def arguments_digest(self) -> str:
        """Return a short name for the arguments, ``""`` for none; part of the definition's key."""
        octets = self.identity[2]
        return sha256(octets).hexdigest()[:32] if octets else ""


class Destinations(dict[Destination, int]):
    """The destinations of one key or pattern, in the order bound, each with how many bindings lead to it."""

    __slots__ = ()

    def add(self, destination: Destination) -> None:
        """Count one more binding to ``destination``."""
        self[destination] = self.get(destination, 0) + 1

    def discard(self, destination: Destination) -> None:
        """Count one less; at none, the destination goes."""
        left = self[destination] - 1
        if left:
            self[destination] = left
        else:
            del self[destination]


class Bindings:
    """All bindings of a virtual host, by both ends. Keeps the exchanges' indexes in step."""

    __slots__ = ("_to",)

    def __init__(self) -> None:
        self._to: dict[Destination, dict[Binding, None]] = {}

    def add(self, binding: Binding) -> bool:
        """Add ``binding``; False where an equal one exists."""
        source = binding.source
        if binding.identity in source.bindings:
            return False
        source.bindings[binding.identity] = binding
        source.add(binding)
        if binding.destination_kind == "exchange":
            source.fed_exchange_count += 1
        self._to.setdefault(binding.destination, {})[binding] = None
        return True

    def remove(self, binding: Binding) -> None:
        """Remove ``binding``, which exists."""
        source, destination = binding.source, binding.destination
        del source.bindings[binding.identity]
        source.remove(binding)
        if binding.destination_kind == "exchange":
            source.fed_exchange_count -= 1
        bound = self._to[destination]
        del bound[binding]
        if not bound:
            del self._to[destination]

    def to(self, destination: Destination) -> list[Binding]:
        """Return the bindings that lead to ``destination``, in the order bound."""
        return list(self._to.get(destination, ()))
