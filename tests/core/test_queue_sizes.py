"""The sizes of a queue's messages are those of a list of them: in memory, on disk, with consumers."""

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from broker.core.queues.backlog import Backlog
from broker.core.queues.sizes import QueueSizes, Sizes, add_delivered, sizes_of
from broker.core.unacked import ParkedDelivery
from tests.core.test_backlog_paging import PERSISTENT, TRANSIENT, Deep, publish_one_by_one
from tests.core.test_parked_deliveries import Holder, HoldingMachine, shrink


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def all_sizes(deep: Deep, holders: Iterable[Holder] = ()) -> QueueSizes:
    unacked = Sizes()
    for holder in holders:
        for delivery in holder.unacked.open():
            run = delivery.run if isinstance(delivery, ParkedDelivery) else None
            add_delivered(unacked, deep.queue, delivery.stretch, run)
    return sizes_of(deep.queue, unacked)


def totals(sizes: QueueSizes) -> tuple[int, int, int, int]:
    """Count and octets of what is ready; count and octets of what is persistent, unacked messages included."""
    ready, paged, unacked = sizes.ready, sizes.paged, sizes.unacked
    return (
        ready.count + paged.count,
        ready.octets + paged.octets,
        ready.persistent_count + paged.persistent_count + unacked.persistent_count,
        ready.persistent_octets + paged.persistent_octets + unacked.persistent_octets,
    )


class SizesMachine(HoldingMachine):
    """What the machine does to a queue and its consumers, with bodies of one size."""

    @invariant()
    def sizes_are_the_lists(self) -> None:
        sizes = all_sizes(self.deep, [self.holder])
        persistent = self.deep.log.published
        ready = [(message_id, len(body)) for message_id, body, _ in self.ready]
        unacked = [(message_id, len(body)) for message_id, body in self.open.values()]
        lasting = [octets for message_id, octets in ready + unacked if message_id in persistent]
        assert totals(sizes) == (len(ready), sum(size for _, size in ready), len(lasting), sum(lasting))
        assert (sizes.unacked.count, sizes.unacked.octets) == (len(unacked), sum(size for _, size in unacked))
        assert not sizes.is_estimated


class QuorumSizesMachine(SizesMachine):
    """The same of a queue that keeps everything, and whose messages come back at the end."""

    kind = "quorum"

    def _came_back(self, found: list[tuple[int, bytes, bool]]) -> None:
        self.ready += found


class OddSizesMachine(HoldingMachine):
    """Bodies of many sizes. What was parked and is settled in part unread is told by its mean, all else exactly."""

    @rule(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8), mode=st.sampled_from([1, 2]))
    def publish_odd(self, sizes: list[int], mode: int) -> None:
        first = self.deep.enqueuer.ids.next_id
        bodies = [b"%05d" % (self.number + i) + bytes(size) for i, size in enumerate(sizes)]
        self.number += len(bodies)
        self.deep.publish(*bodies, mode=mode)
        self.ready += [(first + i, body, False) for i, body in enumerate(bodies)]

    @invariant()
    def sizes_are_about_the_lists(self) -> None:
        sizes = all_sizes(self.deep, [self.holder])
        ready, unacked = sum(len(body) for _, body, _ in self.ready), sum(len(body) for _, body in self.open.values())
        found = totals(sizes)
        assert found[0] == len(self.ready)
        assert sizes.unacked.count == len(self.open)
        backlog = self.deep.queue.backlog
        assert isinstance(backlog, Backlog)
        if not self.holder.unacked.has_parked and backlog._back is None:
            assert (found[1], sizes.unacked.octets) == (ready, unacked)
        assert 5 * found[0] <= found[1] <= 65 * found[0]
        assert 5 * len(self.open) <= sizes.unacked.octets <= 65 * len(self.open)


@pytest.mark.parametrize("machine", [SizesMachine, QuorumSizesMachine, OddSizesMachine])
def test_sizes_are_those_of_a_list(machine: type[HoldingMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("mode", [PERSISTENT, TRANSIENT])
def test_deep_queue_with_bodies_of_all_sizes_is_told_exactly(mode: int) -> None:
    deep = Deep()
    sizes = [number * 7 % 90 for number in range(300)]
    publish_one_by_one(deep, [bytes(size) for size in sizes], mode)
    found = all_sizes(deep)
    assert found.paged.count > 200
    lasting = (300, sum(sizes)) if mode == PERSISTENT else (0, 0)
    assert totals(found) == (300, sum(sizes), *lasting)
    for taken in range(1, 301):
        assert deep.queue.get() is not None
        deep.settle_down()
        assert totals(all_sizes(deep))[:2] == (300 - taken, sum(sizes[taken:]))


def test_parked_deliveries_of_all_sizes_are_exact_until_one_is_acked() -> None:
    deep = Deep()
    sizes = [number * 7 % 90 for number in range(200)]
    publish_one_by_one(deep, [bytes(size) for size in sizes])
    holder = Holder(deep)
    holder.consume("c")
    holder.park()
    assert holder.unacked.has_parked
    assert all_sizes(deep, [holder]).unacked.octets == sum(sizes)
    assert all_sizes(deep, [holder]).unacked.persistent_octets == sum(sizes)


def test_what_the_log_gave_back_is_estimated_and_says_so_until_it_is_read() -> None:
    before = Deep()
    publish_one_by_one(before, [bytes(20)] * 400)
    again = Deep()
    again.log.reading.messages = dict(before.log.reading.messages)
    again.enqueuer.ids.next_id = 401
    again.queue.restore_ids([1], [400], False)
    again.queue.restored()
    again.settle_down()
    found = all_sizes(again)
    assert found.is_estimated
    assert totals(found) == (400, 8000, 400, 8000)
    again.publish(bytes(20))
    while again.queue.get() is not None:
        again.settle_down()
        found = all_sizes(again)
        assert totals(found)[:2] == (again.queue.message_count, 20 * again.queue.message_count)
    assert not found.is_estimated
