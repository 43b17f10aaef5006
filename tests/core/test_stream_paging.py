"""Streams that are longer than fits into memory: whoever reads their beginning gets the same messages as ever."""

from typing import Any

import pytest

from broker.core.messages import Stretch
from broker.core.queues import parked, stream_ahead
from broker.core.queues.stream import StreamQueue
from broker.core.unacked import Delivery, Unacked, spread
from protocol.tables import FieldTable
from tests.core.recording import RecordingChannel, new_consumer
from tests.core.test_backlog_paging import Deep, make_small, numbered


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    monkeypatch.setattr(stream_ahead, "FETCH_OCTETS", 300)
    monkeypatch.setattr(stream_ahead, "FETCH_SPANS", 3)
    monkeypatch.setattr(parked, "PAGE_OCTETS", 1500)


class LongStream(Deep):
    """A stream of ``count`` messages of which none that may leave memory is in it."""

    def __init__(self, count: int, *, is_logging: bool = True, **arguments: Any) -> None:
        super().__init__("stream", **arguments)
        self.context.residency.is_logging = is_logging
        for number, body in enumerate(numbered(count)):
            self.publish(body)
            if number % 7 == 3:
                self.enqueuer.ids.take(1)  # another queue has a message
        self.log.sync()
        self.park()

    @property
    def stream(self) -> StreamQueue:
        assert isinstance(self.queue, StreamQueue)
        return self.queue

    def park(self) -> None:
        self.context.residency.limit_octets = 0
        self.page_out()

    def read(
        self, *, offset: object = "first", prefetch: int = 1000, arguments: FieldTable | None = None
    ) -> list[bytes]:
        channel = RecordingChannel()
        consumer = new_consumer(self.queue, channel, "c", prefetch=prefetch)
        self.queue.unsubscribe(consumer)
        consumer.arguments = {"x-stream-offset": offset, **(arguments or {})}
        self.queue.subscribe(consumer)
        self.settle_down()
        self.queue.unsubscribe(consumer)
        return bodies(channel)


def bodies(channel: RecordingChannel) -> list[bytes]:
    return [stretch.shape.body(stretch.pieces[0]) for _, stretch in channel.unacked]


def test_parked_stream_keeps_ids_alone_and_is_read_from_its_beginning() -> None:
    deep = LongStream(200)
    assert deep.stream.resident_octets() == 0
    assert deep.log.pages.files == {}
    assert deep.read() == numbered(200)
    assert deep.read() == numbered(200)
    assert deep.read(offset=150) == numbered(200)[150:]
    assert deep.read(prefetch=20) == numbered(20)
    assert deep.context.residency.shelf_count == 0


def test_reader_goes_on_from_disk_to_memory() -> None:
    deep = LongStream(100)
    deep.publish(*[b"new%02d" % number for number in range(10)])
    deep.log.sync()
    assert deep.read() == numbered(100) + [b"new%02d" % number for number in range(10)]


def test_unlogged_stream_leaves_memory_for_page_files() -> None:
    deep = LongStream(100, is_logging=False)
    deep.settle_down()
    assert len(deep.log.pages.files) > 1
    assert deep.stream.resident_octets() == 0
    assert deep.read() == numbered(100)
    deep.queue.stop()
    assert deep.log.pages.files == {}


def test_what_cannot_be_read_back_is_passed_over() -> None:
    deep = LongStream(60)
    lost: list[int] = []
    deep.context.residency.on_lost = lambda queue, count: lost.append(count)
    ids = [
        message_id
        for stretch in [deep.stream.stream.read(place, 1) for place in range(60)]
        for message_id in stretch.ids
    ]
    deep.log.reading.lost = {ids[0], ids[30], ids[31], ids[59]}
    assert deep.read() == [body for place, body in enumerate(numbered(60)) if place not in (0, 30, 31, 59)]
    assert sum(lost) == 4


def test_whole_stream_lost_ends_the_reading() -> None:
    deep = LongStream(30)
    deep.log.reading.lost = set(deep.log.published)
    assert deep.read() == []


def test_filters_hold_for_what_is_read_back() -> None:
    deep = LongStream(30)
    assert deep.read(arguments={"x-stream-filter": "x"}) == []
    assert deep.read(arguments={"x-stream-filter": "x", "x-stream-match-unfiltered": True}) == numbered(30)


def test_stream_is_shortened_while_its_beginning_is_read() -> None:
    deep = LongStream(100, max_length_bytes=300, stream_max_segment_size_bytes=200)
    channel = RecordingChannel()
    consumer = new_consumer(deep.queue, channel, "c", prefetch=1000)
    deep.queue.unsubscribe(consumer)
    consumer.arguments = {"x-stream-offset": "first"}
    deep.queue.subscribe(consumer)
    deep.drain()
    first = deep.stream.stream.first_offset
    deep.publish(*[b"new%02d" % number for number in range(100)])
    deep.log.sync()
    assert deep.stream.stream.first_offset > first
    deep.settle_down()
    read = bodies(channel)
    assert read[-1] == b"new99"
    assert len(read) == len(set(read))
    kept = deep.stream.message_count
    assert read[-kept:] == [b"new%02d" % number for number in range(100)][-kept:]


def test_unacked_deliveries_of_a_stream_leave_memory_without_a_trace() -> None:
    deep = LongStream(50)
    unacked = Unacked()
    stretch = Stretch(deep.stream.stream.read(0, 1).shape, range(1, 51), [b"x" * 100] * 50)
    consumer = new_consumer(deep.queue, RecordingChannel(), "c", prefetch=5)
    unacked.add(Delivery(1, deep.queue, consumer, stretch))
    deep.queue.unacked_count = 50
    assert unacked.page_out(deep.context.residency, 1) > 0
    assert deep.log.pages.files == {}
    for delivery in spread(unacked.take_all()):
        deep.queue.requeue(delivery.stretch)
    assert deep.queue.unacked_count == 0
