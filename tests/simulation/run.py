"""Runs one seed."""

import gc
from dataclasses import dataclass

from tests.simulation.director import Director
from tests.simulation.world import World


@dataclass(slots=True)
class Result:
    """``trace``: a checksum over all that happened; ``error`` is None where all promises were kept."""

    trace: int
    happenings: int
    lines: list[str]
    error: BaseException | None


def replay_command(seed: int) -> str:
    """What runs this seed again, alone."""
    return f"python -m tests.simulation {seed}"


def simulate(seed: int, *, keeps_lines: bool = False) -> Result:
    """Run a seed to its end, or to the first promise that is broken."""
    world = World(seed, keeps_lines)
    world.director = Director(world)
    error: BaseException | None = None
    # When garbage goes must not depend on what ran before.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        world.run()
    except Exception as failure:  # noqa: BLE001  whatever it is, the seed has found it
        error = failure
    finally:
        if was_enabled:
            gc.enable()
    return Result(world.turns.trace, world.turns.count, world.turns.lines or [], error)
