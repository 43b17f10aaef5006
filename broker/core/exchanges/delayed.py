"""The x-delayed-message exchange: routes as another type, once the time in the message's x-delay header is over.

What has no such header goes on at once. RabbitMQ: rabbitmq_delayed_message_exchange; other than there, messages wait
in the log like all others, and one that waits does not go to the alternate exchange meanwhile.
"""

from collections.abc import Callable
from typing import Final

from broker.core.bindings import Binding, Destination
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.exchanges.kept import ExchangeContext, KeptMessages
from broker.core.exchanges.pending import DelayedMessages, delay_of
from broker.core.exchanges.registry import exchange_type
from broker.core.messages import Stretch
from broker.core.publish.routable import LooksAt, Routable
from protocol.content import Shape
from protocol.errors import PreconditionFailed
from protocol.tables import FieldTable

DELAYED_TYPE: Final = "x-delayed-type"


class DelayedExchange(Exchange):
    """Delays what is to be delayed, and asks an exchange of the type x-delayed-type, ``_router``, for the rest.

    ``pending`` holds what is not due; its ``message_count`` is how many messages wait.
    """

    type_name = "x-delayed-message"
    __slots__ = ("_context", "_router", "pending")

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._router = exchange_type(properties.arguments[DELAYED_TYPE])(name, vhost_name, properties)

    def join(self, context: ExchangeContext, new_id: Callable[[], int]) -> None:
        self._context = context
        self._router.join(context, new_id)
        self.pending = DelayedMessages(
            self.name, self.vhost_name, new_id(), self.durable, context.queues, self._release
        )

    @property
    def kept_messages(self) -> KeptMessages:
        return self.pending

    @property
    def looks_at(self) -> LooksAt:
        return max(LooksAt.HEADER, self._router.looks_at)

    @classmethod
    def check_arguments(cls, exchange: str, arguments: FieldTable) -> None:
        """Also raises PreconditionFailed (406) without a type to route as, CommandInvalid (503) for an unknown one."""
        super().check_arguments(exchange, arguments)
        name = arguments.get(DELAYED_TYPE)
        if not isinstance(name, str):
            raise PreconditionFailed(f"Invalid argument, '{DELAYED_TYPE}' must be an existing exchange type")
        router = exchange_type(name)
        if router is cls:
            raise PreconditionFailed(f"Invalid argument, '{DELAYED_TYPE}' cannot be '{cls.type_name}' itself")
        router.check_arguments(exchange, arguments)

    def check_binding(self, routing_key: str, arguments: FieldTable) -> None:
        self._router.check_binding(routing_key, arguments)

    def add(self, binding: Binding) -> None:
        self._router.add(binding)

    def remove(self, binding: Binding) -> None:
        self._router.remove(binding)

    def bound(self, binding: Binding) -> None:
        self._router.bound(binding)

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        """Return where a message goes that is not delayed."""
        return self._router.match(routing_key, headers)

    def match_message(self, message: Routable) -> list[Destination]:
        if delay_of(message.headers or {}):
            return [self.pending]
        found = self._router.match_message(message)
        return found if self._router.observer is None else [*found, self._router.observer]

    def stop(self) -> None:
        """Forget what waits: there is nothing left to route it."""
        self.pending.stop()
        self._router.stop()

    def _release(self, shape: Shape, stretch: Stretch) -> None:
        self._context.republish(self, shape, stretch.pieces)
