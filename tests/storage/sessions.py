"""Sessions of a store on a disk that may fail: what they do, what was promised on the way, what may be found after."""

import random
from functools import partial
from pathlib import Path

from tests.storage.driving import Driver, Model
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data/leveret")
SEGMENT_OCTETS = 600


class Session:
    """A scripted session. ``states`` are the models after each step; up to ``promised`` they are durable.

    A pipelined one goes on while batches are being written; ``has_sync``: small ones are synced beside the loop.
    """

    steps = 14
    has_sync = False

    def __init__(self, is_pipelined: bool = False) -> None:
        self.is_pipelined = is_pipelined
        self.states: list[Model] = [Model()]
        self.promised = 0

    def run(self, disk: SimulatedDisk) -> None:
        Driver(DIRECTORY, disk, SEGMENT_OCTETS, has_sync=self.has_sync).close()
        driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS, has_sync=self.has_sync)
        for step in range(self.steps):
            self.step(driver, step)
            self.states.append(driver.model.copy())
            driver.store.promise(partial(self._promised, len(self.states) - 1))
            driver.store.flush()
            driver.run_calls()
            if self.waits_after(step):
                driver.wait_idle()
        driver.close()
        if driver.failures:
            raise driver.failures[0]

    def _promised(self, state: int, ticket: int) -> None:
        assert state > self.promised
        self.promised = state

    def waits_after(self, step: int) -> bool:
        return not self.is_pipelined or step % 5 == 4

    def step(self, driver: Driver, step: int) -> None:
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


class RandomSession(Session):
    """A session that a number decides: the same number, the same session."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = random.Random(f"session {seed}")
        self.has_sync = seed % 2 == 0
        self.steps = self._chance.randint(2, 20)
        self._patience = self._chance.choice((0.0, 0.3, 1.0))
        self._next_queue = 1

    def waits_after(self, step: int) -> bool:
        return self._chance.random() < self._patience

    def step(self, driver: Driver, step: int) -> None:
        for _ in range(self._chance.randint(1, 4)):
            self._act(driver)

    def _act(self, driver: Driver) -> None:
        chance, queues = self._chance, driver.model.queues
        what = chance.random()
        if what < 0.45 or not queues:
            chosen = chance.sample(range(self._next_queue, self._next_queue + 4), chance.randint(1, 3))
            driver.publish(tuple(chosen), self._bodies(), chance.choice((b"env", b"", b"another envelope")))
        elif what < 0.75:
            queue_id = chance.choice(sorted(queues))
            ids = sorted(queues[queue_id])
            start = chance.randrange(len(ids))
            for message_id in ids[start : start + chance.randint(1, 8) : chance.choice((1, 1, 2))]:
                driver.settle(queue_id, range(message_id, message_id + 1))
        elif what < 0.85:
            queue_id = chance.choice(sorted(queues))
            driver.delivered(queue_id, chance.choice(sorted(queues[queue_id])))
        elif what < 0.88:
            for queue_id in sorted(queues):
                driver.delete_queue(queue_id)
            self._next_queue += 4  # ids of deleted queues do not come back
        else:
            value = chance.choice((None, chance.randrange(100), "x" * chance.randrange(200)))
            driver.define(("queue", chance.choice("abcdef")), value)

    def _bodies(self) -> list[bytes]:
        size = self._chance.choice((0, 1, 7, 60, 700))
        is_mixed = self._chance.random() < 0.5
        return [self._chance.randbytes(size + (i if is_mixed else 0)) for i in range(self._chance.randint(1, 6))]


def recover(disk: SimulatedDisk) -> Model:
    """What a store opened on the disk has; there may be no damage."""
    driver = Driver(DIRECTORY, disk, SEGMENT_OCTETS)
    assert not driver.store.recovery.damage
    driver.close()
    return driver.model


def check(found: Model, session: Session) -> None:
    """What was promised is there, and nothing that was in no state of the session."""
    possible = session.states[session.promised :]
    assert found.queues in [state.queues for state in possible]
    assert found.definitions in [state.definitions for state in possible]
    assert list(found.definitions) in [list(state.definitions) for state in possible]
