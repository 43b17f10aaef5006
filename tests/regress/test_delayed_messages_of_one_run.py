"""Delayed messages of one run whose headers differ went on one by one, but those that had left memory meanwhile came
back joined: of each such group the first went on, and the others were lost.
"""

from broker.core.publish.enqueue import Route
from protocol.frames import FrameReader
from protocol.headers import with_headers
from protocol.runs import PublishRun
from tests.core.test_delays_paging import Delays
from tests.protocol.octets import message


def test_each_of_a_run_goes_on_after_it_left_memory() -> None:
    delays = Delays()
    bodies = [b"x" * (100 + size) for size in range(12)]
    octets = b""
    for body in bodies:
        plain = message(body, key=b"k", properties=b"\x10\x00\x01")
        (run,) = FrameReader(131072, 1 << 27).feed(plain)
        assert isinstance(run, PublishRun)
        headed = with_headers(run.shape.header_payload(run.pieces[0]), {"x-delay": 5000})
        octets += message(body, key=b"k", properties=headed[12:])
    (run,) = FrameReader(131072, 1 << 27).feed(octets)
    assert isinstance(run, PublishRun)
    assert not run.shape.lead, "headers that differ"
    for piece in run.pieces:
        delays.enqueuer.enqueue(Route([delays.waiting], 1), run.shape, [piece])
    delays.waiting.page_out(delays.context.residency, 1 << 20)
    while delays.log.answer():
        pass
    assert delays.waiting.resident_octets() == 0, "all have left memory"
    delays.pass_time(10_000)
    assert [body for _, body in delays.gone] == bodies
    assert delays.waiting.message_count == 0
