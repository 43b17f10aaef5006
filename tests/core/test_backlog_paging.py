"""Deep queues: whatever leaves memory and comes back, messages leave the queue as from a list."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from broker.core import residency
from broker.core.messages import MessageIds, Stretch
from broker.core.publish.enqueue import Enqueuer, Route
from broker.core.queues import paged
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.types import QUEUE_TYPES
from broker.server.clock import ManualClock
from protocol.frames import FrameReader
from protocol.runs import PublishRun
from tests.core.paging import PagingLog, paging_context
from tests.core.recording import RecordingChannel, new_consumer
from tests.protocol.octets import message

PERSISTENT, TRANSIENT = 2, 1


class Deep:
    """A queue that pages out all but some hundred octets, and what is published to it."""

    def __init__(
        self, kind: str = "classic", *, durable: bool = True, limit_octets: int = 1000, **arguments: Any
    ) -> None:
        self.log = PagingLog()
        self.clock = ManualClock()
        self.context = paging_context(self.log, self.clock, limit_octets)
        self.enqueuer = Enqueuer(MessageIds(), self.log, self.clock)
        self.queue = QUEUE_TYPES[kind](
            "q",
            "/",
            7,
            durable=durable,
            exclusive_owner=None,
            auto_delete=False,
            arguments={"x-" + key.replace("_", "-"): value for key, value in arguments.items()},
            context=self.context,
        )

    def publish(
        self, *bodies: bytes, mode: int = PERSISTENT, priority: int | None = None, ttl: int | None = None
    ) -> None:
        flags, properties = 0x1000, bytes([mode])
        if priority is not None:
            flags, properties = flags | 0x0800, properties + bytes([priority])
        if ttl is not None:
            text = b"%d" % ttl
            flags, properties = flags | 0x0100, properties + bytes([len(text)]) + text
        octets = b"".join(message(body, key=b"q", properties=flags.to_bytes(2) + properties) for body in bodies)
        for event in FrameReader(131072, 1 << 27).feed(octets):
            assert isinstance(event, PublishRun)
            self.enqueuer.enqueue(Route([self.queue], 1), event.shape, event.pieces)
        self.drain()

    def page_out(self) -> None:
        self.context.residency.relieve()

    def drain(self) -> None:
        touched = self.context.touched
        while touched:
            queue = touched.pop()
            if not queue.is_deleted:
                queue.drain()

    def settle_down(self) -> None:
        """Answer all that was asked of the store, and drain."""
        self.drain()
        while self.log.answer():
            self.drain()

    def bodies(self, count: int, *, tag: str = "c") -> list[bytes]:
        """Consume and ack ``count`` messages."""
        channel = RecordingChannel()
        consumer = new_consumer(self.queue, channel, tag, prefetch=count)
        self.drain()
        self.settle_down()
        self.queue.unsubscribe(consumer)
        for _, stretch in channel.unacked:
            self.queue.settle(stretch)
        return [stretch.shape.body(stretch.pieces[0]) for _, stretch in channel.unacked]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "LOOK_OCTETS", 0)
    monkeypatch.setattr(residency, "HEAD_OCTETS", 800)
    monkeypatch.setattr(residency, "HEAD_OCTETS_LEAST", 800)
    monkeypatch.setattr(paged, "FETCH_OCTETS", 300)
    monkeypatch.setattr(paged, "FETCH_SPANS", 3)
    monkeypatch.setattr(paged, "PAGE_OCTETS", 1500)


def numbered(count: int) -> list[bytes]:
    return [b"%03d" % number for number in range(count)]


def publish_one_by_one(deep: Deep, bodies: list[bytes], mode: int = PERSISTENT) -> None:
    for body in bodies:
        deep.publish(body, mode=mode)
        deep.page_out()
    deep.settle_down()


@pytest.mark.parametrize(("durable", "mode"), [(True, PERSISTENT), (True, TRANSIENT), (False, PERSISTENT)])
def test_deep_queue_keeps_little_in_memory_and_its_order(durable: bool, mode: int) -> None:
    deep = Deep(durable=durable)
    publish_one_by_one(deep, numbered(200), mode)
    assert deep.queue.message_count == 200
    assert deep.queue.backlog.resident_octets <= 2000
    assert bool(deep.log.pages.files) == (not durable or mode == TRANSIENT)
    assert deep.bodies(200) == numbered(200)
    assert deep.log.pages.files == {}
    assert deep.queue.backlog.resident_octets == 0


def test_logged_messages_leave_memory_without_being_written_again() -> None:
    deep = Deep()
    publish_one_by_one(deep, numbered(100))
    assert deep.log.pages.files == {}
    assert deep.log.reading.reads == 0


def test_messages_that_are_not_on_disk_yet_stay() -> None:
    deep = Deep()
    deep.publish(*numbered(20))
    deep.log.durable_message_id = 0
    before = deep.queue.backlog.resident_octets
    deep.publish(*numbered(3))
    deep.log.durable_message_id = 1
    deep.page_out()
    assert deep.queue.backlog.resident_octets >= before
    assert deep.bodies(23) == numbered(20) + numbered(3)


def test_get_waits_for_nothing() -> None:
    deep = Deep()
    publish_one_by_one(deep, numbered(50))
    deep.log.waiting.clear()
    found = [deep.queue.get() for _ in range(50)]
    assert [one.shape.body(one.pieces[0]) for one in found if one is not None] == numbered(50)
    assert deep.queue.get() is None


def test_purge_settles_what_is_paged_without_reading_it() -> None:
    deep = Deep()
    publish_one_by_one(deep, numbered(60))
    publish_one_by_one(deep, numbered(60), TRANSIENT)
    publish_one_by_one(deep, numbered(60))
    reads = deep.log.reading.reads
    assert deep.queue.purge() == 180
    assert deep.log.reading.reads == reads
    assert sorted(deep.log.settled) == sorted(deep.log.published)
    assert deep.log.pages.files == {}
    assert deep.queue.message_count == 0
    deep.settle_down()
    assert deep.queue.get() is None


def test_deleted_queue_leaves_no_pages() -> None:
    deep = Deep(durable=False)
    publish_one_by_one(deep, numbered(60))
    deep.publish(*numbered(20))
    deep.page_out()
    deep.queue.stop()
    deep.settle_down()
    assert deep.log.pages.files == {}


def test_message_that_cannot_be_read_back_is_passed_over() -> None:
    deep = Deep()
    publish_one_by_one(deep, numbered(50))
    deep.log.reading.lost = {30, 31, 49}
    assert deep.bodies(50) == [body for body in numbered(50) if body not in (b"029", b"030", b"048")]
    assert deep.queue.message_count == 0


def test_without_room_for_pages_messages_stay_in_memory() -> None:
    deep = Deep(durable=False)
    deep.log.pages.is_full = True
    publish_one_by_one(deep, numbered(60))
    assert deep.queue.backlog.resident_octets > 60 * 300
    assert deep.bodies(60) == numbered(60)


def test_limit_of_messages_drops_the_paged_head() -> None:
    deep = Deep(max_length=40)
    publish_one_by_one(deep, numbered(100))
    assert deep.queue.message_count == 40
    assert deep.bodies(40) == numbered(100)[60:]
    assert len(deep.log.settled) == 100


def test_limit_of_octets_counts_what_is_paged() -> None:
    deep = Deep(max_length_bytes=90)
    publish_one_by_one(deep, numbered(100))
    assert deep.bodies(30) == numbered(100)[70:]
    assert deep.queue.message_count == 0


@pytest.mark.parametrize("mode", [PERSISTENT, TRANSIENT])
def test_paged_messages_expire_in_time(mode: int) -> None:
    deep = Deep(message_ttl=1000)
    publish_one_by_one(deep, numbered(50), mode)
    deep.clock.advance(600)
    publish_one_by_one(deep, numbered(50), mode)
    deep.clock.advance(500)
    deep.settle_down()
    assert deep.queue.message_count == 50
    assert deep.bodies(10) == numbered(10)
    deep.clock.advance(600)
    deep.settle_down()
    assert deep.queue.message_count == 0


def test_expiration_of_a_message_holds_when_it_is_read_back() -> None:
    deep = Deep()
    publish_one_by_one(deep, numbered(20))
    for body in numbered(20):
        deep.publish(body, ttl=1000)
        deep.page_out()
    deep.clock.advance(1500)
    assert deep.bodies(20) == numbered(20)
    deep.settle_down()
    assert deep.queue.message_count == 0


def test_priorities_hold_among_paged_messages() -> None:
    deep = Deep(max_priority=3)
    for body in numbered(60):
        deep.publish(body, priority=int(body) % 3)
        deep.page_out()
    deep.settle_down()
    assert deep.bodies(60) == sorted(numbered(60), key=lambda body: (-(int(body) % 3), body))


def test_restored_ids_are_read_when_they_are_wanted() -> None:
    deep = Deep()
    publish_one_by_one(deep, numbered(50))
    again = Deep()
    again.log.reading.messages = deep.log.reading.messages
    again.queue.restore_ids([1], [10], True)
    again.queue.restore_ids([11, 12, 20], [1, 8, 31], False)
    again.queue.restored()
    assert again.queue.message_count == 50
    channel = RecordingChannel()
    new_consumer(again.queue, channel, "c")
    again.drain()
    again.settle_down()
    assert channel.taken == [("c", number, number <= 10) for number in range(1, 51)]


class PagingMachine(RuleBasedStateMachine):
    """One queue against a list. ``ready`` holds (id, body, redelivered) as they are to leave."""

    kind = "classic"
    durable = True

    def __init__(self) -> None:
        super().__init__()
        self.deep = Deep(self.kind, durable=self.durable)
        self.ready: list[tuple[int, bytes, bool]] = []
        self.held: list[tuple[Stretch, bytes]] = []
        self.number = 0

    @property
    def queue(self) -> ClassicQueue:
        return self.deep.queue

    @rule(count=st.integers(1, 12), size=st.integers(3, 40), mode=st.sampled_from([1, 2, 2]), runs=st.integers(1, 4))
    def publish(self, count: int, size: int, mode: int, runs: int) -> None:
        for _ in range(runs):
            first = self.deep.enqueuer.ids.next_id
            bodies = [b"%0*d" % (size, self.number + i) for i in range(count)]
            self.number += count
            self.deep.publish(*bodies, mode=mode)
            self.ready += [(first + i, body, False) for i, body in enumerate(bodies)]

    @rule()
    def elsewhere(self) -> None:
        """Another queue gets a message, so that ids are not neighbours."""
        self.deep.enqueuer.ids.take(1)

    @rule()
    def page_out(self) -> None:
        self.deep.page_out()

    @rule(count=st.integers(1, 3))
    def answer(self, count: int) -> None:
        for _ in range(count):
            self.deep.log.answer()
        self.deep.drain()

    @precondition(lambda self: self.ready)
    @rule()
    def get(self) -> None:
        stretch = self.queue.get()
        assert stretch is not None
        self._took(stretch)

    @rule(count=st.integers(1, 30))
    def consume(self, count: int) -> None:
        channel = RecordingChannel()
        consumer = new_consumer(self.queue, channel, "c", prefetch=count)
        self.deep.settle_down()
        self.queue.unsubscribe(consumer)
        assert len(channel.unacked) == min(count, len(self.ready))
        for _, stretch in channel.unacked:
            self._took(stretch)

    def _took(self, stretch: Stretch) -> None:
        message_id, body, redelivered = self.ready.pop(0)
        assert (stretch.ids.start, stretch.shape.body(stretch.pieces[0]), stretch.redelivered) == (
            message_id,
            body,
            redelivered,
        )
        self.held.append((stretch, body))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        stretch, _ = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.queue.settle(stretch)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        stretch, body = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.queue.requeue(stretch)
        self._came_back((stretch.ids.start, body, True))
        self.deep.drain()

    def _came_back(self, found: tuple[int, bytes, bool]) -> None:
        self.ready.append(found)
        self.ready.sort()

    @rule()
    def purge(self) -> None:
        if len(self.ready) < 40:  # so that deep ones get their time
            assert self.queue.purge() == len(self.ready)
            self.ready.clear()

    @invariant()
    def counts(self) -> None:
        assert self.queue.message_count == len(self.ready)

    def teardown(self) -> None:
        self.deep.settle_down()
        self.consume(len(self.ready) + 1)
        for stretch, _ in self.held:
            self.queue.settle(stretch)
        self.deep.settle_down()
        assert sorted(self.deep.log.settled) == sorted(self.deep.log.published)
        assert self.deep.log.pages.files == {}
        assert self.queue.backlog.resident_octets == 0
        assert self.deep.context.residency.shelf_count == 0


class TransientMachine(PagingMachine):
    durable = False


class QuorumMachine(PagingMachine):
    """What comes back stands behind all others; those that came back more than 20 times die."""

    kind = "quorum"

    def _came_back(self, found: tuple[int, bytes, bool]) -> None:
        self.ready.append(found)


@pytest.mark.parametrize("machine", [PagingMachine, TransientMachine, QuorumMachine])
def test_paged_queue_behaves_as_a_list(machine: type[PagingMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
