"""A consumer: who gets a queue's messages, and how many more it may get now.

Made by a channel, held by a queue. The queue asks ``limit`` and hands stretches to ``sink``; the sink, a channel
in the server, turns them into octets. Spec: basic.consume, basic.qos.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from broker.core.messages import Stretch

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue

UNLIMITED = 1 << 62


class DeliverySink(Protocol):
    """What takes deliveries: a channel."""

    can_deliver: bool
    shared_credit: int

    def deliver(self, consumer: "Consumer", stretch: Stretch) -> None:
        """Send the messages of ``stretch`` to the consumer's client."""

    def deliver_each(self, handed: Sequence[tuple["Consumer", Stretch]], each_octets: int) -> None:
        """Send several stretches, none redelivered, each to one of its consumers, as ``deliver`` does with one.

        A delivery has about so many octets at most, frames and all.
        """

    def deliver_in_turn(self, consumers: Sequence["Consumer"], stretch: Stretch) -> None:
        """Send the messages of ``stretch`` to ``consumers``, all its own, one each in turn, in one sequence."""

    def consumer_cancelled(self, consumer: "Consumer") -> None:
        """The consumer's queue is gone: forget it and tell the client, if it wants to know."""


class Consumer:
    """One basic.consume. ``credit`` is how many more messages it may hold unacked; UNLIMITED without a limit.

    ``is_waiting`` is the queue's mark that it stands in the line of those with credit; ``left_at`` says when it left.
    """

    __slots__ = (
        "arguments",
        "credit",
        "delivered_count",
        "exclusive",
        "is_waiting",
        "left_at",
        "no_ack",
        "prefetch",
        "priority",
        "queue",
        "redelivered_count",
        "sink",
        "tag",
        "writer",
    )

    def __init__(
        self,
        tag: str,
        queue: "ClassicQueue",
        sink: DeliverySink,
        *,
        no_ack: bool,
        exclusive: bool,
        prefetch: int,
        arguments: dict[str, Any],
        writer: Any = None,
    ) -> None:
        self.tag = tag
        self.queue = queue
        self.sink = sink
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.prefetch = 0 if no_ack else prefetch
        self.credit = self.prefetch or UNLIMITED
        self.arguments = arguments
        self.priority: int = arguments.get("x-priority", 0)
        self.is_waiting = False
        self.left_at = 0
        self.delivered_count = self.redelivered_count = 0
        self.writer = writer

    def limit(self) -> int:
        """Return how many messages it may be given now, 0 when it must wait."""
        sink = self.sink
        if not sink.can_deliver:
            return 0
        if self.no_ack or self.credit <= sink.shared_credit:
            return self.credit
        return sink.shared_credit

    def cancelled(self) -> None:
        """Its queue was deleted."""
        self.sink.consumer_cancelled(self)

    def settled(self, count: int) -> None:
        """``count`` of its deliveries were acked, rejected or requeued: it may take as many more."""
        if self.prefetch:
            self.credit += count
        if not self.is_waiting:
            self.queue.consumer_ready(self)
