"""What the figures were measured on, in a few words."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path


def describe_machine() -> dict[str, str | int]:
    """Processor, number of them, memory in MiB, system, Python."""
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine(),
        "processors": os.cpu_count() or 0,
        "memory_mib": int((_field(Path("/proc/meminfo"), "MemTotal") or "0").split()[0]) // 1024,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def machine_text(machine: Mapping[str, str | int]) -> str:
    """What ``describe_machine`` tells, in one line."""
    return (
        f"{machine['processors']} x {machine['processor']}, {machine['memory_mib']:,} MiB, "
        f"{machine['system']}, generator on {machine['python']}"
    )


def _field(path: Path, name: str) -> str:
    try:
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    except OSError:
        pass
    return ""
