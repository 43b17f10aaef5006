"""The ledger itself: each kind of broken promise shows in it, and a kept one does not."""

import time

import pytest

from tests.crash.ledger import SYNCED_S, Account, body_of, failures_of, name_of

FIRST, SECOND, THIRD = (0, 1), (0, 2), (0, 3)


@pytest.fixture(autouse=True)
def _no_error_logged() -> None:
    """There is no log here."""


@pytest.fixture
def account() -> Account:
    """An account of one message settled long before the kill, one confirmed, one published."""
    account = Account(published={FIRST, SECOND, THIRD}, confirmed={FIRST, SECOND})
    account.deliver(FIRST, redelivered=False)
    account.settled[FIRST] = account.delivered[FIRST]
    account.killed(time.monotonic() + 2 * SYNCED_S)
    return account


def test_kept_promises_leave_no_failures(account: Account) -> None:
    account.deliver(SECOND, redelivered=False)
    account.killed(time.monotonic())
    account.deliver(SECOND, redelivered=False)
    account.deliver(THIRD, redelivered=False)
    account.check_complete()
    assert failures_of([account]) == []


def test_lost_message_shows(account: Account) -> None:
    account.deliver(THIRD, redelivered=False)
    account.check_complete()
    assert failures_of([account]) == ["1 confirmed messages lost, such as [(0, 2)]"]


def test_unconfirmed_message_may_be_lost(account: Account) -> None:
    account.deliver(SECOND, redelivered=False)
    account.check_complete()
    assert failures_of([account]) == []


def test_phantom_shows(account: Account) -> None:
    account.deliver((7, 1), redelivered=False)
    assert failures_of([account]) == ["phantom (7, 1)"]


def test_settled_message_that_comes_again_shows(account: Account) -> None:
    account.deliver(FIRST, redelivered=True)
    assert failures_of([account]) == ["(0, 1) came again after its ack was safe"]


def test_missing_redelivered_mark_shows(account: Account) -> None:
    account.deliver(SECOND, redelivered=False)
    account.killed(time.monotonic() + 2 * SYNCED_S)
    account.deliver(SECOND, redelivered=False)
    assert failures_of([account]) == ["(0, 2) was delivered before the kill, but is not marked redelivered"]


def test_wrong_order_shows(account: Account) -> None:
    account.deliver(THIRD, redelivered=False)
    account.deliver(SECOND, redelivered=False)
    assert failures_of([account]) == [
        "(0, 2) was first delivered after 3 of its publisher",
        "(0, 2) came after 3 of its publisher",
    ]


def test_message_delivered_twice_in_one_run_shows(account: Account) -> None:
    account.deliver(SECOND, redelivered=False)
    account.deliver(SECOND, redelivered=True)
    assert failures_of([account]) == ["(0, 2) came after 2 of its publisher"]


def test_damaged_body_shows() -> None:
    body = body_of((1, 100))
    assert name_of(body) == (1, 100)
    with pytest.raises(AssertionError, match="damaged"):
        name_of(body[:-1] + b"y")
