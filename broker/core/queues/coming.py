"""Queues as they come and go: what makes one, and what is left to be done when one was deleted."""

from typing import NamedTuple, Protocol

from broker.core.consumers import Consumer
from broker.core.queues.classic import ClassicQueue
from protocol.tables import FieldTable


class MakeQueue(Protocol):
    """What makes a queue of one kind: its class, with log and the node's other parts given already."""

    def __call__(
        self,
        name: str,
        vhost_name: str,
        queue_id: int,
        *,
        durable: bool,
        exclusive_owner: object | None,
        auto_delete: bool,
        arguments: FieldTable,
    ) -> ClassicQueue: ...


class DeletedQueue(NamedTuple):
    """How many ready messages went with a queue, and its consumers, who are to be told by ``cancelled``."""

    message_count: int
    consumers: list[Consumer]
    is_durable: bool
