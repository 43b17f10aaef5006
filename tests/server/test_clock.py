"""The clock: time, order, cancelling, and the loop's wake-ups."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.server.clock import CANCELLED_KEPT, Clock, ManualClock, Timer


def note(calls: list[str], name: str) -> Callable[[], None]:
    return lambda: calls.append(name)


def test_timers_fire_in_order_of_due_time_and_then_of_asking() -> None:
    clock = ManualClock()
    calls: list[str] = []
    clock.call_later(20, note(calls, "late"))
    clock.call_later(10, note(calls, "first"))
    clock.call_later(10, note(calls, "second"))
    clock.advance(9)
    assert calls == []
    clock.advance(1)
    assert calls == ["first", "second"]
    clock.advance(100)
    assert calls == ["first", "second", "late"]


def test_each_call_sees_its_own_due_time() -> None:
    clock = ManualClock(now_ms=0)
    seen: list[tuple[int, int]] = []
    for delay_ms in (30, 10):
        clock.call_later(delay_ms, lambda: seen.append((clock.monotonic_ms(), clock.wall_ms())))
    wall_ms = clock.wall_ms()
    clock.advance(50)
    assert seen == [(10, wall_ms + 10), (30, wall_ms + 30)]
    assert clock.monotonic_ms() == 50


def test_cancelled_timer_does_not_fire_and_may_be_cancelled_again() -> None:
    clock = ManualClock()
    calls: list[str] = []
    timer = clock.call_later(5, note(calls, "never"))
    timer.cancel()
    timer.cancel()
    clock.advance(10)
    assert calls == []
    assert clock.timer_count == 0


def test_timer_cancelled_by_one_that_is_due_with_it_does_not_fire() -> None:
    clock = ManualClock()
    calls: list[str] = []
    second: list[Timer] = []
    clock.call_later(5, lambda: second[0].cancel())
    second.append(clock.call_later(5, note(calls, "never")))
    clock.advance(5)
    assert calls == []


def test_cancelling_after_the_call_changes_nothing() -> None:
    clock = ManualClock()
    timer = clock.call_later(5, lambda: None)
    clock.advance(5)
    timer.cancel()
    assert not timer.is_waiting
    assert clock.timer_count == 0


def test_wall_time_may_jump_without_moving_timers() -> None:
    clock = ManualClock()
    calls: list[str] = []
    clock.call_later(5, note(calls, "due"))
    clock.set_wall_ms(0)
    clock.advance(4)
    assert (calls, clock.wall_ms()) == ([], 4)
    clock.advance(1)
    assert calls == ["due"]


def test_a_timer_set_by_a_call_waits_for_the_next_turn() -> None:
    clock = ManualClock(now_ms=0)
    seen: list[int] = []

    def again() -> None:
        seen.append(clock.monotonic_ms())
        if len(seen) < 3:
            clock.call_at(0, again)

    clock.call_at(0, again)
    clock.run_due()
    assert seen == [0]
    clock.advance(5)
    assert seen == [0, 1, 2]


def test_many_cancelled_timers_leave_the_heap() -> None:
    clock = ManualClock()
    kept = clock.call_later(1000, lambda: None)
    for _ in range(10 * CANCELLED_KEPT):
        clock.call_later(1000, lambda: None).cancel()
    assert len(clock._heap) <= CANCELLED_KEPT + 2
    assert clock.timer_count == 1
    assert kept.is_waiting


class Alarm:
    """The part of a loop that a clock asks for: the delays that it was asked to wake up after."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []
        self.wake_up: Callable[[], object] = lambda: None

    def call_later(self, delay_s: float, call: Callable[[], object]) -> "Alarm":
        self.delays_s.append(delay_s)
        self.wake_up = call
        return self

    def cancel(self) -> None:
        self.wake_up = lambda: None


def test_the_loop_is_not_woken_for_timers_that_were_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = Alarm()
    clock = Clock(cast(asyncio.AbstractEventLoop, alarm))
    now_ms = [0]
    monkeypatch.setattr(clock, "monotonic_ms", lambda: now_ms[0])
    calls: list[str] = []
    clock.call_later(10, note(calls, "first"))
    handshakes = [clock.call_later(20 + number, note(calls, "never")) for number in range(100)]
    clock.call_later(1000, note(calls, "last"))
    for timer in handshakes:
        timer.cancel()
    for now_ms[0] in (10, 1000):
        alarm.wake_up()
    assert alarm.delays_s == [0.01, 0.99]
    assert calls == ["first", "last"]
    assert clock.timer_count == 0


def test_a_call_that_raises_leaves_the_others_for_the_next_turn() -> None:
    clock = ManualClock()
    calls: list[str] = []
    clock.call_later(5, lambda: [][0])
    clock.call_later(5, note(calls, "still called"))
    with pytest.raises(IndexError):
        clock.advance(5)
    clock.advance(0)
    assert calls == ["still called"]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=60),
    st.lists(st.integers(0, 30), max_size=8),
)
def test_every_timer_fires_once_unless_cancelled(timers: list[tuple[int, bool]], steps: list[int]) -> None:
    clock = ManualClock(now_ms=0)
    fired: list[tuple[int, int]] = []

    def fire(turn: int) -> Callable[[], None]:
        return lambda: fired.append((clock.monotonic_ms(), turn))

    set_timers = [(clock.call_later(due, fire(turn)), cancel) for turn, (due, cancel) in enumerate(timers)]
    for timer, cancel in set_timers:
        if cancel:
            timer.cancel()
    for step in steps:
        clock.advance(step)
    end = sum(steps)
    expected = [(due, turn) for turn, (due, cancel) in enumerate(timers) if not cancel and due <= end]
    # A clock that has not moved yet has called nothing, not even what was due at once.
    assert fired == (sorted(expected) if steps else [])
    assert clock.timer_count == sum(not cancel for _, cancel in timers) - len(fired)


async def test_the_loop_wakes_for_the_earliest_timer() -> None:
    clock = Clock(asyncio.get_running_loop())
    done = asyncio.Event()
    calls: list[str] = []
    clock.call_later(60_000, note(calls, "far"))
    clock.call_later(30, note(calls, "second"))
    clock.call_later(30, done.set)
    started_ms = clock.monotonic_ms()
    clock.call_later(5, note(calls, "first"))
    async with asyncio.timeout(5):
        await done.wait()
    assert calls == ["first", "second"]
    assert clock.monotonic_ms() - started_ms >= 29
    assert clock.timer_count == 1


async def test_on_the_loop_a_call_that_raises_is_reported_and_stops_no_other() -> None:
    loop = asyncio.get_running_loop()
    reports: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _loop, context: reports.append(context))
    clock = Clock(loop)
    done = asyncio.Event()
    clock.call_later(1, lambda: [][0])
    clock.call_later(1, done.set)
    async with asyncio.timeout(5):
        await done.wait()
    assert [type(report["exception"]) for report in reports] == [IndexError]


def test_wall_and_monotonic_time_are_the_machines() -> None:
    clock = Clock(None)
    assert clock.wall_ms() > 1_600_000_000_000
    assert clock.monotonic_ms() <= clock.monotonic_ms()
