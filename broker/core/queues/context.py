"""What all queues of a node share: the log, the clock, and whom to call for what is not a queue's own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.core.clock import Clock
from broker.core.definitions import Define
from broker.core.messages import MessageLog, Stretch
from broker.core.queues.dying import EndlessRoom, Room
from broker.core.residency import Residency

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue


@dataclass(slots=True)
class QueueContext:
    """The node as queues see it.

    ``touched`` lists the queues to drain at the end of the read. ``dead_letter(queue, stretch, reason)`` publishes
    what died to the queue's dead letter exchange; ``expire_queue(queue)`` deletes a queue that nobody uses;
    ``define(key, value)`` puts a definition into the journal.
    """

    log: MessageLog
    clock: Clock
    touched: list["ClassicQueue"]
    dead_letter: Callable[["ClassicQueue", Stretch, str], None]
    expire_queue: Callable[["ClassicQueue"], None]
    watch_deliveries: Callable[[int], None] = field(default=lambda timeout_ms: None, kw_only=True)
    """Is told of each consumer timeout, in milliseconds, that a queue gets."""
    define: Define
    residency: Residency = field(default_factory=Residency, kw_only=True)
    """How much of the queues may be in memory."""
    room: Room = field(default_factory=EndlessRoom, kw_only=True)
    """Whether there is room for dead letters."""
