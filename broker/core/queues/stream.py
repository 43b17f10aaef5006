"""The stream: messages are appended and stay; consumers read them, each at its own pace, by offset.

An ack settles nothing: it lets the consumer have more. A message can be read once it is on disk, so that an offset
that somebody has seen means the same message forever. RabbitMQ: Streams.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from broker.core.consumer_arguments import STREAM_OFFSET, check_consumer_arguments
from broker.core.consumers import Consumer
from broker.core.definitions import queue_definition
from broker.core.messages import Stretch
from broker.core.names import queue_text
from broker.core.queues.classic import DRAIN_LIMIT, ClassicQueue
from broker.core.queues.context import QueueContext
from broker.core.queues.offsets import OffsetHeaders
from broker.core.queues.parked import PageFiller
from broker.core.queues.rules import QueueRules
from broker.core.queues.stream_ahead import ReadAhead
from broker.core.queues.stream_log import DEFAULT_SEGMENT_OCTETS, StreamLog
from broker.core.queues.stream_reader import StreamReader, check_offset, filter_of, first_position, seconds_of
from broker.core.residency import Residency
from protocol.errors import NotImplementedFault, PreconditionFailed

READ_LIMIT: Final = 1024
"""Messages that one consumer gets before the next has its turn."""


class StreamQueue(ClassicQueue):
    """A queue declared with x-queue-type "stream"; ``message_count`` counts what is kept.

    ``stream`` holds the messages; those under ``_durable_offset`` are on disk.
    """

    __slots__ = (
        "_durable_offset",
        "_first_id",
        "_headers",
        "_max_age_ms",
        "_max_octets",
        "_readers",
        "_unsynced",
        "stream",
    )

    def __init__(
        self,
        name: str,
        vhost_name: str,
        queue_id: int,
        *,
        durable: bool,
        exclusive_owner: object | None,
        auto_delete: bool,
        arguments: dict[str, Any],
        context: QueueContext,
    ) -> None:
        self.stream = StreamLog()
        self._durable_offset = 0
        self._first_id = 0
        self._headers = OffsetHeaders()
        self._readers: dict[Consumer, StreamReader] = {}
        self._unsynced: deque[tuple[int, int]] = deque()
        super().__init__(
            name,
            vhost_name,
            queue_id,
            durable=durable,
            exclusive_owner=exclusive_owner,
            auto_delete=auto_delete,
            arguments=arguments,
            context=context,
        )

    def set_rules(self, rules: QueueRules) -> None:
        """Keep other limits from now on; they show when the next segment begins, as in RabbitMQ."""
        self.rules = rules
        self.stream.segment_octets = DEFAULT_SEGMENT_OCTETS if rules.segment_octets is None else rules.segment_octets
        self._max_octets = rules.max_length_octets
        seconds = seconds_of(rules.max_age) if rules.max_age is not None else None
        self._max_age_ms = None if seconds is None else seconds * 1000

    gives_back = False

    @property
    def keeps_transient(self) -> bool:
        """Whether it keeps messages that were not published as persistent, too: yes."""
        return True

    # In

    def publish(self, stretch: Stretch) -> None:
        """Append ``stretch``, which is in the log already; it can be read when the log has it on disk."""
        if stretch.ids.start < self._first_id:
            # A crash took the message that it was to begin with, and its id with it: it begins with this one.
            self._first_id = stretch.ids.start
            self._define()
        self._append(stretch, self.context.clock.wall_ms())
        log = self.context.log
        if self._unsynced and self._unsynced[-1][0] == log.ticket:
            self._unsynced[-1] = (log.ticket, self.stream.next_offset)
        else:
            self._unsynced.append((log.promise(self._synced), self.stream.next_offset))

    def restore(self, stretch: Stretch, age_ms: int, return_count: int = 0) -> None:
        """Append a stretch that the log gave back at start, published ``age_ms`` ago."""
        if stretch.ids.start < self._first_id:
            # Its definition went to disk as shortened, and the crash came before the same was in the log.
            old = stretch.part(0, self._first_id - stretch.ids.start)
            self.context.log.settle(self.id, old.ids)
            if len(old.pieces) == len(stretch.pieces):
                return
            stretch = stretch.part(len(old.pieces), len(stretch.pieces))
        self._append(stretch, self.context.clock.wall_ms() - age_ms)
        self._durable_offset = self.stream.next_offset

    def _append(self, stretch: Stretch, wall_ms: int) -> None:
        segment_count = self.stream.segment_count
        self.stream.append(stretch, wall_ms)
        self.message_count += len(stretch.pieces)
        if self.stream.segment_count > segment_count:
            self._trim()

    def _trim(self) -> None:
        """Forget segments over the limits; from where it is kept is told before what is gone is settled."""
        oldest_ms = None if self._max_age_ms is None else self.context.clock.wall_ms() - self._max_age_ms
        forgotten = self.stream.trim(self._max_octets, oldest_ms)
        if not forgotten:
            return
        self._first_id = self.stream.first_id
        self._define()
        for ids in forgotten:
            self.message_count -= len(ids)
            self.context.log.settle(self.id, ids)

    def _define(self) -> None:
        self.context.define(("queue", self.vhost_name, self.name), queue_definition(self))

    def _synced(self, ticket: int) -> None:
        """All that was appended up to ``ticket`` is on disk."""
        while self._unsynced and self._unsynced[0][0] <= ticket:
            self._durable_offset = self._unsynced.popleft()[1]
        if self._readers and not self.is_deleted:
            self.touch()

    def definition_fields(self) -> dict[str, int]:
        """Return where it begins, once that is not at the start: id and offset of its first message."""
        return {"first_id": self._first_id, "first_offset": self.stream.first_offset} if self._first_id else {}

    def restore_fields(self, fields: Mapping[str, Any]) -> None:
        """Take back what ``definition_fields`` gave, before any message is restored."""
        self._first_id = fields.get("first_id", 0)
        self.stream.begin_at(fields.get("first_offset", 0))
        self._durable_offset = self.stream.next_offset

    # What leaves memory

    def resident_octets(self) -> int:
        """As ``ClassicQueue.resident_octets``."""
        return self.stream.resident_octets

    def page_out(self, residency: Residency, octets: int) -> int:
        """Let about ``octets`` leave memory, the oldest first; return how many did."""
        assert residency.store is not None
        durable_id = residency.store.durable_message_id
        if residency.is_logging:
            return self.stream.page_out(octets, lambda stretch: stretch.ids[-1] < durable_id, lambda stretch: None)
        filler = PageFiller(residency)
        paged_octets = self.stream.page_out(octets, lambda stretch: True, filler.add)
        filler.finish()
        return paged_octets

    # Out

    def drain(self) -> None:
        """Deliver what consumers have credit for, some messages each in turn."""
        self.is_touched = False
        budget = DRAIN_LIMIT
        waiting = deque(self._readers)
        while waiting:
            consumer = waiting.popleft()
            reader = self._readers[consumer]
            budget -= self._read(consumer, reader)
            if not self._can_read(consumer, reader):
                continue
            if budget <= 0:
                self.touch()
                break
            waiting.append(consumer)

    def _can_read(self, consumer: Consumer, reader: StreamReader) -> bool:
        is_waiting = reader.ahead is not None and reader.ahead.is_waiting
        return reader.position < self._durable_offset and consumer.limit() > 0 and not is_waiting

    def _read(self, consumer: Consumer, reader: StreamReader) -> int:
        """Deliver the next messages to ``consumer``, from one stretch; return how many were looked at."""
        if not self._can_read(consumer, reader):
            return 0
        position = max(reader.position, self.stream.first_offset)
        limit = min(consumer.limit(), READ_LIMIT)
        read_limit = min(READ_LIMIT if reader.filter is not None else limit, self._durable_offset - position)
        if position >= self.stream.memory_offset:
            stretch = self.stream.read(position, read_limit)
            if reader.ahead is not None:
                reader.ahead.close()
                reader.ahead = None
        else:
            if reader.ahead is None:
                reader.ahead = ReadAhead(self)
            position, found = reader.ahead.take(position, read_limit)
            if found is None:
                reader.position = position
                return 0
            stretch = found
        count = len(stretch.pieces)
        if reader.filter is None:
            self._send(consumer, self._headers.with_offsets(stretch, range(position, position + count)))
        else:
            places = reader.filter.places(stretch)
            if len(places) > limit:
                count = places[limit]
                places = places[:limit]
            for place in places:
                offset = position + place
                one = self._headers.with_offsets(stretch.part(place, place + 1), range(offset, offset + 1))
                self._send(consumer, one)
        reader.position = position + count
        return count

    def _send(self, consumer: Consumer, stretch: Stretch) -> None:
        self.unacked_count += len(stretch.pieces)
        consumer.sink.deliver(consumer, stretch)

    def settle(self, stretch: Stretch) -> None:
        """Forget deliveries; their messages stay."""
        self.unacked_count -= len(stretch.ids)

    def requeue(self, stretch: Stretch) -> None:
        """Forget deliveries; as in RabbitMQ 4, a consumer that refuses a message goes on behind it."""
        self.settle(stretch)

    def reject(self, stretch: Stretch, *, at_once: bool = False) -> None:
        """Forget deliveries, as ``requeue``."""
        self.settle(stretch)

    # Consumers

    def check_consumer(self, consumer: Consumer, global_prefetch: int) -> None:
        """Refuse a consumer without a prefetch or with an unknown offset (406), or without acks (540)."""
        place = queue_text(self.name, self.vhost_name)
        check_consumer_arguments(place, "rabbit_stream_queue", consumer.arguments)
        if consumer.no_ack:
            raise NotImplementedFault(f"automatic acknowledgement not supported by stream queues {place}")
        if not consumer.prefetch:
            raise PreconditionFailed(f"consumer prefetch count is not set for '{place}'")
        if global_prefetch:
            raise NotImplementedFault(f"{place} does not support global qos")
        check_offset(place, consumer.arguments.get(STREAM_OFFSET, "next"))
        filter_of(place, consumer.arguments)

    def subscribe(self, consumer: Consumer) -> None:
        """Add ``consumer``, to begin where it asks."""
        arguments = consumer.arguments
        wanted = filter_of(queue_text(self.name, self.vhost_name), arguments)
        start = first_position(self.stream, arguments.get(STREAM_OFFSET, "next"), self.context.clock.wall_ms())
        self._readers[consumer] = StreamReader(start, wanted)
        self.line.consumers[consumer] = None
        self.consumer_ready(consumer)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Remove ``consumer``."""
        reader = self._readers.pop(consumer, None)
        if reader is not None and reader.ahead is not None:
            reader.ahead.close()
        self.line.consumers.pop(consumer, None)

    def consumer_ready(self, consumer: Consumer) -> None:
        """Go on delivering to ``consumer``, if it may take messages and there are some."""
        reader = self._readers.get(consumer)
        if reader is not None and self._can_read(consumer, reader):
            self.touch()

    # What it refuses

    def get(self) -> Stretch | None:
        """Refuse (540): a stream has no head to take from."""
        place = queue_text(self.name, self.vhost_name)
        raise NotImplementedFault(f"basic.get not supported by stream queues {place}")

    def purge(self) -> int:
        """Refuse (540)."""
        place = queue_text(self.name, self.vhost_name)
        raise NotImplementedFault(f"queue.purge not supported by stream queues {place}")

    def check_delete(self, *, if_unused: bool, if_empty: bool) -> None:
        """Let it be deleted: as in RabbitMQ, both conditions count for nothing."""

    # Life

    def _forget_ready(self) -> None:
        self.stream.clear()
        for reader in self._readers.values():
            if reader.ahead is not None:
                reader.ahead.close()
        self._readers.clear()
        self.message_count = 0
