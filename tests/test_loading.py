"""What a start loads, and what it leaves as it was."""

import gc
import subprocess
import sys

from broker.loading import loading_quickly

LOADS = """
import gc, sys
from broker.command import main
from broker.loading import loading_quickly
with loading_quickly():
    import broker.cli
    import broker.server.lifecycle
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"rich", "pygments", "starlette", "uvicorn"}))
print(gc.isenabled())
import rich
"""


def test_start_loads_no_libraries_that_it_does_not_use() -> None:
    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["", "True"]


def test_garbage_is_looked_for_again_unless_it_was_not_before() -> None:
    assert gc.isenabled()
    with loading_quickly():
        assert not gc.isenabled()
        with loading_quickly():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
