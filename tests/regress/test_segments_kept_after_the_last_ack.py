"""A segment's last messages were settled while they were read to be copied: nothing was copied, so no batch followed,
and all segments stayed on the disk until somebody published again.
"""

from pathlib import Path

import pytest

from storage.trim import Fetched, Trimmer
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk


def test_the_next_step_follows_a_read_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(Path("/data"), SimulatedDisk(), 600)
    ids = driver.publish((1,), [b"settled while it is read"])
    driver.settle(1, ids)
    driver.wait_idle()
    steps: list[int] = []
    monkeypatch.setattr(Trimmer, "step", lambda _trimmer, ticket, _segment: steps.append(ticket))
    driver.store._trimmer._copy(1, Fetched([(ids.start, 100, b"")], [], []))
    assert steps == [driver.store.durable_ticket]
    driver.close()
