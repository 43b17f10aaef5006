"""Results and a machine that nobody measured, to try what is made of them."""

from typing import Final

from bench.rounds import Result

MACHINE: Final[dict[str, str | int]] = {
    "processor": "p",
    "processors": 2,
    "memory_mib": 1,
    "system": "s",
    "python": "3",
}


def result(rate: float, cpu_us: float | None, busiest: float = 0.2) -> Result:
    """Return a round of workload A: messages a second, the broker's time for each, the busiest generator's share."""
    return Result(
        workload="A",
        messages_per_s=rate,
        window_s=1.0,
        delivered_count=int(rate),
        broker_cpu_us=cpu_us,
        broker_cpu_share=1.0,
        generator_cpu_us=0.1,
        generator_cpu_share=0.3,
        busiest_generator_share=busiest,
        idle_share=0.5,
        others_share=0.1,
    )
