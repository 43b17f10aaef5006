"""Power loss at every disk call of a session with rolls, trims, copies and journal snapshots."""

from itertools import pairwise
from pathlib import Path

import pytest

from storage import definitions, store
from storage.errors import StorageError
from tests.storage.driving import Driver, recovered_model
from tests.storage.sessions import DIRECTORY, SEGMENT_OCTETS, Session, check, recover
from tests.storage.simulated_disk import Content, Names, SimulatedDisk
from tests.torture import count, ran, those_of_slice

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


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LAZY_S", 0.0)
    monkeypatch.setattr(definitions, "SNAPSHOT_RECORDS", 6)


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
    # By day two of the leftovers each, by turns.
    turns = count(4, 1)
    states = [
        (call, i) for call in range(1, len(whole.calls) + 1) for i in range(len(LEFTOVERS)) if (call + i) % turns == 0
    ]
    disk, session = SimulatedDisk(), Session()
    for call, i in those_of_slice(states, len(states)):
        if call != disk.fail_at:
            disk, session = SimulatedDisk(), Session(is_pipelined)
            disk.fail_at = call
            try:
                session.run(disk)
            except (StorageError, OSError):
                assert disk.is_off
        names, content = LEFTOVERS[i]
        found = disk.after_power_loss(names, content)
        # Recovery is cut short as well, and once more; then it must come through.
        for again in (call + i, call + i + 3):
            found.fail_at = len(found.calls) + again % 9 + 1
            try:
                check(recover(found), session)
            except (StorageError, OSError):
                assert found.is_off
            found = found.after_power_loss(names, content)
        model = recover(found)
        check(model, session)
        assert recover(found) == model
        ran("T3", 1, "power cuts of a scripted session, at every call")
