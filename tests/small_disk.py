"""A disk that can really be filled: a small file system in memory, where this machine lets one be mounted."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted_at(place: Path, mib: int = 8) -> Iterator[Path]:
    """Mount one of ``mib`` MiB at ``place``, which is made; skips with a clear word where that is not allowed."""
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        problem = f"a disk that is really full is NOT tested: mount says {mounted.stderr.strip()}"
        if os.environ.get("LEVERET_REQUIRE_STRACE"):
            pytest.fail(problem)
        pytest.skip(problem)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
