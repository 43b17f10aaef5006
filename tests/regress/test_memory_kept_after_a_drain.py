"""What a deep queue had taken stayed resident when the queue was empty again: the C library had kept it."""

from pathlib import Path
from typing import Any

import pytest

from broker.config import Settings
from broker.server import resources
from broker.server.alarms import Alarms
from broker.server.clock import ManualClock
from broker.server.resources import ResourceWatch
from storage.store import Store

MIB = 1 << 20


def test_freed_memory_is_given_back_though_no_limit_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock: ManualClock = ManualClock()
    given_back: list[int] = []
    resident = [50 * MIB]
    monkeypatch.setattr(resources, "give_memory_back", lambda: given_back.append(clock.monotonic_ms()))
    store = Store.open(tmp_path / "data", notify=lambda call: None)
    none: dict[str, Any] = {}
    watch = ResourceWatch(Settings(**none), Alarms(set()), clock, store, lambda _: 1 << 40, lambda: resident[0])
    watch.start()
    clock.advance(20_000)
    assert given_back == [], "nothing was taken"
    resident[0] = 200 * MIB
    clock.advance(20_000)
    assert 3 <= len(given_back) <= 5
    store.close()
