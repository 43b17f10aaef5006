"""StreamQueue: offsets, positions, credit, retention by segments, filters, and what a restart leaves."""

from dataclasses import replace
from typing import Any

import pytest

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.queues.stream import StreamQueue
from protocol.errors import NotImplementedFault, PreconditionFailed
from protocol.headers import decode_headers
from protocol.tables import FieldTable, Timestamp, encode_table
from tests.core.node import OWNER, Node, bodies_in
from tests.core.recording import RecordingChannel
from tests.core.topology import refused

PLACE = "queue 'q' in vhost '/'"


def stream(node: Node, **arguments: object) -> StreamQueue:
    queue = node.declare("q", queue_type="stream", **arguments)
    assert isinstance(queue, StreamQueue)
    return queue


def publish(node: Node, *bodies: bytes, properties: bytes = b"\x00\x00") -> None:
    """Publish, and let it come to disk."""
    node.publish(*bodies, properties=properties)
    node.log.sync()
    node.drain()


def new_reader(queue: StreamQueue, prefetch: int = 100, **arguments: object) -> Consumer:
    table: FieldTable = {"x-stream-" + key.replace("_", "-"): value for key, value in arguments.items()}
    channel = RecordingChannel()
    consumer = Consumer("c", queue, channel, no_ack=False, exclusive=False, prefetch=prefetch, arguments=table)
    queue.check_consumer(consumer, 0)
    return consumer


def consume(node: Node, queue: StreamQueue, prefetch: int = 100, **arguments: object) -> Consumer:
    consumer = new_reader(queue, prefetch, **arguments)
    queue.subscribe(consumer)
    node.drain()
    return consumer


def got(consumer: Consumer) -> list[tuple[int, bytes]]:
    """Offset and body of what was delivered so far."""
    found = []
    for _, stretch in consumer.sink.unacked:  # type: ignore[attr-defined]
        (body,) = bodies_in(stretch)
        found.append((decode_headers(stretch.shape.header_payload(stretch.pieces[0]))["x-stream-offset"], body))
    return found


def ack(node: Node, consumer: Consumer, count: int) -> None:
    for _ in range(count):
        consumer.queue.settle(consumer.sink.unacked.pop(0)[1])  # type: ignore[attr-defined]
    consumer.settled(count)
    node.drain()


def numbered(first: int, stop: int) -> list[tuple[int, bytes]]:
    return [(n, b"%d" % n) for n in range(first, stop)]


def bodies(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


def test_every_reader_sees_every_message() -> None:
    node = Node()
    queue = stream(node)
    readers = [consume(node, queue, offset="first") for _ in range(2)]
    publish(node, *bodies(5))
    readers.append(consume(node, queue, offset="first"))
    assert [got(reader) for reader in readers] == [numbered(0, 5)] * 3
    assert queue.message_count == 5


@pytest.mark.parametrize(
    ("offset", "first"),
    [("first", 0), (0, 0), (2, 2), (-1, 0), ("next", 4), ("last", 3), (4, 4), (Timestamp(0), 0), ("1h", 0)],
)
def test_reader_begins_where_it_asks(offset: object, first: int) -> None:
    node = Node()
    queue = stream(node)
    publish(node, *bodies(3))
    publish(node, b"3")
    reader = consume(node, queue, offset=offset)
    publish(node, b"4")
    assert got(reader) == numbered(first, 5)


def test_reader_without_an_offset_sees_what_comes() -> None:
    node = Node()
    queue = stream(node)
    publish(node, b"0")
    reader = consume(node, queue)
    publish(node, b"1")
    assert got(reader) == [(1, b"1")]


def test_future_offset_waits_for_its_message() -> None:
    node = Node()
    queue = stream(node)
    reader = consume(node, queue, offset=3)
    publish(node, *bodies(5))
    assert got(reader) == numbered(3, 5)


def test_times_and_intervals_find_what_was_published_since() -> None:
    node = Node()
    queue = stream(node)
    publish(node, b"0")
    node.clock.advance(60_000)
    publish(node, b"1")
    now_s = node.clock.wall_ms() // 1000
    starts = {"30s": 1, "2m": 0, "1Y": 0, Timestamp(now_s): 1, Timestamp(now_s - 61): 0, Timestamp(now_s + 9): 2}
    for offset, first in starts.items():
        assert got(consume(node, queue, offset=offset)) == numbered(first, 2), offset
    node.clock.advance(5_000)
    assert got(consume(node, queue, offset="1s")) == []


@pytest.mark.parametrize(
    ("offset", "shown"),
    [("1x", 'longstr,<<"1x">>'), ("", 'longstr,<<"">>'), ("0h", 'longstr,<<"0h">>'), (True, "bool,true")],
)
def test_offset_that_means_nothing_is_refused(offset: object, shown: str) -> None:
    text = f"invalid arg 'x-stream-offset' for {PLACE}: {{invalid_stream_offset_arg,{{{shown}}}}}"
    refused(PreconditionFailed, text, new_reader, stream(Node()), offset=offset)


def test_acks_are_credit() -> None:
    node = Node()
    queue = stream(node)
    publish(node, *bodies(10))
    reader = consume(node, queue, prefetch=2, offset="first")
    assert got(reader) == numbered(0, 2)
    ack(node, reader, 1)
    assert got(reader) == numbered(1, 3)
    ack(node, reader, 2)
    assert got(reader) == numbered(3, 5)
    assert queue.unacked_count == 2


def test_requeue_and_reject_move_nothing() -> None:
    node = Node()
    queue = stream(node)
    publish(node, *bodies(3))
    reader = consume(node, queue, offset="first", prefetch=2)
    for settle in (queue.requeue, queue.reject):
        settle(reader.sink.unacked.pop(0)[1])  # type: ignore[attr-defined]
        reader.settled(1)
    node.drain()
    assert got(reader) == [(2, b"2")]
    assert (queue.message_count, node.log.settled) == (3, [])


def test_message_is_read_once_it_is_on_disk() -> None:
    node = Node()
    queue = stream(node)
    reader = consume(node, queue)
    node.publish(b"0")
    assert got(reader) == []
    node.log.sync()
    node.drain()
    assert got(reader) == [(0, b"0")]


def test_congested_reader_goes_on_when_its_channel_does() -> None:
    node = Node()
    queue = stream(node)
    reader = consume(node, queue)
    channel: Any = reader.sink
    channel.can_deliver = False
    publish(node, b"0")
    assert got(reader) == []
    channel.can_deliver = True
    queue.consumer_ready(reader)
    node.drain()
    assert got(reader) == [(0, b"0")]


def test_offset_stands_beside_the_publishers_headers() -> None:
    node = Node()
    queue = stream(node)
    tables = [{"a": n, "x-stream-offset": "mine"} for n in range(3)]
    for table in tables:
        publish(node, b"x", properties=b"\x20\x00" + encode_table(table))
    reader = consume(node, queue, offset="first")
    found = [
        decode_headers(stretch.shape.header_payload(stretch.pieces[0]))
        for _, stretch in reader.sink.unacked  # type: ignore[attr-defined]
    ]
    assert found == [{"a": n, "x-stream-offset": n} for n in range(3)]


def test_run_of_one_header_keeps_its_other_properties() -> None:
    node = Node()
    queue = stream(node)
    # Content type before, message id behind the headers; the id holds what the offset's header looks like.
    trap = b"\x0fx-stream-offsetl" + bytes(8)
    properties = b"\xa0\x80" + b"\x01t" + encode_table({"h": 1}) + bytes((len(trap),)) + trap
    publish(node, *[b"same size"] * 20, properties=properties)
    reader = consume(node, queue, offset="first")
    assert got(reader) == [(n, b"same size") for n in range(20)]
    payloads = [
        stretch.shape.header_payload(stretch.pieces[0])
        for _, stretch in reader.sink.unacked  # type: ignore[attr-defined]
    ]
    assert all(payload.endswith(trap) and b"\x01t" in payload for payload in payloads)


def test_expiration_of_a_message_means_nothing() -> None:
    node = Node()
    queue = stream(node)
    publish(node, b"x", properties=b"\x01\x00" + b"\x011")
    node.clock.advance(1000)
    assert got(consume(node, queue, offset="first")) == [(0, b"x")]


# Retention


def test_oldest_segments_go_when_there_are_too_many_octets() -> None:
    node = Node()
    queue = stream(node, max_length_bytes=2500, stream_max_segment_size_bytes=1000)
    for _ in range(10):
        publish(node, *[bytes(250)] * 4)
    assert queue.stream.first_offset > 0
    kept = got(consume(node, queue, offset="first"))
    assert [offset for offset, _ in kept] == list(range(queue.stream.first_offset, 40))
    assert queue.message_count == len(kept)
    assert node.log.settled == list(range(1, 41 - len(kept)))
    assert 1000 <= sum(len(body) for _, body in kept) <= 3500


def test_a_segment_is_always_kept() -> None:
    node = Node()
    queue = stream(node, max_length_bytes=0)
    publish(node, *bodies(100))
    assert queue.message_count == 100


def test_old_segments_go_as_new_ones_begin() -> None:
    node = Node()
    queue = stream(node, max_age="1m", stream_max_segment_size_bytes=100)
    publish(node, bytes(100))
    publish(node, bytes(100))
    node.clock.advance(61_000)
    assert queue.message_count == 2
    publish(node, bytes(100))
    assert (queue.message_count, queue.stream.first_offset) == (1, 2)


def test_reader_behind_the_first_segment_goes_on_at_it() -> None:
    node = Node()
    queue = stream(node, max_length_bytes=100, stream_max_segment_size_bytes=100)
    publish(node, bytes(100))
    reader = consume(node, queue, prefetch=1, offset="first")
    for _ in range(4):
        publish(node, bytes(100))
    ack(node, reader, 1)
    assert [offset for offset, _ in got(reader)] == [4]


def test_one_run_fills_many_segments() -> None:
    node = Node()
    queue = stream(node, stream_max_segment_size_bytes=500)
    publish(node, *[bytes(100)] * 50)
    assert queue.stream.segment_count > 5
    assert [offset for offset, _ in got(consume(node, queue, offset="first"))] == list(range(50))


def test_changed_rules_hold_from_the_next_segment_on() -> None:
    node = Node()
    queue = stream(node, stream_max_segment_size_bytes=100)
    publish(node, *[bytes(100)] * 5)
    queue.set_rules(replace(queue.rules, max_length_octets=300))
    assert queue.message_count == 5
    publish(node, bytes(100))
    assert queue.message_count == 2


# Filters


def filtered(value: str | None) -> bytes:
    return b"\x20\x00" + encode_table({} if value is None else {"x-stream-filter-value": value})


@pytest.mark.parametrize(
    ("wanted", "unfiltered", "offsets"),
    [
        ("a", None, [0, 3]),
        (["a", "b"], None, [0, 1, 3]),
        ("a", True, [0, 2, 3]),
        ("none", None, []),
        ([], True, [2]),
    ],
)
def test_filter_lets_its_values_pass(wanted: object, unfiltered: object, offsets: list[int]) -> None:
    node = Node()
    queue = stream(node)
    arguments = {"offset": "first", "filter": wanted}
    if unfiltered is not None:
        arguments["match_unfiltered"] = unfiltered
    reader = consume(node, queue, prefetch=1, **arguments)
    for value in ("a", "b", None, "a"):
        publish(node, b"x", properties=filtered(value))
    found: list[int] = []
    while seen := got(reader):
        found += [offset for offset, _ in seen]
        ack(node, reader, len(seen))
    assert found == offsets


def test_filter_spends_no_credit_on_what_it_passes_over() -> None:
    node = Node()
    queue = stream(node)
    publish(node, *[b"x"] * 3000, properties=filtered("other"))
    publish(node, *[b"y"] * 5, properties=filtered("mine"))
    reader = consume(node, queue, prefetch=2, offset="first", filter="mine")
    assert [offset for offset, _ in got(reader)] == [3000, 3001]


# A restart


def restored(node: Node, queue: StreamQueue, kept: list[Stretch]) -> StreamQueue:
    """A queue as it is after a restart: with the definition that was written last, and what the log has."""
    again_node = Node()
    again = stream(
        again_node,
        **{key[2:].replace("-", "_"): value for key, value in queue.arguments.items() if key != "x-queue-type"},
    )
    again.restore_fields(queue.definition_fields())
    for stretch in kept:
        again.restore(stretch, 0)
    return again


def test_offsets_go_on_after_a_restart() -> None:
    node = Node()
    queue = stream(node, max_length_bytes=300, stream_max_segment_size_bytes=100)
    for _ in range(7):
        publish(node, bytes(100))
    first = queue.stream.first_offset
    assert first > 0
    assert node.journal[("queue", "/", "q")]["first_offset"] == first  # type: ignore[index, call-overload]
    kept = [queue.stream.read(offset, 1) for offset in range(first, 7)]
    again = restored(node, queue, kept)
    assert (again.stream.first_offset, again.stream.next_offset) == (first, 7)
    reader = new_reader(again, offset="first")
    again.subscribe(reader)
    again.drain()
    assert [offset for offset, _ in got(reader)] == list(range(first, 7))


def test_messages_that_were_to_go_are_settled_after_a_crash() -> None:
    node = Node()
    queue = stream(node, max_length_bytes=300, stream_max_segment_size_bytes=100)
    everything = []
    for _ in range(7):
        publish(node, bytes(100))
        everything.append(queue.stream.read(queue.stream.next_offset - 1, 1))
    again = restored(node, queue, everything)
    assert (again.stream.first_offset, again.stream.next_offset) == (queue.stream.first_offset, 7)


def test_stream_that_lost_its_first_message_in_a_crash_begins_with_the_next() -> None:
    node = Node()
    queue = stream(node)
    # The definition came to disk, the messages from id 9 on did not; ids are given out again from 1 on.
    queue.restore_fields({"first_id": 9, "first_offset": 5})
    publish(node, b"5", b"6")
    definition = node.journal[("queue", "/", "q")]
    assert isinstance(definition, dict)
    assert (definition["first_id"], definition["first_offset"]) == (1, 5)
    kept = [queue.stream.read(offset, 1) for offset in (5, 6)]
    again = restored(node, queue, kept)
    assert (again.stream.first_offset, again.message_count) == (5, 2)


# What it refuses


def test_get_and_purge_are_refused() -> None:
    queue = stream(Node())
    refused(NotImplementedFault, f"basic.get not supported by stream queues {PLACE}", queue.get)
    refused(NotImplementedFault, f"queue.purge not supported by stream queues {PLACE}", queue.purge)


def test_consumers_need_a_prefetch_of_their_own_and_acks() -> None:
    queue = stream(Node())
    for no_ack, prefetch, shared, kind, text in (
        (True, 1, 0, NotImplementedFault, f"automatic acknowledgement not supported by stream queues {PLACE}"),
        (False, 0, 0, PreconditionFailed, f"consumer prefetch count is not set for '{PLACE}'"),
        (False, 1, 1, NotImplementedFault, f"{PLACE} does not support global qos"),
    ):
        consumer = Consumer(
            "c", queue, RecordingChannel(), no_ack=no_ack, exclusive=False, prefetch=prefetch, arguments={}
        )
        refused(kind, text, queue.check_consumer, consumer, shared)


@pytest.mark.parametrize("argument", ["x-message-ttl", "x-max-length", "x-dead-letter-exchange", "x-expires"])
def test_arguments_of_other_kinds_are_refused(argument: str) -> None:
    node = Node()
    value = "dlx" if argument == "x-dead-letter-exchange" else 1
    arguments = {"x-queue-type": "stream", argument: value}
    text = f"invalid arg '{argument}' for {PLACE} of queue type rabbit_stream_queue"
    declare = node.vhost.declare_queue
    refused(PreconditionFailed, text, declare, "q", owner=OWNER, durable=True, arguments=arguments)


def test_segment_over_3_gb_is_refused() -> None:
    node = Node()
    text = "Exceeded max value for x-stream-max-segment-size-bytes"
    arguments = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 3_000_000_001}
    declare = node.vhost.declare_queue
    refused(PreconditionFailed, text, declare, "q", owner=OWNER, durable=True, arguments=arguments)


def test_deleted_stream_forgets_readers_and_messages() -> None:
    node = Node()
    queue = stream(node)
    reader = consume(node, queue)
    node.publish(b"0")
    deleted = node.vhost.delete_queue("q", owner=OWNER, if_unused=True, if_empty=True)
    assert deleted.consumers == [reader]
    node.log.sync()
    node.drain()
    assert got(reader) == []
    assert node.log.deleted == [queue.id]
