"""A stream's messages that had left memory became one place across the end of a segment; when the older segment was
forgotten, the first of the newer one went with it."""

from broker.core.messages import Stretch
from broker.core.queues.stream_log import StreamLog
from tests.core.recording import TRANSIENT_SHAPE


def test_only_the_segments_own_messages_go_with_it() -> None:
    log = StreamLog(segment_octets=1)
    log.append(Stretch(TRANSIENT_SHAPE, range(1, 4), [b"a", b"b", b"c"]), 1000)
    assert log.segment_count == 3
    log.page_out(1_000_000, lambda stretch: True, lambda stretch: None)
    forgotten = [message_id for ids in log.trim(0, None) for message_id in ids]
    assert forgotten == [1, 2]
    assert log.first_offset == 2
    assert list(log.read(2, 10).ids) == [3]
