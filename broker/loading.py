"""Loading modules quickly, which is nearly all that a start takes."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NOT_LOADED: Final = "rich"


@contextmanager
def loading_quickly() -> Iterator[None]:
    """Have what is imported inside load without what nobody uses.

    What is made while loading stays, so there is no garbage to look for. structlog would load rich, where that is
    installed, for tracebacks that are not printed by it (a sixth of the start), and pydantic look through all installed
    packages for plugins.
    """
    was_collecting = gc.isenabled()
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    is_mine = _NOT_LOADED not in sys.modules
    if is_mine:
        sys.modules[_NOT_LOADED] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if is_mine:
            del sys.modules[_NOT_LOADED]
        if was_collecting:
            gc.enable()
