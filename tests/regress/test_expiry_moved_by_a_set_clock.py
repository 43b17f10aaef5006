"""The age of a message that had left memory was told by the wall clock: setting that by an hour while the broker ran
let all of them expire too early, or brought back what had expired.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from pamqp import commands

from broker.core.queues.parked import unparked
from broker.core.unacked import spread
from broker.server.clock import ManualClock
from tests.core.test_backlog_paging import Deep, numbered
from tests.core.test_parked_deliveries import Holder, shrink
from tests.protocol.octets import message
from tests.server.wired import Node, running_node

HOUR_MS = 3_600_000
COUNT = 60
TTL_MS = 1000
EXPIRING = b"\x11\x00\x02\x041000"  # persistent, with an expiration
PERSISTENT = b"\x10\x00\x02"

by_steps = pytest.mark.parametrize("step_ms", [-HOUR_MS, HOUR_MS])
by_origin = pytest.mark.parametrize("of_queue", [True, False])


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def set_by(clock: ManualClock, step_ms: int) -> None:
    clock.set_wall_ms(clock.wall_ms() + step_ms)


def filled(of_queue: bool) -> Deep:
    """A queue whose messages expire after a second."""
    deep = Deep(message_ttl=TTL_MS) if of_queue else Deep()
    for body in numbered(COUNT):
        deep.publish(body, ttl=None if of_queue else TTL_MS)
    return deep


def paged(of_queue: bool) -> Deep:
    deep = filled(of_queue)
    deep.page_out()
    return deep


def returned(of_queue: bool) -> Deep:
    """All were delivered and left memory, then came back."""
    deep = filled(of_queue)
    holder = Holder(deep)
    consumer = holder.consume("c")
    assert len(holder.delivered) == COUNT
    deep.queue.unsubscribe(consumer)
    holder.park()
    for delivery in spread(holder.unacked.take_all()):
        deep.queue.requeue(delivery.stretch)
    return deep


def left_by_get(deep: Deep) -> int:
    count = 0
    deep.settle_down()
    while deep.queue.get() is not None:
        count += 1
        deep.settle_down()
    return count


@by_steps
@by_origin
@pytest.mark.parametrize("gone", [paged, returned])
def test_what_is_read_back_expires_neither_early_nor_late(
    gone: Callable[[bool], Deep], of_queue: bool, step_ms: int
) -> None:
    for wait_ms, left in ((TTL_MS - 1, COUNT), (TTL_MS + 1, 0)):
        deep = gone(of_queue)
        deep.clock.advance(TTL_MS // 2)
        set_by(deep.clock, step_ms)
        deep.clock.advance(wait_ms - TTL_MS // 2)
        assert left_by_get(deep) == left


@by_steps
@by_origin
def test_what_is_held_and_read_back_has_the_deadline_that_it_had(of_queue: bool, step_ms: int) -> None:
    deep = filled(of_queue)
    due_ms = deep.clock.monotonic_ms() + TTL_MS
    holder = Holder(deep)
    holder.consume("c")
    holder.park()
    deep.clock.advance(300)
    set_by(deep.clock, step_ms)
    parts = [part for each in holder.unacked.take_all() for part in unparked(deep.queue, each.stretch)]
    assert sum(len(part.pieces) for part in parts) == COUNT
    assert {part.deadline_ms for part in parts} == {due_ms}


@by_steps
def test_messages_from_before_and_after_a_step_each_expire_in_their_time(step_ms: int) -> None:
    deep = Deep(message_ttl=TTL_MS)
    for body in numbered(COUNT):
        deep.publish(body)
        deep.page_out()
        deep.clock.advance(10)
        set_by(deep.clock, step_ms if int(body) % 20 == 10 else 0)
    first_ms = deep.clock.monotonic_ms() - 10 * COUNT
    for wait_ms, left in ((TTL_MS - 1, 60), (TTL_MS, 59), (TTL_MS + 255, 34), (TTL_MS + 585, 1), (TTL_MS + 590, 0)):
        deep.clock.advance(first_ms + wait_ms - deep.clock.monotonic_ms())
        deep.settle_down()
        assert deep.queue.message_count == left


def published(node: Node, of_queue: bool) -> None:
    client = node.connect()
    arguments = {"x-message-ttl": TTL_MS} if of_queue else {}
    client.send(commands.Queue.Declare, queue="q", durable=True, arguments=arguments)
    for _ in range(COUNT):
        client.feed(message(b"body", b"q", PERSISTENT if of_queue else EXPIRING))
    node.settle()


def got(node: Node) -> int:
    """Get until there are no more; return how many there were."""
    client = node.connect()
    (queue,) = node.broker.vhosts["/"].queues.values()
    while True:
        while queue.message_count and not queue.backlog.is_at_hand:
            node.take_report()
        client.send(commands.Basic.Get, queue="q", no_ack=True)
        node.turns.run()
        if client.names() == ["Basic.GetEmpty"]:
            return len(client.bodies)


@by_steps
@by_origin
@pytest.mark.parametrize(("wait_ms", "left"), [(TTL_MS - 1, COUNT), (TTL_MS + 1, 0)])
def test_a_step_after_a_restart_changes_no_age(
    tmp_path: Path, of_queue: bool, step_ms: int, wait_ms: int, left: int
) -> None:
    """The time between the two lives counts: 300 ms by the wall clock, which is all that there is for it."""
    clock = ManualClock()
    with running_node(tmp_path / "data", clock=clock) as node:
        published(node, of_queue)
    clock = ManualClock(now_ms=50, wall_ms=clock.wall_ms() + 300)
    with running_node(tmp_path / "data", clock=clock) as node:
        set_by(clock, step_ms)
        clock.advance(wait_ms - 300)
        assert got(node) == left


@by_origin
@pytest.mark.parametrize(("wait_ms", "left"), [(TTL_MS - 1, COUNT), (TTL_MS + 1, 0)])
def test_a_clock_set_back_between_two_lives_gives_no_more_than_the_whole_time_again(
    tmp_path: Path, of_queue: bool, wait_ms: int, left: int
) -> None:
    clock = ManualClock()
    with running_node(tmp_path / "data", clock=clock) as node:
        published(node, of_queue)
    clock = ManualClock(now_ms=50, wall_ms=clock.wall_ms() - HOUR_MS)
    with running_node(tmp_path / "data", clock=clock) as node:
        clock.advance(wait_ms)
        assert got(node) == left
