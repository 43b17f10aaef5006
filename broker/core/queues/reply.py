"""The queue that is none: replies to a direct reply-to consumer go to its channel at once, or nowhere.

RabbitMQ: Direct Reply-to.
"""

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.context import QueueContext


class ReplyQueue(ClassicQueue):
    """What the default exchange routes a reply to; ``name`` is the token that requests carry as reply-to."""

    __slots__ = ("consumer",)

    def __init__(self, name: str, vhost_name: str, context: QueueContext) -> None:
        super().__init__(
            name,
            vhost_name,
            0,
            durable=False,
            exclusive_owner=None,
            auto_delete=False,
            arguments={},
            context=context,
        )
        self.consumer: Consumer | None = None

    def publish(self, stretch: Stretch) -> None:
        """Deliver replies; a client that has gone gets none."""
        if self.consumer is not None:
            self.consumer.sink.deliver(self.consumer, stretch)
