"""The queue that is none: replies to a direct reply-to consumer go to its channel at once, or nowhere.

RabbitMQ: Direct Reply-to.
"""

from collections.abc import Callable, Iterator
from typing import Final

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.context import QueueContext
from protocol.content import ContentFacts, Shape, header_facts, plain_facts, short_string
from protocol.headers import content_with_reply_to, with_header_payload, with_reply_to

_SHAPES_MAX: Final = 256


class ReplyQueue(ClassicQueue):
    """What the default exchange routes a reply to; ``name`` is the token that requests carry as reply-to."""

    __slots__ = ("_address", "_shapes", "consumer", "has_room")

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
        self.has_room: Callable[[], bool] = lambda: True
        """Says whether its client reads what it is sent: replies wait nowhere but on the way there."""
        self._address = short_string(name.encode())
        self._shapes: dict[tuple[bytes, ContentFacts], Shape] = {}

    def publish(self, stretch: Stretch) -> None:
        """Deliver replies; a client that has gone gets none, and one that does not read them gets no more."""
        if self.consumer is not None and self.has_room():
            self.consumer.sink.deliver(self.consumer, stretch)

    def requests(self, shape: Shape, pieces: list[bytes]) -> Iterator[tuple[Shape, list[bytes]]]:
        """Yield messages of its client's, whose reply-to is the pseudo-queue's name, with its own name there.

        Their header is no longer what they have in common with others, unless they are several; what is prepared for
        a shape is of use to the next one as well.
        """
        if shape.lead and len(pieces) > 1:
            yield with_header_payload(shape, pieces, with_reply_to(shape.header_payload(pieces[0]), self._address))
            return
        for piece in pieces:
            alone, content = shape.alone(piece)
            if alone.lead:
                content = alone.lead + content
            content = content_with_reply_to(content, self._address)
            yield self._shape(alone, content), [content]

    def _shape(self, found: Shape, content: bytes) -> Shape:
        """Return what a message shares with others of its address: ``found`` without a lead, with its facts as now."""
        facts = found.facts
        if facts.expiration is None and facts.user_id is None and not facts.has_carbon:
            facts = plain_facts(facts.persistent, facts.priority)  # Its reply-to is like any other now.
        else:
            facts = header_facts(content[7 : 7 + int.from_bytes(content[3:7])])
        key = found.address, facts
        shape = self._shapes.get(key)
        if shape is None:
            shape = Shape(found.exchange, found.routing_key, found.address, found.channel, found.frame_max, facts)
            if facts.is_plain:
                if len(self._shapes) >= _SHAPES_MAX:
                    self._shapes.clear()
                self._shapes[key] = shape
        return shape
