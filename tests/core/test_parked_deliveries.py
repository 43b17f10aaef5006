"""Consumers that hold more than fits into memory: what they ack is settled, what they give back comes again, whole."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from broker.core.consumers import UNLIMITED, Consumer
from broker.core.messages import Stretch
from broker.core.queues import came_back, parked
from broker.core.queues.parked import unparked
from broker.core.queues.rules import NO_RULES
from broker.core.unacked import Delivery, ParkedDelivery, SpreadDeliveries, Unacked, spread
from tests.core.test_backlog_paging import PERSISTENT, TRANSIENT, Deep, make_small, numbered


class Holder:
    """A channel that acks nothing by itself; ``delivered`` holds (tag, id, body, redelivered)."""

    def __init__(self, deep: Deep) -> None:
        self.deep = deep
        self.can_deliver = True
        self.shared_credit = UNLIMITED
        self.unacked = Unacked(deep.context.residency.unacked)
        self.delivered: list[tuple[int, int, bytes, bool]] = []
        self.next_tag = 1

    def consume(self, tag: str) -> Consumer:
        consumer = Consumer(tag, self.deep.queue, self, no_ack=False, exclusive=False, prefetch=0, arguments={})
        self.deep.queue.subscribe(consumer)
        self.deep.settle_down()
        return consumer

    def deliver(self, consumer: Consumer, stretch: Stretch) -> None:
        self.unacked.add(Delivery(self.next_tag, consumer.queue, consumer, stretch))
        for message_id, piece in zip(stretch.ids, stretch.pieces, strict=True):
            self.delivered.append((self.next_tag, message_id, stretch.shape.body(piece), stretch.redelivered))
            self.next_tag += 1

    def deliver_each(self, handed: Sequence[tuple[Consumer, Stretch]], each_octets: int) -> None:
        for consumer, stretch in handed:
            self.deliver(consumer, stretch)

    def deliver_in_turn(self, consumers: Sequence[Consumer], stretch: Stretch) -> None:
        for place in range(len(stretch.pieces)):
            self.deliver(consumers[place % len(consumers)], stretch.part(place, place + 1))

    def consumer_cancelled(self, consumer: Consumer) -> None:
        raise AssertionError

    def park(self) -> None:
        """Let everything leave memory that may."""
        self.deep.context.residency.limit_octets, before = 0, self.deep.context.residency.limit_octets
        self.deep.page_out()
        self.deep.context.residency.limit_octets = before


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    for module in (parked, came_back):
        for name in ("FETCH_OCTETS", "PAGE_OCTETS", "FETCH_SPANS"):
            monkeypatch.setattr(module, name, {"FETCH_OCTETS": 300, "PAGE_OCTETS": 1500, "FETCH_SPANS": 3}[name], False)
    monkeypatch.setattr(parked, "SPANS_MAX", 4)
    monkeypatch.setattr(came_back, "SPANS_MAX", 4)
    monkeypatch.setattr("broker.core.unacked.SPANS_MAX", 4)


def held(deep: Deep, count: int, mode: int = PERSISTENT) -> Holder:
    """A channel that was given ``count`` messages, published one by one."""
    for body in numbered(count):
        deep.publish(body, mode=mode)
    holder = Holder(deep)
    holder.consume("c")
    assert len(holder.delivered) == count
    return holder


def test_unacked_persistent_messages_leave_memory_without_being_written_again() -> None:
    deep = Deep()
    holder = held(deep, 300)
    before = holder.unacked.resident_octets()
    holder.park()
    assert holder.unacked.resident_octets() == 0 < before
    assert len(list(holder.unacked.open())) == 1, "one range of ids"
    assert deep.log.pages.files == {}
    assert deep.log.reading.reads == 0


def test_unacked_transient_messages_leave_memory_for_page_files_that_go_with_them() -> None:
    deep = Deep()
    holder = held(deep, 100, TRANSIENT)
    holder.park()
    deep.settle_down()
    assert len(deep.log.pages.files) > 1
    taken, unknown = holder.unacked.take(1, 60)
    assert unknown is None
    before = len(deep.log.pages.files)
    for delivery in spread(taken):
        deep.queue.settle(delivery.stretch)
    del taken, delivery
    assert 0 < len(deep.log.pages.files) < before
    for delivery in spread(holder.unacked.take_up_to(100)):
        deep.queue.settle(delivery.stretch)
    del delivery
    assert deep.log.pages.files == {}
    assert deep.queue.unacked_count == 0


def test_acks_of_parked_deliveries_are_settled_in_the_log_without_a_read() -> None:
    deep = Deep()
    holder = held(deep, 50)
    holder.park()
    for tag in (50, 1, 7, 8, 20):
        taken, unknown = holder.unacked.take(tag, 1)
        assert unknown is None
        for delivery in spread(taken):
            deep.queue.settle(delivery.stretch)
    assert sorted(deep.log.settled) == [1, 7, 8, 20, 50]
    assert not holder.unacked.has(20)
    assert holder.unacked.has(21)
    for delivery in spread(holder.unacked.take_up_to(49)):
        deep.queue.settle(delivery.stretch)
    assert sorted(deep.log.settled) == list(range(1, 51))
    assert deep.log.reading.reads == 0


@pytest.mark.parametrize("mode", [PERSISTENT, TRANSIENT])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_parked_deliveries_come_again_in_order(kind: str, mode: int) -> None:
    deep = Deep(kind)
    holder = held(deep, 120, mode)
    holder.park()
    consumer = next(iter(deep.queue.consumers))
    deep.queue.unsubscribe(consumer)
    for delivery in spread(holder.unacked.take_all()):
        deep.queue.requeue(delivery.stretch)
        holder.park()
    del delivery
    assert deep.queue.message_count == 120
    assert deep.bodies(120) == numbered(120)
    deep.settle_down()
    assert deep.log.pages.files == {}
    assert deep.queue.backlog.resident_octets == 0


def test_what_came_back_to_a_queue_leaves_memory_again() -> None:
    deep = Deep()
    holder = held(deep, 200)
    deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
    for delivery in holder.unacked.take_all():
        deep.queue.requeue(delivery.stretch)
    holder.park()
    assert deep.queue.backlog.resident_octets <= 1500
    found = deep.queue.get()
    assert found is not None
    assert found.redelivered
    deep.queue.requeue(found)
    assert deep.bodies(200) == numbered(200)


def test_rejected_parked_deliveries_are_read_for_their_dead_letter_exchange() -> None:
    deep = Deep(dead_letter_exchange="dead")
    died: list[bytes] = []
    context = deep.queue.context
    assert deep.queue.enforcement is not None
    deep.queue.enforcement._dead_letter = lambda queue, stretch, reason: died.extend(
        stretch.shape.body(piece) for piece in stretch.pieces
    )
    holder = held(deep, 30)
    holder.park()
    assert context.residency.store is not None
    for delivery in spread(holder.unacked.take_all()):
        deep.queue.reject(delivery.stretch)
    deep.settle_down()
    assert died == numbered(30)
    assert sorted(deep.log.settled) == list(range(1, 31))


def test_damaged_deliveries_that_come_back_are_passed_over() -> None:
    deep = Deep()
    holder = held(deep, 30)
    holder.park()
    deep.log.reading.lost = {10, 11}
    deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
    for delivery in spread(holder.unacked.take_all()):
        deep.queue.requeue(delivery.stretch)
    assert deep.bodies(30) == [body for body in numbered(30) if body not in (b"009", b"010")]
    assert (deep.queue.message_count, deep.queue.unacked_count) == (0, 0)


class HoldingMachine(RuleBasedStateMachine):
    """One queue and one channel against lists: ``ready`` (id, body, redelivered), ``open`` by tag."""

    kind = "classic"
    arguments: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.deep = Deep(self.kind, **self.arguments)
        self.holder = Holder(self.deep)
        self.ready: list[tuple[int, bytes, bool]] = []
        self.open: dict[int, tuple[int, bytes]] = {}
        self.number = 0

    @rule(count=st.integers(1, 12), mode=st.sampled_from([1, 2, 2]), runs=st.integers(1, 4))
    def publish(self, count: int, mode: int, runs: int) -> None:
        for _ in range(runs):
            first = self.deep.enqueuer.ids.next_id
            bodies = [b"%05d" % (self.number + i) for i in range(count)]
            self.number += count
            self.deep.publish(*bodies, mode=mode)
            self.ready += [(first + i, body, False) for i, body in enumerate(bodies)]

    @rule(consumers=st.integers(1, 3))
    def consume(self, consumers: int) -> None:
        """All that is ready is delivered, to one consumer or in turns to several."""
        del self.holder.delivered[:]
        here = []
        for number in range(consumers):
            consumer = Consumer(
                f"c{number}", self.deep.queue, self.holder, no_ack=False, exclusive=False, prefetch=0, arguments={}
            )
            self.deep.queue.subscribe(consumer)
            here.append(consumer)
        self.deep.settle_down()
        for consumer in here:
            self.deep.queue.unsubscribe(consumer)
        assert [one[1:] for one in self.holder.delivered] == self.ready
        self.open.update({tag: (message_id, body) for tag, message_id, body, _ in self.holder.delivered})
        self.ready.clear()

    @rule()
    def park(self) -> None:
        self.holder.park()

    @rule()
    def page_out(self) -> None:
        self.deep.page_out()

    @rule(count=st.integers(1, 3))
    def answer(self, count: int) -> None:
        for _ in range(count):
            self.deep.log.answer()
        self.deep.drain()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), requeue=st.booleans())
    def take(self, data: st.DataObject, requeue: bool) -> None:
        """Some tags in a row are acked or come back."""
        tags = sorted(self.open)
        place = data.draw(st.integers(0, len(tags) - 1))
        count = 1
        while place + count < len(tags) and tags[place + count] == tags[place] + count and count < 20:
            count += 1
        count = data.draw(st.integers(1, count))
        taken, unknown = self.holder.unacked.take(tags[place], count)
        assert unknown is None
        self._took(taken, requeue)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), requeue=st.booleans())
    def take_up_to(self, data: st.DataObject, requeue: bool) -> None:
        tag = data.draw(st.sampled_from(sorted(self.open)))
        self._took(self.holder.unacked.take_up_to(tag), requeue)

    def _took(self, taken: list[Delivery], requeue: bool) -> None:
        for delivery in spread(taken):
            assert not isinstance(delivery, ParkedDelivery)
            ids = [self.open.pop(delivery.first_tag + place) for place in range(delivery.count)]
            assert [message_id for message_id, _ in ids] == list(delivery.stretch.ids)
            if requeue:
                self.deep.queue.requeue(delivery.stretch)
                self._came_back([(message_id, body, True) for message_id, body in ids])
            else:
                self.deep.queue.settle(delivery.stretch)

    def _came_back(self, found: list[tuple[int, bytes, bool]]) -> None:
        self.ready += found
        self.ready.sort()

    @invariant()
    def counts(self) -> None:
        assert self.deep.queue.message_count == len(self.ready)
        assert self.deep.queue.unacked_count == self.holder.unacked.count == len(self.open)

    @invariant()
    def tags(self) -> None:
        assert [tag for item in self.holder.unacked.open() for tag in range(item.first_tag, item.stop_tag)] == sorted(
            self.open
        )

    def teardown(self) -> None:
        found = []
        for stretch in [delivery.stretch for delivery in spread(self.holder.unacked.open())]:
            for part in unparked(self.deep.queue, stretch):
                found += [part.shape.body(piece) for piece in part.pieces]
            del stretch
        assert found == [body for _, (_, body) in sorted(self.open.items())]
        self._took(self.holder.unacked.take_all(), requeue=True)
        self.park()
        self.consume(1)
        self._took(self.holder.unacked.take_all(), requeue=False)
        self.deep.settle_down()
        self.deep.page_out()
        assert sorted(self.deep.log.settled) == sorted(self.deep.log.published)
        assert self.deep.log.pages.files == {}
        assert self.deep.queue.backlog.resident_octets == 0
        assert self.deep.context.residency.shelf_count == 0


class QuorumMachine(HoldingMachine):
    """What comes back stands behind all others."""

    kind = "quorum"

    def _came_back(self, found: list[tuple[int, bytes, bool]]) -> None:
        self.ready += found


class FirstQuorumMachine(HoldingMachine):
    """What comes back stands before all that did not, in the order in which it came."""

    kind = "quorum"
    arguments = {"delivery_limit": 100}  # noqa: RUF012

    def _came_back(self, found: list[tuple[int, bytes, bool]]) -> None:
        place = sum(1 for one in self.ready if one[2])
        self.ready[place:place] = found


@pytest.mark.parametrize("machine", [HoldingMachine, QuorumMachine, FirstQuorumMachine])
def test_what_is_held_behaves_as_lists(machine: type[HoldingMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("where", ["unacked", "came back"])
def test_pages_that_cannot_be_written_count_as_resident_until_their_messages_go(where: str) -> None:
    deep = Deep()
    residency = deep.context.residency
    holder = held(deep, 100, TRANSIENT)
    if where == "came back":
        deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
        for delivery in spread(holder.unacked.take_all()):
            deep.queue.requeue(delivery.stretch)
        del delivery
    before = residency.resident_octets
    deep.log.pages.is_full = True
    holder.park()
    deep.settle_down()
    assert deep.log.pages.files == {}
    assert residency.resident_octets >= 0.9 * before
    if where == "came back":
        assert deep.bodies(100) == numbered(100)
    else:
        taken = holder.unacked.take_up_to(100)
        for delivery in spread(taken):
            deep.queue.settle(delivery.stretch)
        del taken, delivery
    assert residency.kept_octets == 0
    assert residency.resident_octets == 0


def test_others_leave_memory_for_pages_that_cannot() -> None:
    deep = Deep()
    held(deep, 100, TRANSIENT).park()
    residency = deep.context.residency
    residency.limit_octets = 20_000
    residency.kept_octets = 30_000
    deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
    for body in numbered(200):
        deep.publish(body)
    before = deep.queue.backlog.resident_octets
    deep.page_out()
    assert deep.queue.backlog.resident_octets < before / 2


@pytest.mark.parametrize("rules", [{"message_ttl_ms": 5000}, {"max_length": 60}, {"dead_letter_exchange": "dead"}])
def test_what_comes_back_to_a_queue_with_rules_is_not_read_for_that(rules: dict[str, Any]) -> None:
    deep = Deep()
    holder = held(deep, 80)
    holder.park()
    deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
    deep.queue.set_rules(replace(NO_RULES, **rules))
    reads = deep.log.reading.reads
    for delivery in spread(holder.unacked.take_all()):
        deep.queue.requeue(delivery.stretch)
    assert deep.log.reading.reads <= reads + (20 if "max_length" in rules else 1), (
        "the head, and what is too much of it"
    )
    deep.settle_down()
    left = numbered(80)[20:] if "max_length" in rules else numbered(80)
    assert deep.queue.message_count == len(left)
    assert deep.bodies(len(left)) == left
    if "message_ttl_ms" in rules:
        deep.publish(b"new")
        assert deep.queue.message_count == 1
        deep.clock.advance(5001)
        deep.settle_down()
        assert deep.queue.message_count == 0


def test_what_came_back_has_its_deadline_from_its_time_of_publishing() -> None:
    deep = Deep(message_ttl=1000)
    holder = held(deep, 80)
    deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
    deep.clock.advance(600)
    holder.park()
    for delivery in spread(holder.unacked.take_all()):
        deep.queue.requeue(delivery.stretch)
    deep.settle_down()
    deep.clock.advance(399)
    deep.settle_down()
    assert deep.queue.message_count == 80
    deep.clock.advance(2)
    deep.settle_down()
    assert deep.queue.message_count == 0


def test_what_is_read_as_it_comes_back_leaves_memory_on_the_way() -> None:
    """A limit of octets has each body looked at."""
    deep = Deep()
    holder = held(deep, 400)
    holder.park()
    deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
    deep.queue.set_rules(replace(NO_RULES, max_length_octets=1_000_000))
    most = 0
    put_back = deep.queue.backlog.put_back

    def watched(stretch: Stretch) -> None:
        nonlocal most
        put_back(stretch)
        most = max(most, deep.queue.backlog.resident_octets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(deep.queue.backlog), "put_back", lambda _backlog, stretch: watched(stretch))
        for delivery in spread(holder.unacked.take_all()):
            deep.queue.requeue(delivery.stretch)
    assert most < 5000
    deep.settle_down()
    assert deep.bodies(400) == numbered(400)


def test_what_a_client_settles_at_once_is_spread_as_it_is_settled() -> None:
    deep = Deep()
    for body in numbered(40):
        deep.publish(body)
        deep.enqueuer.ids.take(1)  # another queue's
    holder = Holder(deep)
    holder.consume("c")
    holder.park()
    taken = SpreadDeliveries(holder.unacked.take_all())
    assert len(taken) < 40
    for _ in range(2):
        assert [delivery.stretch.ids for delivery in taken] == [range(i, i + 1) for i in range(1, 81, 2)]
