"""Unacked: ranges of tags behave as the single tags they stand for."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.unacked import Delivery, Unacked
from tests.core.recording import new_queue, stretch_of

QUEUE = new_queue()


def opened(*counts: int) -> Unacked:
    """Return deliveries whose ids are ten times their tags' hundred: tag 1 has id 1, and so on."""
    unacked, tag = Unacked(), 1
    for count in counts:
        unacked.add(Delivery(tag, QUEUE, None, stretch_of(tag, count)))
        tag += count
    return unacked


def ids(deliveries: list[Delivery]) -> list[int]:
    return [message_id for delivery in deliveries for message_id in delivery.stretch.ids]


def test_tags_acked_in_order_leave_from_the_front() -> None:
    unacked = opened(3, 2)
    assert ids(unacked.take(1, 4)[0]) == [1, 2, 3, 4]
    assert unacked.count == 1


def test_tag_from_the_middle_splits_its_range() -> None:
    unacked = opened(5)
    assert ids(unacked.take(3, 1)[0]) == [3]
    assert [unacked.has(tag) for tag in range(7)] == [False, True, True, False, True, True, False]
    assert ids(unacked.take_all()) == [1, 2, 4, 5]


def test_first_tag_that_is_not_open_is_named_and_ends_the_taking() -> None:
    unacked = opened(2, 3)
    unacked.take(4, 1)
    taken, unknown = unacked.take(2, 4)
    assert (ids(taken), unknown) == ([2, 3], 4)
    assert unacked.has(5)


def test_up_to_a_tag_takes_all_open_ones_below_and_itself() -> None:
    unacked = opened(2, 2, 2)
    unacked.take(2, 1)
    assert ids(unacked.take_up_to(5)) == [1, 3, 4, 5]
    assert unacked.count == 1


def test_what_was_taken_can_be_put_back_under_its_tags() -> None:
    unacked = opened(4)
    taken, _ = unacked.take(2, 2)
    for delivery in taken:
        unacked.put_back(delivery)
    assert ids(unacked.take_up_to(4)) == [1, 2, 3, 4]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=8), st.data())
def test_any_order_of_taking_finds_each_tag_once(counts: list[int], data: st.DataObject) -> None:
    unacked = opened(*counts)
    model = set(range(1, sum(counts) + 1))
    for _ in range(data.draw(st.integers(1, 12))):
        tag = data.draw(st.integers(1, sum(counts) + 1))
        count = data.draw(st.integers(1, 400))
        if data.draw(st.booleans()):
            taken, unknown = unacked.take(tag, count)
            expected: set[int] = set()
            for wanted in range(tag, tag + count):
                if wanted not in model:
                    assert unknown == wanted
                    break
                expected.add(wanted)
        else:
            taken = unacked.take_up_to(tag)
            expected = {wanted for wanted in model if wanted <= tag}
        assert ids(taken) == sorted(expected)
        model -= expected
        assert unacked.count == len(model)
    assert ids(unacked.take_all()) == sorted(model)
