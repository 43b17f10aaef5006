"""lavinmq#2037: a binding made while the file of definitions was written anew was in neither the old one nor the new.

The journal is written anew when most of it is dead: here in the same write as a binding, with power lost at every call
of it, and at the start behind damage. What was confirmed to a client is always there.
"""

from contextlib import suppress
from pathlib import Path

import pytest

from storage import definitions
from storage.errors import StorageError
from tests.storage.driving import Driver
from tests.storage.simulated_disk import PowerLoss, SimulatedDisk

DIRECTORY = Path("/data")


def key(name: str) -> tuple[str, ...]:
    return ("binding", "/", "exchange", name)


def churn(driver: Driver, promised: list[str]) -> None:
    """Bindings come and go until the journal is written anew, several times; ``promised`` are those that stay."""
    for number in range(10):
        for turn in range(5):
            driver.define(key("same"), {"turn": turn})
        driver.define(key(f"kept {number % 4}"), {})
        driver.wait_durable()
        if driver.failures:
            return
        promised.append(f"kept {number % 4}")


def names_in(driver: Driver) -> set[str]:
    return {one[-1] for one in driver.model.definitions}


@pytest.fixture(autouse=True)
def _rewrite_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "SNAPSHOT_RECORDS", 3)


def test_a_binding_made_in_the_write_that_renews_the_journal_is_there() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    promised: list[str] = []
    churn(driver, promised)
    assert len([call for call in disk.calls if call.startswith("rename 0")]) >= 2, "it was not written anew"
    assert names_in(Driver(DIRECTORY, disk.after_kill())) == {"same", *promised}


def test_power_lost_at_any_call_of_that_loses_no_binding() -> None:
    whole = SimulatedDisk()
    churn(Driver(DIRECTORY, whole), [])
    for call in range(1, len(whole.calls) + 1):
        disk = SimulatedDisk()
        disk.fail_at = call
        promised: list[str] = []
        with suppress(PowerLoss, StorageError):
            churn(Driver(DIRECTORY, disk), promised)
        for names in ("durable", "all", "even", "odd"):
            for content in ("durable", "all"):
                found = Driver(DIRECTORY, disk.after_power_loss(names, content))
                assert found.store.recovery.damage == []
                assert names_in(found) >= set(promised), (call, whole.calls[call - 1], names, content)


def test_a_start_that_renews_a_damaged_journal_keeps_what_it_read_and_what_comes_then() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk)
    for name in "abc":
        driver.define(key(name), {})
        driver.wait_durable()
    driver.close()
    (path,) = [path for path in disk.files if path.parent.name == "definitions"]
    data = disk.files[path].data
    data[bytes(data).index(b'"b"')] ^= 1
    found = Driver(DIRECTORY, disk)
    assert names_in(found) == {"a", "c"}
    found.define(key("d"), {})
    found.wait_durable()
    assert names_in(Driver(DIRECTORY, disk.after_power_loss("durable", "durable"))) == {"a", "c", "d"}
