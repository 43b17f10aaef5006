"""Reads that are put together: in order, within bounds, and never kept for longer than a turn of the loop."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from broker.server.surge import FULL_READ_OCTETS, HELD_OCTETS, TOGETHER_OCTETS, Surge, Surges
from broker.server.surging import SurgingConnection
from tests.protocol.octets import message
from tests.server.wired import Turns, running_node

FULL = bytes(FULL_READ_OCTETS)


class Counted:
    """Counts a run for each octet, which is scattered, or none."""

    def __init__(self, *, is_scattered: bool = True) -> None:
        self.reads: list[bytes] = []
        self.run_count = 0
        self._is_scattered = is_scattered

    def handle(self, data: bytes, more: Sequence[bytes] = ()) -> None:
        octets = b"".join((data, *more))
        self.reads.append(octets)
        self.run_count += len(octets) * self._is_scattered


def surge_of(surges: Surges, turns: Turns, handled: Counted) -> Surge:
    """A surge that has seen how its messages go."""
    surge = Surge(surges, turns.call_soon, handled.handle)
    surge.add(FULL)
    handled.reads.clear()
    return surge


def test_full_reads_wait_for_the_one_that_is_not_full() -> None:
    turns, handled = Turns(), Counted()
    surge = surge_of(Surges(lambda: handled.run_count), turns, handled)
    surge.add(b"first")
    surge.add(FULL)
    surge.add(FULL)
    assert handled.reads == [b"first"]
    surge.add(b"last")
    assert handled.reads == [b"first", FULL + FULL + b"last"]
    turns.run()
    assert len(handled.reads) == 2


def test_reads_whose_messages_go_one_way_are_handled_one_by_one() -> None:
    turns, handled = Turns(), Counted(is_scattered=False)
    surge = surge_of(Surges(lambda: handled.run_count), turns, handled)
    surge.add(FULL)
    surge.add(FULL)
    assert handled.reads == [FULL, FULL]


def test_nothing_is_kept_beyond_the_turn() -> None:
    turns, handled = Turns(), Counted()
    surges = Surges(lambda: handled.run_count)
    surge_of(surges, turns, handled).add(FULL)
    turns.run()
    assert (handled.reads, surges.held_octets) == ([FULL], 0)


def test_a_connection_and_all_together_hold_no_more_than_they_may() -> None:
    turns, handled = Turns(), Counted()
    surges = Surges(lambda: handled.run_count)
    one = surge_of(surges, turns, handled)
    while not handled.reads:
        one.add(FULL)
    assert TOGETHER_OCTETS <= len(handled.reads[0]) < TOGETHER_OCTETS + len(FULL)
    others = [surge_of(surges, turns, handled) for _ in range(HELD_OCTETS // len(FULL) + 10)]
    handled.reads.clear()
    for other in others:
        other.add(FULL)
        assert surges.held_octets <= HELD_OCTETS
    turns.run()
    assert surges.held_octets == 0
    assert sum(map(len, handled.reads)) == len(others) * len(FULL)


@pytest.mark.parametrize("queue_count", [1, 300])
def test_what_a_client_sent_before_it_went_is_published(tmp_path: Path, queue_count: int) -> None:
    with running_node(tmp_path) as node:
        other = node.connect()
        for number in range(queue_count):
            other.declare(f"q{number:03}")
        client = node.connect(make=SurgingConnection)
        octets = b"".join(message(b"%0900d" % number, b"q%03d" % (number % queue_count)) for number in range(900))
        for at in range(0, 3 * FULL_READ_OCTETS, FULL_READ_OCTETS):
            client.connection.data_received(octets[at : at + FULL_READ_OCTETS])
        client.disconnect()
        queues = node.broker.vhosts["/"].queues.values()
        assert sum(queue.message_count for queue in queues) == 3 * FULL_READ_OCTETS // (len(octets) // 900)


def test_what_goes_to_many_queues_stays_together_though_each_gets_much_by_that() -> None:
    """100 runs are scattered in one read, and would not be in sixteen; now and then one is looked at by itself."""
    turns, handled = Turns(), Counted(is_scattered=False)
    surge = Surge(Surges(lambda: 100 * len(handled.reads)), turns.call_soon, handled.handle)
    for _ in range(100 * 17):
        surge.add(FULL)
    turns.run()
    sizes = [len(read) // len(FULL) for read in handled.reads[1:]]
    assert set(sizes[:8]) == {17}
    assert sizes.count(1) <= len(sizes) // 8


def test_what_goes_to_few_queues_is_not_put_together_for_long() -> None:
    turns, handled = Turns(), Counted(is_scattered=False)
    surge = surge_of(Surges(lambda: 5 * len(handled.reads)), turns, handled)
    for _ in range(100):
        surge.add(FULL)
    turns.run()
    assert handled.reads == [FULL] * 100
