"""The kinds of queue that there are, by x-queue-type: the place where a new one is added.

What each may be declared with stands in arguments.py. RabbitMQ: Queues, "Queue Types".
"""

from typing import Final

from broker.core.queues.classic import ClassicQueue
from broker.core.queues.quorum import QuorumQueue
from broker.core.queues.stream import StreamQueue

QUEUE_TYPES: Final[dict[str, type[ClassicQueue]]] = {
    "classic": ClassicQueue,
    "quorum": QuorumQueue,
    "stream": StreamQueue,
}
