"""The store against a plain model: any order of appends, waits, restarts and kills, with segments of a few hundred
octets, so that rolling, trimming and copying forward happen all the time.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from storage import blocks, definitions, messages, snapshot, store
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk
from tests.torture import count, ran, share

DIRECTORY = Path("/data")
QUEUES = range(1, 5)
STEPS = count(40, 200)

bodies = st.lists(st.binary(max_size=40), min_size=1, max_size=8)
queue_sets = st.lists(st.sampled_from(QUEUES), min_size=1, max_size=3, unique=True).map(tuple)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.generation = 0
        self.driver = Driver(DIRECTORY, self.disk, segment_octets=700)

    def queue_id(self, queue: int) -> int:
        """Ids of deleted queues do not come back."""
        return self.generation * 100 + queue

    @rule(queues=queue_sets, pieces=bodies, envelope=st.binary(max_size=10))
    def publish(self, queues: tuple[int, ...], pieces: list[bytes], envelope: bytes) -> None:
        self.driver.publish(tuple(self.queue_id(queue) for queue in queues), pieces, envelope)

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 20))
    def publish_one_by_one(self, queue: int, count: int) -> None:
        for i in range(count):
            self.driver.publish((self.queue_id(queue),), [b"%d" % i])

    @precondition(lambda self: self.driver.model.queues)
    @rule(data=st.data(), step=st.integers(1, 3))
    def settle(self, data: st.DataObject, step: int) -> None:
        queue_id = data.draw(st.sampled_from(sorted(self.driver.model.queues)))
        ids = list(self.driver.model.queues[queue_id])
        start = data.draw(st.integers(0, len(ids) - 1))
        stop = data.draw(st.integers(start + 1, len(ids)))
        chosen = ids[start:stop:step]
        while chosen:  # as few ranges of this step as there are
            count = 1
            while count < len(chosen) and chosen[count] == chosen[count - 1] + step:
                count += 1
            self.driver.settle(queue_id, range(chosen[0], chosen[count - 1] + 1, step))
            chosen = chosen[count:]

    @precondition(lambda self: self.driver.model.queues)
    @rule(data=st.data())
    def delivered(self, data: st.DataObject) -> None:
        queue_id = data.draw(st.sampled_from(sorted(self.driver.model.queues)))
        self.driver.delivered(queue_id, data.draw(st.sampled_from(list(self.driver.model.queues[queue_id]))))

    @precondition(lambda self: self.driver.model.queues)
    @rule(data=st.data())
    def delete_queue(self, data: st.DataObject) -> None:
        self.driver.delete_queue(data.draw(st.sampled_from(sorted(self.driver.model.queues))))
        self.driver.wait_durable()
        self.generation += 1

    @rule(name=st.sampled_from("abc"), value=st.one_of(st.none(), st.integers(), st.text(max_size=3)))
    def define(self, name: str, value: int | str | None) -> None:
        self.driver.define(("queue", name), value)

    @rule()
    def flush(self) -> None:
        self.driver.store.flush()
        self.driver.run_calls()

    @rule()
    def wait(self) -> None:
        self.driver.wait_idle()

    @rule()
    def restart(self) -> None:
        self.driver.close()
        self._reopen(is_clean=True)

    @rule()
    def kill(self) -> None:
        self.driver.wait_durable()
        self.disk = self.disk.after_kill()
        self.driver.close()
        self._reopen(is_clean=False)

    def _reopen(self, is_clean: bool) -> None:
        model = self.driver.model
        live = self.live_by_segment()
        self.driver = Driver(DIRECTORY, self.disk, segment_octets=700)
        recovery = self.driver.store.recovery
        assert (recovery.clean, recovery.damage, recovery.dropped_octets) == (is_clean, [], 0)
        assert self.driver.model == model
        # What was counted on the way is what a fold of the log gives.
        found = self.live_by_segment()
        assert sum(found.values()) == sum(live.values())
        assert found == live or not is_clean  # after the kill, the old store may have copied something
        assert list(self.driver.model.definitions) == list(model.definitions)
        assert recovery.message_count == sum(len(run.ids) for run in recovery.messages)

    def live_by_segment(self) -> dict[int, int]:
        segments = self.driver.store._index.segments
        return {number: use.live for number, use in segments.items() if use.live}

    @invariant()
    def nothing_fails(self) -> None:
        assert not self.driver.failures
        assert not self.driver.store.damage

    def teardown(self) -> None:
        self.restart()
        self.driver.close()
        ran("T9", 1, f"histories of {STEPS} steps of the store alone")


def test_store_behaves_as_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LAZY_S", 0.0)
    monkeypatch.setattr(definitions, "SNAPSHOT_RECORDS", 5)
    monkeypatch.setattr(messages, "CHUNK_RECORDS", 4)
    monkeypatch.setattr(snapshot, "CHUNK_RECORDS", 4)
    monkeypatch.setattr(snapshot, "LEAST_OCTETS", 0)  # an orderly restart reads the index, a kill the log
    monkeypatch.setattr(blocks, "BLOCK_OCTETS", 50)
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=share(80, 20_000),
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
