"""The x-recent-history exchange: a fanout that gives what came last to each new binding.

The history is in memory, and ends with the broker's process, as RabbitMQ's does.
RabbitMQ: rabbitmq_recent_history_exchange.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from broker.core.bindings import Binding, Destination, Destinations
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.exchanges.kept import ExchangeContext, KeptMessages
from broker.core.messages import Stretch
from broker.core.queues.context import QueueContext
from broker.core.terms import term_text
from protocol.content import Shape
from protocol.errors import PreconditionFailed
from protocol.headers import decode_headers
from protocol.tables import FieldTable, is_integer

LENGTH: Final = "x-recent-history-length"
NO_STORE: Final = "x-recent-history-no-store"
DEFAULT_LENGTH: Final = 20


class History(KeptMessages):
    """The last messages that came to an exchange, in ``last``: shape and piece of each."""

    __slots__ = ("last",)

    def __init__(self, exchange: str, vhost_name: str, length: int, context: QueueContext) -> None:
        super().__init__(exchange, vhost_name, 0, False, context)
        self.last: deque[tuple[Shape, bytes]] = deque(maxlen=length)

    def publish(self, stretch: Stretch) -> None:
        """Remember the messages that do not ask not to be."""
        shape, pieces = stretch.shape, stretch.pieces
        if shape.lead:
            if _is_to_store(shape.header_payload(b"")):
                self.last.extend((shape, piece) for piece in pieces)
            return
        self.last.extend(shape.alone(piece) for piece in pieces if _is_to_store(shape.header_payload(piece)))


class RecentHistoryExchange(Exchange):
    """Routes to every binding, and remembers."""

    type_name = "x-recent-history"
    __slots__ = ("_context", "_destinations", "_history")

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._destinations = Destinations()

    def join(self, context: ExchangeContext, new_id: Callable[[], int]) -> None:
        self._context = context
        length = self.arguments.get(LENGTH, DEFAULT_LENGTH)
        self._history = self.observer = History(self.name, self.vhost_name, length, context.queues)

    @classmethod
    def check_arguments(cls, exchange: str, arguments: FieldTable) -> None:
        """Also raises PreconditionFailed (406) for a length that is none."""
        super().check_arguments(exchange, arguments)
        length = arguments.get(LENGTH, DEFAULT_LENGTH)
        if not is_integer(length) or length < 1:
            text = f"Invalid argument {term_text(length)}, '{LENGTH}' must be a positive integer"
            raise PreconditionFailed(text)

    def add(self, binding: Binding) -> None:
        self._destinations.add(binding.destination)

    def remove(self, binding: Binding) -> None:
        self._destinations.discard(binding.destination)

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        return list(self._destinations)

    def bound(self, binding: Binding) -> None:
        """Give the history to the new binding's destination, in the order it came."""
        destination = binding.destination
        for shape, piece in tuple(self._history.last):
            if isinstance(destination, Exchange):
                self._context.republish(destination, shape, [piece])
            else:
                self._context.enqueue([destination], shape, [piece])

    def stop(self) -> None:
        self._history.stop()


def _is_to_store(payload: bytes) -> bool:
    # To look for the name is much cheaper than to decode, and hardly any message has it.
    return NO_STORE.encode() not in payload or decode_headers(payload).get(NO_STORE) is not True
