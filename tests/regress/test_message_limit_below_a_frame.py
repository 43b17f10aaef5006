"""A limit for messages that was lower than the limit for frames held for bodies of several frames alone.

Bodies of one frame were cut as runs, and nobody looked at their sizes there.
"""

from pathlib import Path

import pytest
from pamqp import commands

from protocol.frames import FrameReader, OversizeContent
from protocol.runs import PublishRun
from tests.protocol.octets import message
from tests.server.wired import running_node

LIMIT = 100


@pytest.mark.parametrize("keys", [[b"q"], [b"a", b"b", b"c"]])
@pytest.mark.parametrize("chunk_octets", [1 << 20, 50])
def test_body_of_one_frame_over_the_limit_is_told_but_not_kept(keys: list[bytes], chunk_octets: int) -> None:
    reader = FrameReader(4096, LIMIT)
    sizes = [1, LIMIT, LIMIT + 1, LIMIT + 1, LIMIT, 2000, 1, 1]
    octets = b"".join(message(b"x" * size, keys[n % len(keys)]) for n, size in enumerate(sizes))
    found: list[int] = []
    for at in range(0, len(octets), chunk_octets):
        for event in reader.feed(octets[at : at + chunk_octets]):
            if isinstance(event, PublishRun):
                found += [event.shape.body_octets_of(piece) for piece in event.pieces]
            else:
                assert isinstance(event, OversizeContent)
                found.append(-event.body_octets)
    assert found == [size if size <= LIMIT else -size for size in sizes]


def test_message_over_the_limit_closes_its_channel(tmp_path: Path) -> None:
    with running_node(tmp_path, max_message_octets=LIMIT) as node:
        client = node.connect()
        client.declare("q")
        client.feed(message(b"x" * LIMIT) * 2 + message(b"x" * (LIMIT + 1)))
        (close,) = client.received()
        assert isinstance(close, commands.Channel.Close)
        assert close.reply_code == 406
        assert node.broker.vhosts["/"].queues["q"].message_count == 2
