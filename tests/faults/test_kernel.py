"""The store on the real kernel: killed at every call that changes a file, and every such call failing once.

After each of these runs the directory is opened again: what was promised is there, nothing is that was not written,
and there is no damage. Promises P1, P2, P6, P8; the same with power cuts in tests/storage/test_crash.py.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults import session
from tests.faults.tracing import Traced, require_strace
from tests.storage.driving import Driver, Model
from tests.torture import ran, those_of_slice

SCRIPT = Path(session.__file__)
STATES = session.states()
KILLS = 60  # by day; at night a longer session is killed at each of its calls
FAULTS = 12  # by day, of each sort


@pytest.fixture(scope="module", autouse=True)
def _strace() -> None:
    require_strace()


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, _strace: None) -> dict[str, dict[str, int]]:
    """By phase: how often the busiest thread makes each call in a session without faults."""
    found = {}
    for phase in ("boot", "session", "close"):
        directory = tmp_path_factory.mktemp(phase) / "data"
        with Traced(SCRIPT, directory, phase, None) as traced:
            traced.run()
            assert (traced.exit_code, traced.lines[-1]) == (0, "closed")
            found[phase] = traced.most()
    return found


def recovered(directory: Path, promised: int) -> Model:
    """What is there now, which must be at least what was promised."""
    driver = Driver(directory, segment_octets=session.SEGMENT_OCTETS)
    assert driver.store.recovery.damage == []
    assert driver.store.recovery.quarantined == []
    model = driver.model.copy()
    driver.close()
    plain = [_plain(state) for state in STATES[promised : promised + 2]]
    assert _plain(model) in plain or _with_new_definitions(model, promised)
    return model


def _plain(model: Model) -> Model:
    """Redelivery is not told here, and a queue without messages is as good as none."""
    return Model({q: dict(messages) for q, messages in model.queues.items() if messages}, dict(model.definitions))


def _with_new_definitions(model: Model, promised: int) -> bool:
    """Definitions come to disk before the batch of messages that relies on them."""
    if promised + 1 >= len(STATES):
        return False
    before, after = _plain(STATES[promised]), _plain(STATES[promised + 1])
    return _plain(model) == Model(before.queues, after.definitions)


def promised_by(traced: Traced) -> int:
    return max((int(line) for line in traced.lines if line.isdigit()), default=0)


def places(calls: dict[str, int], limit: int, *names: str) -> Sequence[tuple[str, int]]:
    """(call, which time) of every call, by day of ``limit`` of them that lie evenly."""
    return those_of_slice([(name, time) for name in names or calls for time in range(1, calls.get(name, 0) + 1)], limit)


@pytest.mark.parametrize("phase", ["boot", "session", "close"])
def test_killed_at_every_call_nothing_promised_is_lost(
    tmp_path: Path, calls: dict[str, dict[str, int]], phase: str
) -> None:
    for call, time in places(calls[phase], KILLS):
        directory = tmp_path / f"{call}-{time}"
        with Traced(SCRIPT, directory, phase, f"{call}:signal=SIGKILL:when={time}") as traced:
            traced.run()
            assert traced.exit_code == -9, (call, time)
            recovered(directory, promised_by(traced))
        ran(
            *(
                ("T2", 1, "calls of a session, killed at")
                if phase == "session"
                else ("T8", 1, f"calls of {phase}, killed at")
            )
        )
    assert sum(calls[phase].values()) >= (4 if phase == "close" else 10)


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_failed_sync_ends_it_and_is_never_tried_again(
    tmp_path: Path, calls: dict[str, dict[str, int]], call: str
) -> None:
    for _, time in places(calls["session"], FAULTS, call):
        directory = tmp_path / f"{call}-{time}"
        with Traced(SCRIPT, directory, "session", f"{call}:error=EIO:when={time}") as traced:
            traced.run()
            assert traced.exit_code == 74, (call, time)
            assert traced.lines[-1].startswith("failed storage failed: OSError")
            assert traced.most().get(call, 0) == time, "synced again after a failure"
            recovered(directory, promised_by(traced))
        ran("T6", 1, f"failures of {call}")


def test_a_failed_write_ends_it(tmp_path: Path, calls: dict[str, dict[str, int]]) -> None:
    for call, time in places(calls["session"], FAULTS, "writev"):
        directory = tmp_path / f"{call}-{time}"
        with Traced(SCRIPT, directory, "session", f"{call}:error=EIO:when={time}") as traced:
            traced.run()
            assert traced.exit_code == 74
            recovered(directory, promised_by(traced))
        ran("T6", 1, "failures of writev")


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT"])
def test_a_full_disk_is_waited_for_at_any_write(tmp_path: Path, calls: dict[str, dict[str, int]], error: str) -> None:
    for call, time in places(calls["session"], FAULTS, "writev", "rename"):
        directory = tmp_path / f"{call}-{time}"
        with Traced(SCRIPT, directory, "session", f"{call}:error={error}:when={time}..{time + 2}") as traced:
            traced.run()
            assert (traced.exit_code, traced.lines[-1]) == (0, "closed"), (call, time, traced.lines)
            # The last renaming is that of the clean mark, which nobody waits for.
            assert "short" in traced.lines or call == "rename"
            assert promised_by(traced) == session.STEPS
            recovered(directory, session.STEPS)
        ran("T6", 1, f"{call}: {error}")


def test_an_interrupted_call_is_made_again(tmp_path: Path, calls: dict[str, dict[str, int]]) -> None:
    for call in ("writev", "fdatasync", "fsync"):
        with Traced(SCRIPT, tmp_path / call, "session", f"{call}:error=EINTR:when=2+2") as traced:
            traced.run()
            assert (traced.exit_code, traced.lines[-1]) == (0, "closed")
            recovered(tmp_path / call, session.STEPS)
        ran("T6", 1, f"{call}: EINTR at every other call")
