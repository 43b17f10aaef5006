"""Deterministic simulation: the whole broker, its clients, clock, network and disk, from one seed each.

All promises at once. LEVERET_SIMULATION_SEED and LEVERET_SIMULATION_COUNT choose others than 1 to 200.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.disk import SteppedDisk
from tests.simulation.run import replay_command, simulate
from tests.simulation.shape import ALL, FAULTS
from tests.simulation.world import World
from tests.torture import ran

FIRST_SEED = int(os.environ.get("LEVERET_SIMULATION_SEED", "1"))
SEED_COUNT = int(os.environ.get("LEVERET_SIMULATION_COUNT", "200"))
CHUNKS = 8


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_promise_is_kept_in_every_simulation(chunk: int) -> None:
    failed = []
    for seed in range(FIRST_SEED + chunk, FIRST_SEED + SEED_COUNT, CHUNKS):
        result = simulate(seed)
        ran("T10", 1, "simulations")
        if result.error is not None:
            failed.append(f"seed {seed}: {result.error!r}; again: {replay_command(seed)} --trace")
    assert not failed, "\n".join(failed)


def test_a_seed_gives_the_same_course_again() -> None:
    """In another process, too, whose sets have other orders."""
    seeds = range(3, 9)
    here = [f"{simulate(seed).trace:08x}" for seed in seeds]
    assert len(set(here)) == len(here)
    script = "import sys; from tests.simulation.run import simulate; sys.stdout.write(' '.join("
    script += f"f'{{simulate(seed).trace:08x}}' for seed in range({seeds.start}, {seeds.stop})))"
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.split() == here


def test_seeds_come_to_every_queue_and_every_fault() -> None:
    shapes = [World(seed).shape for seed in range(200)]
    assert {queue.name for shape in shapes for queue in shape.queues} >= {queue.name for queue in ALL}
    assert {fault for shape in shapes for fault in shape.faults} == set(FAULTS)


def test_promises_before_the_sync_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation itself at work: a broker that does not wait for its disk breaks its promises soon."""
    monkeypatch.setattr(SteppedDisk, "fdatasync", lambda _disk, _fd: None)
    broken = ("was confirmed and is lost", "declared, and gone")
    errors = (str(simulate(seed).error) for seed in range(1, 101))
    assert any(text in error for error in errors for text in broken)
