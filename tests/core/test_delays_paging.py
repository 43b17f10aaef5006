"""More delayed messages than fit into memory: each goes on in its millisecond all the same, in the order of times."""

from random import Random

import pytest

from broker.core import residency
from broker.core.exchanges import parked_delays, pending
from broker.core.exchanges.pending import DelayedMessages
from broker.core.messages import MessageIds, Stretch
from broker.core.publish.enqueue import Enqueuer, Route
from broker.server.clock import ManualClock
from protocol.content import Shape
from protocol.frames import FrameReader
from protocol.headers import with_headers
from protocol.runs import PublishRun
from tests.core.paging import PagingLog, paging_context
from tests.protocol.octets import message

STEP_MS = 50


class Delays:
    """What waits at one exchange; ``gone`` holds (time, body) of what went on."""

    def __init__(self, *, is_logging: bool = True) -> None:
        self.log = PagingLog()
        self.clock = ManualClock()
        self.context = paging_context(self.log, self.clock, 1000)
        self.context.residency.is_logging = is_logging
        self.enqueuer = Enqueuer(MessageIds(), self.log, self.clock)
        self.gone: list[tuple[int, bytes]] = []
        self.waiting = DelayedMessages("x", "/", 7, True, self.context, self._release)

    def _release(self, shape: Shape, stretch: Stretch) -> None:
        assert len(stretch.ids) == len(stretch.pieces)
        self.gone += [(self.clock.monotonic_ms(), shape.body(piece)) for piece in stretch.pieces]

    def publish(self, body: bytes, delay_ms: int, mode: int) -> int:
        """Returns when it is due."""
        plain = message(body, key=b"k", properties=b"\x10\x00" + bytes([mode]))
        run = next(iter(FrameReader(131072, 1 << 27).feed(plain)))
        assert isinstance(run, PublishRun)
        headed = with_headers(run.shape.header_payload(run.pieces[0]), {"x-delay": delay_ms})
        octets = message(body, key=b"k", properties=headed[12:])
        run = next(iter(FrameReader(131072, 1 << 27).feed(octets)))
        assert isinstance(run, PublishRun)
        self.enqueuer.enqueue(Route([self.waiting], 1), run.shape, run.pieces)
        return self.clock.monotonic_ms() + delay_ms

    def pass_time(self, lasting_ms: int) -> None:
        """A step at a time; what was asked of the disk is answered after each."""
        until_ms = self.clock.monotonic_ms() + lasting_ms
        while self.clock.monotonic_ms() < until_ms:
            self.clock.advance(STEP_MS)
            while self.log.answer():
                pass


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "LOOK_OCTETS", 0)
    monkeypatch.setattr(residency, "HEAD_OCTETS", 20_000)
    monkeypatch.setattr(residency, "HEAD_OCTETS_LEAST", 20_000)
    monkeypatch.setattr(parked_delays, "FETCH_OCTETS", 2000)
    monkeypatch.setattr(pending, "PAGE_OCTETS", 2000)


def fill(delays: Delays, count: int, *, modes: tuple[int, ...] = (1, 2)) -> list[tuple[int, bytes]]:
    """Publish with random delays, and let leave memory what may; return (due, body) in the order of the times."""
    source = Random(7)
    expected = []
    for number in range(count):
        body = b"%04d" % number
        delay_ms = source.choice([source.randint(100, 20_000), 5000, 15_000])
        expected.append((delays.publish(body, delay_ms, source.choice(modes)), number, body))
        if number % 20 == 19:
            delays.context.residency.relieve()
        if number % 50 == 49:
            delays.pass_time(STEP_MS)
    while delays.log.answer():
        pass
    return [(due_ms, body) for due_ms, _, body in sorted(expected)]


@pytest.mark.parametrize("is_logging", [True, False])
@pytest.mark.parametrize("modes", [(1,), (2,), (1, 2)])
def test_each_goes_on_in_its_millisecond_and_in_order(is_logging: bool, modes: tuple[int, ...]) -> None:
    delays = Delays(is_logging=is_logging)
    expected = fill(delays, 400, modes=modes)
    assert delays.waiting.resident_octets() < 60_000, "most of them have left memory"
    assert bool(delays.log.pages.files) == (not is_logging or 1 in modes)
    delays.pass_time(30_000)
    assert delays.gone == expected
    assert (delays.waiting.message_count, delays.waiting.resident_octets()) == (0, 0)
    assert delays.log.pages.files == {}
    assert sorted(delays.log.settled) == sorted(delays.log.published)


def test_slow_disk_keeps_the_order() -> None:
    delays = Delays()
    expected = fill(delays, 200)
    while len(delays.gone) < 200:
        delays.clock.advance(700)
        delays.log.answer()
        delays.clock.advance(1)
    # What is read late goes on late, and nobody goes before it.
    assert [body for _, body in delays.gone] == [body for _, body in expected]
    assert all(at_ms >= due_ms for (at_ms, _), (due_ms, _) in zip(delays.gone, expected, strict=True))


def test_what_cannot_be_read_back_is_passed_over() -> None:
    delays = Delays()
    lost: list[int] = []
    delays.context.residency.on_lost = lambda queue, count: lost.append(count)
    expected = fill(delays, 200, modes=(2,))
    in_memory = {message_id for _, stretch in delays.waiting.waiting() for message_id in stretch.ids}
    delays.log.reading.lost = set(range(50, 60)) - in_memory
    delays.pass_time(30_000)
    bodies = [b"%04d" % (message_id - 1) for message_id in delays.log.reading.lost]
    assert [body for _, body in delays.gone] == [body for _, body in expected if body not in bodies]
    assert sum(lost) == len(bodies) > 0
    assert delays.waiting.message_count == 0


def test_deleted_exchange_leaves_no_pages() -> None:
    delays = Delays()
    fill(delays, 200)
    delays.waiting.stop()
    assert delays.log.pages.files == {}
    delays.pass_time(30_000)
    assert delays.waiting.next_due_ms() is None


def test_what_is_due_soon_stays() -> None:
    delays = Delays()
    for number in range(50):
        delays.publish(b"%d" % number, 800, 2)
    before = delays.waiting.resident_octets()
    delays.context.residency.relieve()
    assert delays.waiting.resident_octets() == before
