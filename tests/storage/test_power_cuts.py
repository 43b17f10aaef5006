"""Power cut at any call of any session, and again while recovering: random ones, by their numbers.

What is found may be any of the unsynced sectors, with one torn, and any of the unsynced changes of names. Promises P1
and P2. LEVERET_POWER_SEED begins at another number.
"""

import os
import random

import pytest

from storage import definitions, store
from storage.errors import StorageError
from tests.storage.sessions import RandomSession, check, recover
from tests.storage.simulated_disk import SimulatedDisk
from tests.torture import SLICE, ran, share

STATES = share(300, 20_000)
STATES_A_CUT = 4
FIRST = int(os.environ.get("LEVERET_POWER_SEED", "1")) + SLICE * 1_000_000
RECOVERIES_CUT = 2  # recovery is cut short this often; the last one comes through


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LAZY_S", 0.0)
    monkeypatch.setattr(definitions, "SNAPSHOT_RECORDS", 6)


def cut(seed: int, chance: random.Random) -> tuple[SimulatedDisk, RandomSession]:
    """The disk of a session in which the power went at some call."""
    whole = SimulatedDisk()
    RandomSession(seed).run(whole)
    disk, session = SimulatedDisk(), RandomSession(seed)
    disk.fail_at = chance.randint(1, len(whole.calls))
    try:
        session.run(disk)
    except (StorageError, OSError):
        assert disk.is_off
    return disk, session


def test_any_power_cut_of_any_session_loses_nothing_promised() -> None:
    for number in range(STATES):
        seed = FIRST + number // STATES_A_CUT
        if number % STATES_A_CUT == 0:
            disk, session = cut(seed, random.Random(f"cut {seed}"))
        chance = random.Random(f"state {seed}-{number % STATES_A_CUT}")
        try:
            _try_one(disk, session, chance)
        except Exception as failure:
            failure.add_note(f"session {seed}, state {number % STATES_A_CUT} (LEVERET_POWER_SEED={seed})")
            raise
        ran("T3", 1, "power cuts of random sessions")


def _try_one(disk: SimulatedDisk, session: RandomSession, chance: random.Random) -> None:
    found = disk.after_chance_power_loss(chance)
    for depth in range(RECOVERIES_CUT):
        found.fail_at = len(found.calls) + chance.randint(1, 9)
        try:
            check(recover(found), session)
        except (StorageError, OSError):
            assert found.is_off
            ran("T7", 1, f"recoveries cut short, level {depth + 1}")
        found = found.after_chance_power_loss(chance)
    model = recover(found)
    check(model, session)
    assert recover(found) == model
