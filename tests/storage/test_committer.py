"""The store's threads: what they are asked to do, and whether they are at it."""

import threading
from queue import SimpleQueue

from storage.committer import Call, Committer
from storage.errors import StorageError


def test_a_thread_is_working_until_its_last_job_is_done() -> None:
    reports: SimpleQueue[Call] = SimpleQueue()
    failures: list[StorageError] = []
    committer = Committer("a thread", reports.put, failures.append)
    gates = [threading.Event() for _ in range(2)]
    done: list[bool] = []
    assert not committer.is_working
    for gate in gates:
        committer.submit(gate.wait, done.append)
    for gate in gates:
        assert committer.is_working
        gate.set()
        reports.get(timeout=10)()
    assert not committer.is_working
    committer.stop()
    assert done == [True, True]
    assert not failures


def test_a_thread_whose_job_fails_is_not_at_work_any_more() -> None:
    reports: SimpleQueue[Call] = SimpleQueue()
    failures: list[StorageError] = []
    committer = Committer("a thread", reports.put, failures.append)
    committer.submit(lambda: 1 // 0, lambda _: None)
    committer.submit(lambda: 1, lambda _: None)
    reports.get(timeout=10)()
    assert not committer.is_working
    committer.stop()
    assert len(failures) == 1
