"""A limit of octets on a queue whose messages the log gave back unread: it is counted beside all else, and exactly."""

from dataclasses import replace
from random import Random

import pytest

from broker.core.queues import paged
from broker.core.queues.rules import NO_RULES
from broker.core.unacked import spread
from tests.core.test_backlog_paging import Deep, make_small, publish_one_by_one
from tests.core.test_parked_deliveries import Holder


@pytest.fixture(autouse=True)
def _small_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    monkeypatch.setattr(paged, "FETCH_OCTETS", 60)


def recovered(sizes: list[int], redelivered: int = 0) -> Deep:
    """A queue with messages of these sizes, as after a restart; the first some were delivered before."""
    before = Deep()
    publish_one_by_one(before, [bytes(size) for size in sizes])
    again = Deep()
    again.log.reading.messages = dict(before.log.reading.messages)
    again.enqueuer.ids.next_id = len(sizes) + 1
    if redelivered:
        again.queue.restore_ids([1], [redelivered], True)
    again.queue.restore_ids([redelivered + 1], [len(sizes) - redelivered], False)
    again.queue.restored()
    return again


def limit(deep: Deep, octets: int | None, overflow: str = "drop-head") -> None:
    deep.queue.set_rules(replace(NO_RULES, max_length_octets=octets, overflow=overflow))  # type: ignore[arg-type]


def counted(deep: Deep) -> int:
    assert deep.queue.enforcement is not None
    return deep.queue.enforcement._octets


def test_setting_the_limit_reads_nothing_by_itself() -> None:
    deep = recovered([10] * 100)
    deep.settle_down()
    reads = deep.log.reading.reads
    limit(deep, 500)
    assert deep.log.reading.reads <= reads + 1, "one piece was asked for"
    assert deep.queue.message_count == 100
    deep.settle_down()
    assert (deep.queue.message_count, counted(deep)) == (50, 500)


def test_each_piece_that_is_counted_counts_at_once() -> None:
    deep = recovered([10] * 100)
    deep.settle_down()
    limit(deep, 10_000)
    found = [counted(deep)]
    while deep.log.answer():
        deep.drain()
        found.append(counted(deep))
    assert found[-1] == 1000
    assert len(set(found)) > 5
    assert found == sorted(found)


def test_a_limit_that_goes_and_comes_back_counts_nothing_twice() -> None:
    deep = recovered([7] * 60, redelivered=20)
    limit(deep, 10_000)
    deep.log.answer()
    limit(deep, None)
    deep.log.answer()
    limit(deep, 10_000)
    deep.settle_down()
    assert counted(deep) == 420


def test_a_purge_ends_the_count() -> None:
    deep = recovered([10] * 50)
    limit(deep, 10_000)
    deep.log.answer()
    deep.queue.purge()
    deep.settle_down()
    assert counted(deep) == 0
    deep.publish(bytes(30))
    deep.settle_down()
    assert counted(deep) == 30


def test_what_is_lost_does_not_fill_an_empty_queue() -> None:
    deep = recovered([10] * 30)
    deep.log.reading.lost = set(range(1, 31))
    limit(deep, 100)
    deep.settle_down()
    while deep.queue.message_count:
        deep.queue.get()
        deep.settle_down()
    assert counted(deep) == 0


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_meanwhile_the_count_is_right(seed: int) -> None:
    """Messages are fetched, taken, put back and published while pieces are counted; in any order."""
    random = Random(seed)
    sizes = [random.randint(0, 20) for _ in range(80)]
    deep = recovered(sizes, redelivered=random.choice((0, 30)))
    held = []
    limit(deep, 1_000_000)
    for _ in range(200):
        act = random.random()
        if act < 0.5:
            deep.log.answer()
        elif act < 0.7:
            stretch = deep.queue.get()
            if stretch is not None:
                held.append(stretch)
        elif act < 0.8 and held:
            deep.queue.requeue(held.pop(random.randrange(len(held))))
        elif act < 0.9:
            deep.publish(bytes(random.randint(0, 20)))
        elif act < 0.95:
            deep.page_out()
        else:
            limit(deep, random.choice((None, 1_000_000)))
        deep.drain()
    limit(deep, 1_000_000)
    deep.settle_down()
    total = counted(deep)
    octets = 0
    while (stretch := deep.queue.get()) is not None:
        octets += stretch.body_octets()
    assert total == octets
    assert counted(deep) == 0


def parked_and_returned(sizes: list[int]) -> Deep:
    """A queue whose messages all came back from a consumer that held them outside memory."""
    deep = Deep()
    for size in sizes:
        deep.publish(bytes(size))
    holder = Holder(deep)
    holder.consume("c")
    holder.park()
    deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
    for delivery in spread(holder.unacked.take_all()):
        deep.queue.requeue(delivery.stretch)
    return deep


def test_a_limit_on_what_came_back_outside_memory_reads_nothing_by_itself() -> None:
    sizes = [size % 40 for size in range(200)]
    deep = parked_and_returned(sizes)
    reads = deep.log.reading.reads
    limit(deep, 1_000_000)
    assert deep.log.reading.reads == reads
    assert counted(deep) == sum(sizes), "its mean is known"
    deep.settle_down()
    for _ in range(200):
        deep.queue.get()
        deep.settle_down()
    assert counted(deep) == 0


def test_what_was_supposed_of_a_part_is_put_right_when_the_part_has_been_read() -> None:
    deep = Deep()
    for size in [0] * 50 + [40] * 50:
        deep.publish(bytes(size))
    holder = Holder(deep)
    holder.consume("c")
    holder.park()
    for delivery in spread(holder.unacked.take_up_to(50)):
        deep.queue.settle(delivery.stretch)
    deep.queue.unsubscribe(next(iter(deep.queue.consumers)))
    for delivery in spread(holder.unacked.take_all()):
        deep.queue.requeue(delivery.stretch)
    limit(deep, 1_000_000)
    assert counted(deep) == 50 * 20, "by the mean of all that were held together"
    for _ in range(49):
        deep.queue.get()
        deep.settle_down()
    assert counted(deep) == 40
    deep.queue.get()
    assert counted(deep) == 0


def test_a_limit_drops_what_came_back_outside_memory_in_steps() -> None:
    deep = parked_and_returned([10] * 100)
    limit(deep, 500)
    deep.settle_down()
    assert (deep.queue.message_count, counted(deep)) == (50, 500)
