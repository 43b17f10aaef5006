"""lavinmq#1759: when a segment's messages were published was not kept, so that after a restart all of a stream with a
max-age was too old, and dropped.
"""

from pathlib import Path

from pamqp import commands

from broker.core.queues.stream import StreamQueue
from broker.server.clock import ManualClock
from tests.protocol.octets import message
from tests.server.wired import Node, running_node

STREAM = {"x-queue-type": "stream", "x-max-age": "1h", "x-stream-max-segment-size-bytes": 500}
HOUR_MS = 3_600_000
BODY = bytes(200)


def published(node: Node, count: int) -> None:
    client = node.connect()
    client.send(commands.Queue.Declare, queue="s", durable=True, arguments=STREAM)
    for _ in range(count):
        client.feed(message(BODY, b"s"))
        node.settle()


def stream_of(node: Node) -> StreamQueue:
    (queue,) = node.broker.vhosts["/"].queues.values()
    assert isinstance(queue, StreamQueue)
    return queue


def test_young_segments_are_all_there_after_restarts_and_old_ones_go_at_their_time(tmp_path: Path) -> None:
    """Two restarts, the second one after messages were copied forward by neither; time goes on in between."""
    clock = ManualClock()
    with running_node(tmp_path / "data", clock=clock) as node:
        published(node, 9)
        assert stream_of(node).stream.segment_count > 2
    clock.advance(HOUR_MS // 2)
    with running_node(tmp_path / "data", clock=clock) as node:
        assert stream_of(node).message_count == 9
        published(node, 9)
        assert stream_of(node).message_count == 18
    clock.advance(HOUR_MS // 4)
    with running_node(tmp_path / "data", clock=clock) as node:
        assert stream_of(node).message_count == 18
        clock.advance(HOUR_MS // 2)  # the first nine are older than an hour now, the others are not
        published(node, 9)
        left = stream_of(node).message_count
        assert 18 <= left < 18 + 9
        assert stream_of(node).stream.first_offset == 27 - left
