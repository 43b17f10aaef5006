"""Deadlines of one length: each comes in its time, lifted ones never, and one timer does for all."""

from broker.server.clock import ManualClock
from broker.server.deadlines import Deadlines

DELAY_MS = 1000


class Late:
    """Notes who was late, and when."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.start_ms = self.clock.monotonic_ms()
        self.noted: list[tuple[str, int]] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, DELAY_MS, self.note)

    def note(self, who: str) -> None:
        self.noted.append((who, self.clock.monotonic_ms() - self.start_ms))


def test_each_is_told_in_its_time() -> None:
    late = Late()
    for who in "abc":
        late.deadlines.set(who)
        late.clock.advance(100)
    assert late.clock.timer_count == 1
    late.clock.advance(5000)
    assert late.noted == [("a", 1000), ("b", 1100), ("c", 1200)]
    assert late.clock.timer_count == 0


def test_whose_deadline_is_lifted_is_left_alone() -> None:
    late = Late()
    for who in "abcd":
        late.deadlines.set(who)
        late.clock.advance(100)
    late.deadlines.lift("a")
    late.deadlines.lift("c")
    late.deadlines.lift("nobody")
    late.clock.advance(5000)
    assert late.noted == [("b", 1100), ("d", 1300)]


def test_the_timer_ends_when_all_are_lifted_and_begins_anew() -> None:
    late = Late()
    late.deadlines.set("a")
    late.deadlines.lift("a")
    late.clock.advance(DELAY_MS)
    assert (late.noted, late.clock.timer_count) == ([], 0)
    late.deadlines.set("b")
    late.clock.advance(DELAY_MS)
    assert late.noted == [("b", 2000)]


def test_who_is_set_again_gets_the_whole_time_again() -> None:
    late = Late()
    late.deadlines.set("a")
    late.deadlines.set("b")
    late.clock.advance(600)
    late.deadlines.lift("a")
    late.deadlines.set("a")
    late.clock.advance(2000)
    assert late.noted == [("b", 1000), ("a", 1600)]


def test_those_who_follow_one_whose_end_fails_are_told_all_the_same() -> None:
    late = Late()
    failing: Deadlines[str] = Deadlines(late.clock, DELAY_MS, lambda who: late.note(who) if who != "bad" else 1 // 0)
    for who in ("bad", "good"):
        failing.set(who)
    for _ in range(2):
        try:
            late.clock.advance(DELAY_MS)
        except ZeroDivisionError:
            late.clock.run_due()
    assert [who for who, _ in late.noted] == ["good"]
