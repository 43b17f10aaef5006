"""The one loop in which tests wait for what another thread or process does."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

DEADLINE_S: Final = 60.0
PAUSE_S: Final = 0.01

Result = TypeVar("Result")


def until(condition: Callable[[], Result], what: str, seconds: float = DEADLINE_S) -> Result:
    """Return the first true result of ``condition``, asked again and again; AssertionError after ``seconds``."""
    deadline_s = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline_s, what
        time.sleep(PAUSE_S)
    return result
