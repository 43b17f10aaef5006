"""When messages came is told by their ids, about, whatever the time between them, by a bounded number of marks."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import arrivals
from broker.core.arrivals import MARK_MS, SHARE, Arrivals
from broker.core.messages import MessageIds
from broker.server.clock import ManualClock


def test_what_was_there_at_the_start_is_not_told() -> None:
    ids, clock = MessageIds(100), ManualClock()
    marks = Arrivals(ids, clock)
    assert marks.age_ms(99) is None
    ids.take(1)
    marks.note()
    clock.advance(500)
    assert (marks.first_id, marks.age_ms(99), marks.age_ms(100)) == (100, None, 500)


def test_no_timer_stays_while_nothing_comes() -> None:
    ids, clock = MessageIds(), ManualClock()
    marks = Arrivals(ids, clock)
    marks.note()
    assert clock.timer_count == 0
    ids.take(5)
    marks.note()
    assert marks.is_timed
    clock.advance(3 * MARK_MS)
    assert (marks.is_timed, clock.timer_count) == (False, 0)


def test_message_after_a_pause_is_new() -> None:
    ids, clock = MessageIds(), ManualClock()
    marks = Arrivals(ids, clock)
    for _ in range(3):
        (last,) = ids.take(1)
        marks.note()
        assert marks.age_ms(last) == 0
        clock.advance(3_600_000)
    assert [marks.age_ms(each) for each in (1, 2, 3)] == [3 * 3_600_000, 2 * 3_600_000, 3_600_000]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0, 10, 300, 999, 1001, 40_000, 10**7])), max_size=200))
@settings(deadline=None)
def test_age_is_right_to_a_second_or_a_part_of_it(steps: list[tuple[int, int]]) -> None:
    ids, clock = MessageIds(), ManualClock()
    marks = Arrivals(ids, clock)
    marks._thinned_at = arrivals.THINNED_AT // 1024
    came: dict[int, int] = {}
    for count, pause_ms in steps:
        came |= dict.fromkeys(ids.take(count), clock.monotonic_ms())
        if not marks.is_timed:
            marks.note()
        clock.advance(pause_ms)
    for message_id, came_ms in came.items():
        age_ms = clock.monotonic_ms() - came_ms
        told_ms = marks.age_ms(message_id)
        assert told_ms is not None
        assert age_ms <= told_ms <= age_ms + max(2 * MARK_MS, age_ms // (SHARE // 2))


def test_marks_of_a_long_time_are_few() -> None:
    ids, clock = MessageIds(), ManualClock()
    marks = Arrivals(ids, clock)
    for _ in range(40_000):
        ids.take(10)
        if not marks.is_timed:
            marks.note()
        clock.advance(MARK_MS)
    assert len(marks._firsts) <= arrivals.THINNED_AT
    newest, oldest = marks.age_ms(ids.next_id - 1), marks.age_ms(1)
    assert newest is not None
    assert newest <= 2 * MARK_MS
    assert oldest == 40_000 * MARK_MS
