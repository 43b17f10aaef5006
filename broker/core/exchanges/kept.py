"""Messages that an exchange keeps: a destination like a queue, but one that no client sees.

An exchange that keeps messages routes them to such a destination, so that they go the way of all messages: with their
transaction, into the log, before their confirm. RabbitMQ has such exchanges as plugins, which store on the side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from broker.core.queues.classic import ClassicQueue
from broker.core.queues.context import QueueContext
from protocol.content import Shape

if TYPE_CHECKING:
    from broker.core.exchanges.exchange import Exchange


@dataclass(slots=True)
class ExchangeContext:
    """The node as exchanges see it that keep messages.

    ``republish(exchange, shape, pieces)`` routes messages from an exchange on; ``enqueue(queues, shape, pieces)``
    appends them to queues.
    """

    queues: QueueContext
    republish: Callable[["Exchange", Shape, list[bytes]], None]
    enqueue: Callable[[Sequence[ClassicQueue], Shape, list[bytes]], None]


class KeptMessages(ClassicQueue):
    """What an exchange keeps; a message that came here alone counts as not routed.

    It has no consumers, and a name that no queue can have: clients' names lose their line feeds. ``queue_id`` is 0
    where nothing goes to the log.
    """

    __slots__ = ()
    is_routed_again: ClassVar[bool] = False
    """Whether the messages will go through their exchange once more."""

    def __init__(self, exchange: str, vhost_name: str, queue_id: int, durable: bool, context: QueueContext) -> None:
        super().__init__(
            f"\n{exchange}",
            vhost_name,
            queue_id,
            durable=durable,
            exclusive_owner=None,
            auto_delete=False,
            arguments={},
            context=context,
        )
