"""Messages that one read brings before one whose content header cannot be read were lost with it."""

import pytest

from protocol.errors import FrameError
from protocol.frames import FrameReader
from tests.protocol.octets import content_frames, publish_frame, short
from tests.protocol.test_keyed_runs import FRAME_MAX, MAX_MESSAGE, fed

BROKEN = b"\x04\x00" + b"\xff"  # A correlation id that is longer than its header.


@pytest.mark.parametrize("count", [1, 2, 5])
def test_those_before_it_are_published(count: int) -> None:
    headers = [b"\x04\x00" + short(b"x" * number) for number in range(count)]
    octets = b"".join(publish_frame() + content_frames(b"body", header) for header in [*headers, BROKEN])
    runs, error = fed(FrameReader(FRAME_MAX, MAX_MESSAGE), octets)
    assert isinstance(error, FrameError)
    assert [len(run.pieces) for run in runs] == [count]
