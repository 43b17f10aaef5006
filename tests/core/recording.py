"""Stand-ins for what stands around a queue: a channel that remembers deliveries, a log that remembers calls."""

from collections.abc import Callable, Sequence

from broker.core.consumers import UNLIMITED, Consumer
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.context import QueueContext
from broker.server.clock import Clock, ManualClock
from protocol.content import PLAIN_PERSISTENT, PLAIN_TRANSIENT, Shape, address_of

TRANSIENT_SHAPE = Shape("", "q", address_of("", "q"), 1, 131072, PLAIN_TRANSIENT)
PERSISTENT_SHAPE = Shape("", "q", address_of("", "q"), 1, 131072, PLAIN_PERSISTENT)


class RecordingChannel:
    """Takes deliveries as a channel does; ``taken`` holds (consumer tag, message id, redelivered)."""

    def __init__(self) -> None:
        self.can_deliver = True
        self.shared_credit = UNLIMITED
        self.taken: list[tuple[str, int, bool]] = []
        self.unacked: list[tuple[Consumer | None, Stretch]] = []
        self.cancelled: list[str] = []

    def deliver(self, consumer: Consumer, stretch: Stretch) -> None:
        self.taken += [(consumer.tag, message_id, stretch.redelivered) for message_id in stretch.ids]
        if not consumer.no_ack:
            self.unacked += [(consumer, stretch.part(place, place + 1)) for place in range(len(stretch.pieces))]
            if consumer.prefetch:
                consumer.credit -= len(stretch.pieces)

    def deliver_each(self, handed: Sequence[tuple[Consumer, Stretch]], each_octets: int) -> None:
        for consumer, stretch in handed:
            self.deliver(consumer, stretch)

    def deliver_in_turn(self, consumers: Sequence[Consumer], stretch: Stretch) -> None:
        for place in range(len(stretch.pieces)):
            self.deliver(consumers[place % len(consumers)], stretch.part(place, place + 1))

    def consumer_cancelled(self, consumer: Consumer) -> None:
        self.cancelled.append(consumer.tag)

    def ids_of(self, tag: str) -> list[int]:
        return [message_id for by, message_id, _ in self.taken if by == tag]


class RecordingLog:
    """A log that keeps what it is told, message by message."""

    def __init__(self) -> None:
        self.published: list[int] = []
        self.settled: list[int] = []
        self.delivered_upto = 0
        self.deleted: list[int] = []
        self.return_counts: dict[int, int] = {}
        self.promised: list[Callable[[int], None]] = []

    def publish(self, queue_ids: Sequence[int], ids: range, envelope: bytes, pieces: list[bytes]) -> None:
        self.published += ids

    def settle(self, queue_id: int, ids: range) -> None:
        self.settled += ids

    def delivered(self, queue_id: int, upto: int) -> None:
        self.delivered_upto = upto

    def returned(self, queue_id: int, ids: range, return_count: int) -> None:
        self.return_counts.update(dict.fromkeys(ids, return_count))

    @property
    def ticket(self) -> int:
        return 1

    def promise(self, callback: Callable[[int], None]) -> int:
        self.promised.append(callback)
        return 1

    def sync(self) -> None:
        """All that was appended is on disk now."""
        promised, self.promised = self.promised, []
        for callback in promised:
            callback(1)

    def delete_queue(self, queue_id: int) -> None:
        self.deleted.append(queue_id)


def new_context(log: RecordingLog, clock: Clock | None = None) -> QueueContext:
    return QueueContext(
        log, clock or ManualClock(), [], lambda *death: None, lambda queue: None, lambda key, value: None
    )


def new_queue(log: RecordingLog | None = None) -> ClassicQueue:
    return ClassicQueue(
        "q",
        "/",
        7,
        durable=log is not None,
        exclusive_owner=None,
        auto_delete=False,
        arguments={},
        context=new_context(log or RecordingLog()),
    )


def new_consumer(
    queue: ClassicQueue, channel: RecordingChannel, tag: str, *, prefetch: int = 0, no_ack: bool = False
) -> Consumer:
    consumer = Consumer(tag, queue, channel, no_ack=no_ack, exclusive=False, prefetch=prefetch, arguments={})
    queue.subscribe(consumer)
    return consumer


def stretch_of(first: int, count: int, *, persistent: bool = False) -> Stretch:
    shape = PERSISTENT_SHAPE if persistent else TRANSIENT_SHAPE
    return Stretch(shape, range(first, first + count), [b"%d" % n for n in range(first, first + count)])
