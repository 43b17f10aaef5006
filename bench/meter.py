"""Who used how much processor time between two moments: the broker, the generator, anything else."""

import os
import time
from dataclasses import dataclass

from bench import processes

GENERATOR_BUSY_SHARE = 0.85
"""A generator process busier than this has no time to wait for the broker."""

DISTURBED_SHARE = 0.2
"""Processors that others may have used before a measurement counts as disturbed."""

FULL_IDLE_SHARE = 0.1
"""A machine with fewer idle processors than this is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Processor time in a window."""

    window_s: float
    broker_cpu_s: float | None
    """None where /proc does not tell."""
    generator_cpu_s: tuple[float, ...]
    """Of each of its processes."""
    idle_s: float

    @property
    def is_disturbed(self) -> bool:
        """Something else had so much of the machine that rates and latencies say little."""
        if self.broker_cpu_s is None:
            return False
        used_s = self.broker_cpu_s + sum(self.generator_cpu_s) + self.idle_s
        return (os.cpu_count() or 1) - used_s / self.window_s > DISTURBED_SHARE

    @property
    def is_limited_by_generator(self) -> bool:
        """A generator process had no time left, or the machine had none and the generator took the larger part."""
        is_full = self.idle_s / self.window_s < FULL_IDLE_SHARE
        is_larger = sum(self.generator_cpu_s) > (self.broker_cpu_s or 0.0)
        busiest_s = max(self.generator_cpu_s, default=0.0)
        return (is_full and is_larger) or busiest_s / self.window_s >= GENERATOR_BUSY_SHARE


class Meter:
    """Looks when it is made, which is before the generator's processes are, and when ``load`` is asked."""

    __slots__ = ("_began_s", "_broker", "_broker_cpu_s", "_idle_s", "_own_cpu_s")

    def __init__(self, port: int) -> None:
        listener = processes.listening_process(port)
        self._broker = processes.process_tree(listener) if listener else []
        self._began_s = time.monotonic()
        self._broker_cpu_s = processes.cpu_s(self._broker)
        self._own_cpu_s = time.process_time()
        self._idle_s = processes.idle_cpu_s()

    @property
    def broker(self) -> list[int]:
        """The broker's processes; none where /proc does not tell."""
        return self._broker

    def load(self, *generator: int) -> Load:
        """Since the meter was made; ``generator``: processes forked since, and alive. This one is always counted."""
        own_s = time.process_time() - self._own_cpu_s
        return Load(
            window_s=time.monotonic() - self._began_s,
            broker_cpu_s=processes.cpu_s(self._broker) - self._broker_cpu_s if self._broker else None,
            generator_cpu_s=(own_s, *(processes.cpu_s([process]) for process in generator)),
            idle_s=processes.idle_cpu_s() - self._idle_s,
        )
