"""How much: the same tests run with small numbers on every push and with large ones at night (``make torture``).

A night's number may be done in slices, one process each, so that a run that was stopped goes on where it was; a test
that counts says so with ``share`` and ``those_of_slice``. What was really run, each test tells with ``ran``, and it is
printed at the end of every test run: see tests/torture/__main__.py.
"""

import os
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

IS_NIGHT = os.environ.get("LEVERET_TORTURE") == "night"
SLICE, SLICES = (int(word) for word in os.environ.get("LEVERET_TORTURE_SLICE", "0/1").split("/"))
MEASURED: list[tuple[str, str]] = []  # (kind, what was found)
TALLY: Counter[tuple[str, str]] = Counter()  # (kind, unit): how many were run by this process

Place = TypeVar("Place")


def count(by_day: int, by_night: int) -> int:
    """Return the number that holds now."""
    return by_night if IS_NIGHT else by_day


def share(by_day: int, by_night: int) -> int:
    """Return the number that holds now, and of a night's only this slice's part."""
    return -(-by_night // SLICES) if IS_NIGHT else by_day


def those_of_slice(places: Sequence[Place], by_day: int) -> Sequence[Place]:
    """Return by day so many of the places at most, which lie evenly; at night, over all slices, each of them once."""
    if IS_NIGHT:
        return places[SLICE::SLICES]
    number = min(by_day, len(places))
    return [places[i * len(places) // number] for i in range(number)]


def ran(kind: str, number: int, unit: str) -> None:
    """Tell that so many more of ``unit`` were run for test kind ``kind`` (docs/promises.md), such as T3, 1, states."""
    TALLY[kind, unit] += number


def measured(kind: str, what: str) -> None:
    """Tell a figure that was found on the way, to be printed and noted."""
    MEASURED.append((kind, what))
