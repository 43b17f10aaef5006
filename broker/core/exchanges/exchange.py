"""What all exchange types share: properties, bindings, and the questions that a virtual host asks of them.

A type's file answers ``match``, keeps its index in ``add`` and ``remove``, and may check arguments. An exchange
knows no other exchange: going on to bound and alternate exchanges is the virtual host's part.
Spec: AMQP 0-9-1, 3.1.3; RabbitMQ: Exchanges.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from broker.core.arguments import check_equivalent_argument, check_equivalent_flag, refuse_inequivalent
from broker.core.bindings import Binding, BindingIdentity, Destination
from broker.core.names import exchange_text
from broker.core.publish.routable import LooksAt, Routable
from protocol.errors import PreconditionFailed
from protocol.tables import FieldTable, type_name

if TYPE_CHECKING:
    from broker.core.exchanges.kept import ExchangeContext, KeptMessages

ALTERNATE_EXCHANGE = "alternate-exchange"


@dataclass(frozen=True, slots=True)
class ExchangeProperties:
    """What exchange.declare says of an exchange beside name and type."""

    durable: bool = False
    auto_delete: bool = False
    internal: bool = False
    arguments: FieldTable = field(default_factory=dict)


class Exchange(ABC):
    """An exchange; each type is a subclass, listed in types.py.

    ``fed_exchange_count`` is how many of ``bindings`` lead to exchanges, so that routing need not look.
    ``observer`` is given each message that comes by, beside the queues that it is routed to.
    """

    type_name: ClassVar[str]
    __slots__ = (
        "alternate",
        "arguments",
        "auto_delete",
        "bindings",
        "counts",
        "durable",
        "fed_exchange_count",
        "internal",
        "name",
        "observer",
        "vhost_name",
    )

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        self.name = name
        self.vhost_name = vhost_name
        self.durable = properties.durable
        self.auto_delete = properties.auto_delete
        self.internal = properties.internal
        self.arguments = properties.arguments
        self.alternate: str | None = self.arguments.get(ALTERNATE_EXCHANGE)
        self.bindings: dict[BindingIdentity, Binding] = {}
        self.fed_exchange_count = 0
        self.counts: object = None
        self.observer: KeptMessages | None = None

    def __str__(self) -> str:
        return exchange_text(self.name, self.vhost_name)

    def check_equivalent(self, type_name: str, properties: ExchangeProperties) -> None:
        """Refuse a redeclare as something else. Raises PreconditionFailed (406) for the first difference.

        Of the arguments, RabbitMQ compares one. RabbitMQ: Exchanges, "Property Equivalence".
        """
        text = str(self)
        if type_name != self.type_name:
            refuse_inequivalent(text, "type", type_name, self.type_name)
        check_equivalent_flag(text, "durable", properties.durable, self.durable)
        check_equivalent_flag(text, "auto_delete", properties.auto_delete, self.auto_delete)
        check_equivalent_flag(text, "internal", properties.internal, self.internal)
        check_equivalent_argument(text, ALTERNATE_EXCHANGE, properties.arguments, self.arguments)

    def join(self, context: "ExchangeContext", new_id: Callable[[], int]) -> None:
        """Begin to live on a node; ``new_id`` gives an id of the log's, for a type that keeps messages there."""
        return

    def bound(self, binding: Binding) -> None:
        """A client has made a new binding from here, which ``add`` was called for."""
        return

    def stop(self) -> None:
        """Let go of everything, as the exchange is deleted."""
        return

    @property
    def kept_messages(self) -> "KeptMessages | None":
        """What the exchange keeps in the log."""
        return None

    @property
    def looks_at(self) -> LooksAt:
        """How much of a message decides where it goes."""
        return LooksAt.KEY

    def match_message(self, message: Routable) -> list[Destination]:
        """Return what ``match`` finds for all keys of a message, each once.

        A type that takes one decision a message, or looks at more than keys and headers, has its own.
        RabbitMQ: Sender-selected Distribution.
        """
        routing_keys, headers = message.routing_keys, message.headers
        if len(routing_keys) == 1:
            return self.match(routing_keys[0], headers)
        return list(dict.fromkeys(found for key in routing_keys for found in self.match(key, headers)))

    @abstractmethod
    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        """Return the destinations of a message, each once, in an order that depends on the bindings alone."""

    def match_each(self, routing_keys: Sequence[str]) -> Sequence[tuple[Destination, ...]]:
        """Return for each of these keys what ``match`` finds, where keys are all that matters."""
        return [tuple(self.match(routing_key, None)) for routing_key in routing_keys]

    @abstractmethod
    def add(self, binding: Binding) -> None:
        """Take a new binding into the index."""

    @abstractmethod
    def remove(self, binding: Binding) -> None:
        """Take a binding out of the index."""

    @classmethod
    def check_arguments(cls, exchange: str, arguments: FieldTable) -> None:
        """Refuse arguments that the type cannot work with; ``exchange`` is its name in replies.

        Raises PreconditionFailed (406). RabbitMQ: Alternate Exchanges.
        """
        alternate = arguments.get(ALTERNATE_EXCHANGE, "")
        if type_name(alternate) != "longstr":
            kind = type_name(alternate)
            raise PreconditionFailed(f"invalid type '{kind}' for arg '{ALTERNATE_EXCHANGE}' in {exchange}")

    def check_binding(self, routing_key: str, arguments: FieldTable) -> None:
        """Refuse a binding that the type cannot work with; most take any. Raises PreconditionFailed (406)."""
        return
