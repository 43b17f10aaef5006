"""The sync of what was copied aside failed, and was taken for a lack of room: the messages were given up and their
segment was dropped, though a power cut would leave neither; and a copy's content was synced again, as if that said a
thing.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.errors import StorageError
from tests.regress.test_trimming_ends_at_damage import (
    DIRECTORY,
    churn,
    damage,
    in_quarantine,
    segments,
    with_three_live,
)
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

IsMeant = Callable[[SimulatedDisk, Any], bool]


def failing_once(monkeypatch: pytest.MonkeyPatch, call: str, is_meant: IsMeant) -> list[int]:
    """Have the first such sync fail; returned is a list with an entry for each that was tried."""
    real = getattr(SimulatedDisk, call)
    tried: list[int] = []

    def fail(disk: SimulatedDisk, what: Any) -> None:
        if is_meant(disk, what):
            tried.append(1)
            if len(tried) == 1:
                raise OSError(errno.EIO, "Input/output error")
        real(disk, what)

    monkeypatch.setattr(SimulatedDisk, call, fail)
    return tried


SYNCS: list[tuple[str, IsMeant]] = [
    ("dirsync", lambda disk, directory: bool(directory == DIRECTORY / "quarantine")),
    ("dirsync", lambda disk, directory: bool(directory == DIRECTORY) and disk.exists(DIRECTORY / "quarantine")),
    ("fdatasync", lambda disk, fd: disk.handles[fd].parent == DIRECTORY / "quarantine"),
]
NAMES = ["its name", "the directory's name", "its content"]


@pytest.mark.parametrize(("call", "is_meant"), SYNCS, ids=NAMES)
def test_while_trimming_it_is_final_and_nothing_is_given_up(
    call: str, is_meant: IsMeant, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, driver, _ = with_three_live()
    first = segments(disk)[0]
    damage(disk)
    tried = failing_once(monkeypatch, call, is_meant)
    churn(driver)
    assert len(tried) == 1
    (failure,) = driver.failures
    assert "Input/output error" in str(failure)
    assert failure.exit_code == 74
    assert driver.store.failure is failure
    kept: list[int] = []
    driver.publish((1,), [b"after"])
    driver.store.promise(kept.append)
    driver.store.flush()
    driver.close()
    assert kept == []
    assert len(tried) == 1
    assert not disk.exists(DIRECTORY / "clean")
    assert first in disk.after_power_loss("durable", "durable").files


@pytest.mark.parametrize(("call", "is_meant"), SYNCS, ids=NAMES)
def test_while_reading_it_is_final(call: str, is_meant: IsMeant, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, driver, ids = with_three_live()
    damage(disk)
    tried = failing_once(monkeypatch, call, is_meant)
    for _ in range(2):
        driver.store.reading.read_now([ids], 1 << 20)
    assert driver.store.failure is not None
    kept: list[int] = []
    driver.store.promise(kept.append)
    driver.publish((1,), [b"after"])
    driver.store.flush()
    driver.run_calls()
    assert driver.failures == [driver.store.failure]
    driver.close()
    assert (kept, len(tried)) == ([], 1)


@pytest.mark.parametrize(("call", "is_meant"), SYNCS, ids=NAMES)
def test_at_the_start_it_ends_the_start_and_the_next_one_syncs_it(
    call: str, is_meant: IsMeant, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, driver, _ = with_three_live()
    damage(disk)
    driver.close()
    with monkeypatch.context() as patch:
        tried = failing_once(patch, call, is_meant)
        with pytest.raises(StorageError, match="Input/output error"):
            Driver(Path(DIRECTORY), disk)
        assert len(tried) == 1
    again = Driver(Path(DIRECTORY), disk)
    (told,) = again.store.recovery.quarantined
    assert "; copied to " in told
    assert len(in_quarantine(disk.after_power_loss("durable", "durable"))) == 1
    again.close()
