"""Runs one script on two brokers, step by step, and finds the first difference that stays.

After each step both brokers are asked until they have said the same; a broker that needs a moment longer is waited
for. What one has said too much is found at the latest after the following step, or at the end.
"""

import secrets
import time
from dataclasses import dataclass

from conformance.differential.freedom import is_left_open, is_race_at_the_end, means_the_same, settled_tags
from conformance.differential.script import Script, Step, labels_of
from conformance.differential.side import Side
from conformance.wire import Address, Connection, Mismatch

PATIENCE_S = 1.5
"""How long two brokers may say different things after a step before that is a difference."""
HASTE_S = 0.4
"""The same while a script that failed before is shrunk: most of its parts fail, and each waits as long."""
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two brokers part: after which step (counted from 0; None: at the end), about what, and what they said."""

    step: int | None
    about: str
    left: str
    right: str

    @property
    def kind(self) -> str:
        """What it is about without numbers and names, to tell whether two differences are of one kind."""
        return "".join(letter for letter in self.about if not letter.isdigit()).split(" to ")[0]


@dataclass(slots=True)
class Outcome:
    """What came of a script: the difference if there is one, and how many steps were done and left out."""

    difference: Difference | None = None
    step_count: int = 0
    skipped_count: int = 0


def new_prefix() -> str:
    """Return what makes the names of one script unique on one broker."""
    return f"differential-{secrets.token_hex(4)}-"


class Pair:
    """Two brokers to be compared, with a control connection to each."""

    def __init__(self, left: Address, right: Address, labels: tuple[str, str]) -> None:
        self.addresses = (left, right)
        self.labels = labels
        self._controls: list[Connection] = []

    def controls(self) -> list[Connection]:
        """Return the control connections, opened if they are not open."""
        if not self._controls:
            self._controls = [Connection(address).open() for address in self.addresses]
        return self._controls

    def close(self) -> None:
        """Drop the control connections."""
        for connection in self._controls:
            connection.abandon()
        self._controls = []

    def run(self, script: Script, patience_s: float = PATIENCE_S) -> Outcome:
        """Run the script on both and clean up. Raises OSError or Mismatch when a broker cannot be worked with."""
        # A prefix for each, so that a broker can be compared with itself.
        sides = [
            Side(address, new_prefix(), control)
            for address, control in zip(self.addresses, self.controls(), strict=True)
        ]
        try:
            return _Run(sides, patience_s).run(script)
        except (Mismatch, OSError):
            self.close()
            raise
        finally:
            labels = labels_of(script)
            controls = self.controls()
            for side, control in zip(sides, controls, strict=True):
                side.probes.control = control
                side.end(labels)


class _Run:
    def __init__(self, sides: list[Side], patience_s: float) -> None:
        self.sides = sides
        self.patience_s = patience_s

    def run(self, script: Script) -> Outcome:
        outcome = Outcome()
        for number, step in enumerate(script):
            tags = self._tags(step)
            if tags is None:
                outcome.skipped_count += 1
                continue
            outcome.step_count += 1
            at = step.channel // 10
            is_race = is_race_at_the_end(self.sides[0], at)
            for side, settled in zip(self.sides, tags, strict=True):
                side.perform(step, settled)
            if step.verb == "wait":
                time.sleep(step.fields["milliseconds"] / 1000)
            difference = self._settled(number, step.channel)
            if is_race and all(at not in side.connections for side in self.sides):
                outcome.skipped_count += len(script) - number - 1
                return outcome
            if difference is not None:
                outcome.difference = difference
                return outcome
        outcome.difference = self._end()
        return outcome

    def _tags(self, step: Step) -> list[list[int]] | None:
        """Return the delivery tags that a step settles on each side; None to leave the step out."""
        if step.name == "queue.delete" and any(side.has_settled_in_tx() for side in self.sides):
            return None
        if step.name == "tx.commit" and self.sides[0].mixes_in_tx(step.channel):
            return None
        tags = [settled_tags(side, step) for side in self.sides]
        is_free = any(is_left_open(side, step, settled) for side, settled in zip(self.sides, tags, strict=True))
        return None if is_free or not means_the_same(self.sides, step, tags) else tags

    def _settled(self, number: int | None, acting: int) -> Difference | None:
        """Let both brokers come to rest; return the difference if they do not come to say the same."""
        deadline = time.monotonic() + self.patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            self._round(acting)
            left, right = (side.observations() for side in self.sides)
            is_equal = left == right
            if is_equal and not any(side.missing_confirms() for side in self.sides):
                return None
            if time.monotonic() > deadline:
                return None if is_equal else _difference(number, left, right)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _round(self, acting: int) -> None:
        """One round trip of the acting channel, then of all queues, then of all channels, on both sides at once."""
        for side in self.sides:
            side.ask_line(acting)
        for side in self.sides:
            side.hear()
        for side in self.sides:
            side.probes.ask()
        for side in self.sides:
            side.counts.update(side.probes.answers())
        for side in self.sides:
            side.ask_lines()
        for side in self.sides:
            side.hear()

    def _end(self) -> Difference | None:
        for number in sorted(self.sides[0].lines):
            for side in self.sides:
                side.close_line(number)
            difference = self._settled(None, 0)
            if difference is not None:
                return difference
        left, right = (side.contents() for side in self.sides)
        return _difference(None, left, right) if left != right else None


def _difference(number: int | None, left: dict[str, object], right: dict[str, object]) -> Difference:
    """Return the first thing about which the sides differ, the most telling kind first."""
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    about = min(names, key=lambda name: (name.startswith("queue "), "deliveries" not in name, name))
    return Difference(number, about, *_parted(left.get(about), right.get(about)))


def _parted(left: object, right: object) -> tuple[str, str]:
    """Return both as text; of two lists only what follows their common beginning."""
    if not isinstance(left, list | None) or not isinstance(right, list | None):
        return str(left), str(right)
    left, right = left or [], right or []
    common = next((at for at, (one, other) in enumerate(zip(left, right, strict=False)) if one != other), None)
    at = min(len(left), len(right)) if common is None else common
    return ("\n".join(left[at:]) or "(nothing more)", "\n".join(right[at:]) or "(nothing more)")
