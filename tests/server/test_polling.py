"""Busy polling: on only where more is read with it, never for long, and off for what sleeps."""

from pathlib import Path

import pytest
from pamqp import commands

from broker.server.clock import ManualClock
from broker.server.polling import (
    GAIN,
    OFF_MS,
    ON_MS,
    PATTERN,
    SAMPLE_MS,
    SAMPLE_READS,
    SLOW_MS,
    TURN_US,
    TURNS,
    BusyPolling,
)
from broker.server.surging import SurgingConnection
from tests.protocol.octets import PERSISTENT, message
from tests.server.wired import Node, Turns, running_node

OCTETS = 100
TRY_MS = len(PATTERN) * SAMPLE_MS * 2
"""A try takes no longer than this."""


class Loop:
    """Reads that come at one rate while the loop polls, and at another while it does not."""

    def __init__(self, *, is_wanted: bool = True) -> None:
        self.clock = ManualClock()
        self.turns = Turns()
        self.is_free = True
        self.polling = BusyPolling(self.clock, self.turns.call_soon, lambda: self.is_free, is_wanted=is_wanted)

    def read(self, for_ms: int, *, without: float, with_it: float) -> int:
        """So many reads a millisecond. Returns for how many milliseconds polling was on."""
        due, on_ms = 0.0, 0
        for _ in range(for_ms):
            self.clock.advance(1)
            on_ms += self.polling.is_on
            due += with_it if self.polling.is_on else without
            while due >= 1:
                due -= 1
                self.polling.noted(OCTETS)
                self.turns.run()
        return on_ms


def test_polling_stays_on_where_more_is_read_with_it_and_is_tried_again_after_a_while() -> None:
    loop = Loop()
    loop.read(TRY_MS, without=10, with_it=10 * GAIN + 1)
    assert loop.polling.is_on
    on_ms = loop.read(2 * ON_MS, without=10, with_it=10 * GAIN + 1)
    assert on_ms > 2 * ON_MS - 2 * TRY_MS
    loop.read(ON_MS + TRY_MS, without=10, with_it=10)
    assert not loop.polling.is_on


def test_polling_that_does_not_pay_is_off_for_some_seconds_each_time() -> None:
    loop = Loop()
    on_ms = loop.read(OFF_MS * 10, without=10, with_it=10)
    assert 8 * 2 * SAMPLE_MS < on_ms < 10 * TRY_MS


@pytest.mark.parametrize("with_it", [5, 10, 10 * GAIN - 0.5])
def test_polling_is_off_where_as_much_is_read_without(with_it: float) -> None:
    loop = Loop()
    loop.read(TRY_MS * 2, without=10, with_it=with_it)
    assert loop.read(OFF_MS // 2, without=10, with_it=with_it) == 0


def test_smaller_reads_of_the_same_octets_do_not_pay() -> None:
    loop = Loop()
    for _ in range(TRY_MS):
        loop.clock.advance(1)
        for _ in range(20 if loop.polling.is_on else 10):
            loop.polling.noted(OCTETS // 2 if loop.polling.is_on else OCTETS)
    assert not loop.polling.is_on
    assert loop.read(OFF_MS // 2, without=10, with_it=10) == 0


class Samples:
    """A try whose samples have rates of their own, in reads a millisecond."""

    def __init__(self, *rates: float) -> None:
        loop = Loop()
        for rate in rates:
            on_before, count = loop.polling.is_on, len(loop.polling._rates)
            for _ in range(1000):
                if (loop.polling.is_on, len(loop.polling._rates)) != (on_before, count):
                    break
                loop.read(1, without=rate, with_it=rate)
        self.is_on = loop.polling.is_on


@pytest.mark.parametrize("rates", [(10, 20, 10, 10), (10, 10, 10, 20), (10, 20, 20, 20), (20, 20, 10, 20)])
def test_one_sample_that_says_otherwise_is_enough_to_leave_it_off(rates: tuple[float, ...]) -> None:
    assert Samples(10, 20, 10, 20).is_on
    assert not Samples(*rates).is_on


def test_reads_of_nothing_do_not_pay() -> None:
    loop = Loop()
    for _ in range(TRY_MS * 4):
        loop.clock.advance(1)
        for _ in range(10):
            loop.polling.noted(0)
        assert not loop.polling.is_on or len(loop.polling._rates) < len(PATTERN)


def test_slow_reads_are_not_polled_for() -> None:
    loop = Loop()
    slowly = SAMPLE_READS / SLOW_MS * 0.9
    assert loop.read(60_000, without=slowly, with_it=slowly * 2) == 0


def test_polling_that_is_not_wanted_is_never_tried() -> None:
    loop = Loop(is_wanted=False)
    assert loop.read((10 * OFF_MS), without=10, with_it=20) == 0


class SteppedTurns(Turns):
    """Turns that are taken one at a time, each a microsecond long."""

    def __init__(self) -> None:
        super().__init__()
        self.now_us = 0

    def take(self, most: int) -> int:
        """Return how many were taken until nothing was left to do."""
        for taken in range(most):
            if not self._waiting:
                return taken
            self.now_us += 1
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()
        return most


class Polled:
    """Polling that is on, on a loop whose turns the test takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = Loop()
        loop.read(TRY_MS, without=10, with_it=20)
        self.polling, self.turns, self.loop = loop.polling, SteppedTurns(), loop
        assert self.polling.is_on
        self.idle_before_us = self.polling.idle_us
        self.polling._call_soon = self.turns.call_soon
        monkeypatch.setattr(loop.clock, "monotonic_us", lambda: self.turns.now_us)

    @property
    def idle_us(self) -> int:
        return self.polling.idle_us - self.idle_before_us


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> Polled:
    return Polled(monkeypatch)


def test_the_loop_sleeps_after_so_many_turns_without_a_read(polled: Polled) -> None:
    polled.polling.noted(OCTETS)
    assert polled.turns.take(1000) == TURNS
    assert polled.turns.take(1000) == 0
    assert polled.idle_us == TURNS - 1


def test_a_read_begins_the_turns_anew_and_is_not_counted_as_idle(polled: Polled) -> None:
    polled.polling.noted(OCTETS)
    for _ in range(10):
        assert polled.turns.take(5) == 5
        polled.turns.now_us += 1000  # to handle what was read
        polled.polling.noted(OCTETS)
    assert polled.turns.take(1000) == TURNS + 1
    assert polled.idle_us == 4 + 9 * 3 + TURNS - 1


def test_a_turn_that_took_long_was_not_idle(polled: Polled) -> None:
    polled.polling.noted(OCTETS)
    assert polled.turns.take(5) == 5
    polled.turns.now_us += 1000
    assert polled.turns.take(1) == 1
    assert polled.idle_us == 4 + TURN_US


def test_the_loop_polls_no_more_when_it_is_switched_off(polled: Polled) -> None:
    polled.polling.noted(OCTETS)
    assert polled.turns.take(5) == 5
    polled.polling.is_on = False
    assert polled.turns.take(1000) == 1


def test_nothing_is_polled_for_while_something_else_is_under_way(polled: Polled) -> None:
    polled.polling.noted(OCTETS)
    assert polled.turns.take(5) == 5
    polled.loop.is_free = False
    assert polled.turns.take(1000) == 1
    polled.polling.noted(OCTETS)
    assert polled.turns.take(1000) == 0
    polled.loop.is_free = True
    polled.polling.noted(OCTETS)
    assert polled.turns.take(1000) == TURNS


def on(node: Node) -> BusyPolling:
    """The broker's, switched on as by a try that paid."""
    polling = node.broker.polling
    polling.is_on, polling._until_ms = True, node.clock.monotonic_ms() + ON_MS
    return polling


def test_a_broker_polls_after_a_read_but_not_while_the_log_is_being_written(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect(make=SurgingConnection)
        client.send(commands.Queue.Declare, queue="q", durable=True)
        node.settle()
        assert client.names() == ["Queue.DeclareOk"]
        polling = on(node)
        client.publish(b"transient", "nowhere")
        assert not polling._is_polling, "all turns were taken"
        turns = node.turns = SteppedTurns()
        polling._call_soon = turns.call_soon
        client.connection.data_received(message(b"transient", b"nowhere"))
        assert polling._is_polling
        assert turns.take(1000) == TURNS
        stream = object()
        node.broker.gathering.streams.add(stream)
        client.connection.data_received(message(b"transient", b"nowhere"))
        assert not polling._is_polling, "what is gathered comes when it is due"
        node.broker.gathering.streams.clear()
        client.connection.data_received(message(b"kept", b"q", PERSISTENT))
        assert not polling._is_polling
        node.settle()
        client.connection.data_received(message(b"transient", b"nowhere"))
        assert polling._is_polling
        assert turns.take(1000) == TURNS


def test_what_is_read_counts_by_its_octets(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect(make=SurgingConnection)
        before, read = node.broker.polling._octets, message(bytes(1000), b"nowhere")
        client.feed(read)
        client.feed(b"")
        assert node.broker.polling._octets - before == len(read)


def test_polling_in_vain_does_not_make_a_loop_busy(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        gathering, polling = node.broker.gathering, node.broker.polling
        for vain_share, is_busy in ((0.9, False), (0.0, True)):
            node.clock.advance(1000)
            node.clock.used_ms += 1000
            polling.idle_us += round(vain_share * 1_000_000)
            gathering._see_how_busy()
            assert gathering.is_busy is is_busy


def test_a_broker_does_not_poll_where_that_is_off(tmp_path: Path) -> None:
    with running_node(tmp_path, busy_polling="off") as node:
        client = node.connect(make=SurgingConnection)
        for _ in range(SAMPLE_READS * 20):
            node.clock.advance(1)
            client.publish(b"x", "nowhere")
            assert not node.broker.polling.is_on
