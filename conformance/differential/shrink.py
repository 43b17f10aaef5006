"""Makes a failing script small: leaves out steps, then fields and table entries, as long as it still fails.

Delta debugging (Zeller's ddmin): first large blocks of steps, then ever smaller ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from conformance.differential.script import Script

Fails = Callable[[Script], bool]


def shrunk(script: Script, fails: Fails, *, tries: int = 400) -> Script:
    """Return a part of ``script`` that still ``fails``, found with at most ``tries`` runs."""
    budget = _Budget(fails, tries)
    before: Script = []
    while before != script:
        before = script
        script = _with_fewer_steps(script, budget)
        script = _with_simpler_steps(script, budget)
    return script


class _Budget:
    """Says no when all tries are used up, so that the search ends with what it has."""

    def __init__(self, fails: Fails, tries: int) -> None:
        self._fails = fails
        self._tries_left = tries

    def fails(self, script: Script) -> bool:
        if self._tries_left <= 0:
            return False
        self._tries_left -= 1
        return self._fails(script)


def _with_fewer_steps(script: Script, budget: _Budget) -> Script:
    block = len(script) // 2
    while block:
        at = len(script)
        while at > 0:
            # From the end on: what comes late depends on what comes early, seldom the other way round.
            start = max(0, at - block)
            candidate = script[:start] + script[at:]
            if candidate and budget.fails(candidate):
                script = candidate
            at = start
        block //= 2
    return script


def _with_simpler_steps(script: Script, budget: _Budget) -> Script:
    at = 0
    while at < len(script):
        for fields in _simpler(script[at].fields):
            candidate = [*script[:at], replace(script[at], fields=fields), *script[at + 1 :]]
            if budget.fails(candidate):
                script = candidate
                break
        else:
            at += 1
    return script


_KEPT = ("queue", "exchange", "type", "of", "milliseconds", "consumer_tag", "delivery_tag", "body", "routing_key")


def _simpler(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields with one of them, or one entry of a table among them, left out."""
    for key, value in fields.items():
        rest = {name: other for name, other in fields.items() if name != key}
        if key not in _KEPT:
            yield rest
        if isinstance(value, dict):
            for part in _parts(value):
                yield {**fields, key: part} if part else rest


def _parts(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key, value in table.items():
        yield {name: other for name, other in table.items() if name != key}
        if isinstance(value, dict):
            for part in _parts(value):
                yield {**table, key: part}
