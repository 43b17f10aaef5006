"""How much: the same tests run with small numbers on every push and with large ones at night (``make torture``)."""

import os

IS_NIGHT = os.environ.get("LEVERET_TORTURE") == "night"


def count(by_day: int, by_night: int) -> int:
    """Return the number that holds now."""
    return by_night if IS_NIGHT else by_day
