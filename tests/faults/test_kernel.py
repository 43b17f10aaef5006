"""The store on the real kernel: killed at every call that changes a file, and every such call failing once.

After each of these runs the directory is opened again: what was promised is there, nothing is that was not written,
and there is no damage. Promises P1, P2, P6, P8; the same with power cuts in tests/storage/test_crash.py.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults import session
from tests.faults.tracing import (
    KERNEL_SYNC_CALLS,
    SYNC_FAILED,
    Traced,
    require_kernel_sync,
    require_poking,
    require_strace,
)
from tests.storage.driving import Driver, Model
from tests.torture import ran, those_of_slice

SCRIPT = Path(session.__file__)
STATES = session.states()
KERNEL_STATES = session.states(is_kernels=True)
KILLS = 60  # by day; at night a longer session is killed at each of its calls
FAULTS = 12  # by day, of each sort
KERNEL_KILLS = 8  # by day, of a session whose small batches the kernel syncs
KERNEL_FAULTS = 3


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


@pytest.fixture(scope="module")
def kernel_calls(tmp_path_factory: pytest.TempPathFactory, _strace: None) -> dict[str, int]:
    """How often the busiest thread makes each call in a session whose small batches the kernel syncs."""
    require_kernel_sync()
    with Traced(SCRIPT, tmp_path_factory.mktemp("kernel") / "data", "session", None, session.KERNEL) as traced:
        traced.run()
        assert (traced.exit_code, traced.lines[-1]) == (0, "closed")
        most = traced.most()
    assert most["io_submit"] == most["io_getevents"] > session.STEPS // 2
    return most


def recovered(directory: Path, promised: int, states: Sequence[Model] = STATES) -> Model:
    """What is there now, which must be at least what was promised."""
    driver = Driver(directory, segment_octets=session.SEGMENT_OCTETS)
    assert driver.store.recovery.damage == []
    assert driver.store.recovery.quarantined == []
    model = driver.model.copy()
    driver.close()
    plain = [_plain(state) for state in states[promised : promised + 2]]
    assert _plain(model) in plain or _with_new_definitions(model, promised, states)
    return model


def _plain(model: Model) -> Model:
    """Redelivery is not told here, and a queue without messages is as good as none."""
    return Model({q: dict(messages) for q, messages in model.queues.items() if messages}, dict(model.definitions))


def _with_new_definitions(model: Model, promised: int, states: Sequence[Model]) -> bool:
    """Definitions come to disk before the batch of messages that relies on them."""
    if promised + 1 >= len(states):
        return False
    before, after = _plain(states[promised]), _plain(states[promised + 1])
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


def test_killed_at_every_call_with_the_kernels_sync_nothing_promised_is_lost(
    tmp_path: Path, kernel_calls: dict[str, int]
) -> None:
    for call, time in places(kernel_calls, KERNEL_KILLS, *KERNEL_SYNC_CALLS, "writev"):
        directory = tmp_path / f"{call}-{time}"
        with Traced(SCRIPT, directory, "session", f"{call}:signal=SIGKILL:when={time}", session.KERNEL) as traced:
            traced.run()
            assert traced.exit_code == -9, (call, time)
            recovered(directory, promised_by(traced), KERNEL_STATES)
        ran("T2", 1, "calls of a session with the kernel's sync, killed at")


def test_a_sync_that_the_kernel_says_has_failed_ends_it_and_is_never_tried_again(
    tmp_path: Path, kernel_calls: dict[str, int]
) -> None:
    require_poking()
    for _, time in places(kernel_calls, KERNEL_FAULTS, "io_getevents"):
        directory = tmp_path / str(time)
        with Traced(SCRIPT, directory, "session", f"{SYNC_FAILED}:when={time}", session.KERNEL) as traced:
            traced.run()
            assert traced.exit_code == 74, time
            assert traced.lines[-1].startswith("failed storage failed: OSError: [Errno 5]")
            most = traced.most()
            assert (most["io_submit"], most["io_getevents"]) == (time, time), "synced again after a failure"
            recovered(directory, promised_by(traced), KERNEL_STATES)
        ran("T6", 1, "failures that the kernel tells of its sync")


def test_where_the_kernel_refuses_a_sync_the_thread_does_it(tmp_path: Path, kernel_calls: dict[str, int]) -> None:
    for _, time in places(kernel_calls, KERNEL_FAULTS, "io_submit"):
        directory = tmp_path / str(time)
        with Traced(SCRIPT, directory, "session", f"io_submit:error=EAGAIN:when={time}", session.KERNEL) as traced:
            traced.run()
            assert (traced.exit_code, traced.lines[-1]) == (0, "closed"), time
            assert traced.most()["io_submit"] == time, "asked again after a refusal"
            recovered(directory, session.STEPS, KERNEL_STATES)
        ran("T6", 1, "io_submit: EAGAIN")


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
