"""Power loss at every disk call of a session with rolls, trims, copies and journal snapshots."""

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from storage import definitions, store
from storage.errors import StorageError
from tests.storage.driving import Driver, Model, recovered_model
from tests.storage.simulated_disk import Content, Names, SimulatedDisk

DIRECTORY = Path("/data/leveret")
SEGMENT_OCTETS = 600
LEFTOVERS: list[tuple[Names, Content]] = [
    ("durable", "durable"),
    ("all", "all"),
    ("all", "durable"),
    ("durable", "half"),
    ("all", "half"),
    ("all", "zeros"),
    ("even", "all"),
    ("odd", "durable"),
]


class Session:
    """A scripted session. ``states`` are the models after each step; up to ``promised`` they are durable.

    A pipelined one goes on while batches are being written.
    """

    def __init__(self, is_pipelined: bool = False) -> None:
        self.is_pipelined = is_pipelined
        self.states: list[Model] = [Model()]
        self.promised = 0

    def run(self, disk: SimulatedDisk) -> None:
        Driver(DIRECTORY, disk, SEGMENT_OCTETS).close()
        driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
        for step in range(14):
            self._step(driver, step)
            self.states.append(driver.model.copy())
            driver.store.promise(partial(self._promised, len(self.states) - 1))
            driver.store.flush()
            driver.run_calls()
            if not self.is_pipelined or step % 5 == 4:
                driver.wait_idle()
        driver.close()
        if driver.failures:
            raise driver.failures[0]

    def _promised(self, state: int, ticket: int) -> None:
        assert state > self.promised
        self.promised = state

    def _step(self, driver: Driver, step: int) -> None:
        if step == 0:
            driver.publish((1, 2, 3), [b"oldest-%d" % i for i in range(5)])
            driver.delivered(1, 2)
            driver.define(("queue", "/", "one"), {"id": 1})
        elif step == 4:
            driver.settle(2, range(1, 6, 2))
            driver.define(("queue", "/", "one"), {"id": 1, "step": step})
        elif step == 9:
            driver.delete_queue(3)
            driver.define(("queue", "/", "one"), None)
        driver.define(("exchange", "/", "x"), step)
        if step < 6:
            driver.publish((6,), [b"piles up" * 20])
        elif step == 7:
            for message_id in list(driver.model.queues[6]):
                driver.settle(6, range(message_id, message_id + 1))
        ids = driver.publish((4,), [b"stream %3d" % step * 8] * 2)
        driver.settle(4, ids)
        if step in (0, 1, 9, 10):
            driver.publish((5,), [b"one"])
        if step == 11:
            driver.settle(5, range(min(driver.model.queues[5]), min(driver.model.queues[5]) + 1))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LAZY_S", 0.0)
    monkeypatch.setattr(definitions, "SNAPSHOT_RECORDS", 6)


def _recover(disk: SimulatedDisk) -> Model:
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    assert not driver.store.recovery.damage
    driver.close()
    return driver.model


def _check(found: Model, session: Session) -> None:
    possible = session.states[session.promised :]
    assert found.queues in [state.queues for state in possible]
    assert found.definitions in [state.definitions for state in possible]
    assert list(found.definitions) in [list(state.definitions) for state in possible]


def test_session_covers_roll_trim_copy_and_snapshot() -> None:
    disk = SimulatedDisk()
    session = Session()
    session.run(disk)
    assert "rename 00000000000000000002.new" in disk.calls
    unlinks = [i for i, call in enumerate(disk.calls) if call.startswith("unlink 0")]
    assert [b - a for a, b in pairwise(unlinks)].count(2) >= 2  # several in a row
    log = [path for path in disk.files if path.parent.name == "log"]
    assert Path("/data/leveret/log/00000000000000000001.segment") not in log
    assert len(log) < 12
    assert recovered_model(Driver(DIRECTORY, disk, SEGMENT_OCTETS).store) == session.states[-1]


def test_what_recovery_shows_after_a_kill_is_on_disk() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    driver.publish((1,), [b"promised"])
    driver.wait_durable()
    disk.fail_at = len(disk.calls) + 2  # the write is done, its sync is not
    driver.publish((1,), [b"written"])
    driver.define(("queue", "/", "q"), 1)
    driver.wait_durable()
    driver.close()
    killed = disk.after_kill()
    shown = recovered_model(Driver(DIRECTORY, killed, SEGMENT_OCTETS).store)
    found = killed.after_power_loss("durable", "durable")
    assert recovered_model(Driver(DIRECTORY, found, SEGMENT_OCTETS).store) == shown
    assert shown.definitions


@pytest.mark.parametrize("is_pipelined", [False, True])
def test_power_loss_at_any_call_loses_nothing_promised(is_pipelined: bool) -> None:
    whole = SimulatedDisk()
    Session(is_pipelined).run(whole)
    for call in range(1, len(whole.calls) + 1):
        disk = SimulatedDisk()
        disk.fail_at = call
        session = Session(is_pipelined)
        try:
            session.run(disk)
        except (StorageError, OSError):
            assert disk.is_off
        for i, (names, content) in enumerate(LEFTOVERS):
            found = disk.after_power_loss(names, content)
            # Recovery is cut short as well, and once more; then it must come through.
            for again in (call + i, call + i + 3):
                found.fail_at = len(found.calls) + again % 9 + 1
                try:
                    _check(_recover(found), session)
                except (StorageError, OSError):
                    assert found.is_off
                found = found.after_power_loss(names, content)
            model = _recover(found)
            _check(model, session)
            assert _recover(found) == model
