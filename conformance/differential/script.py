"""Scripts: what a client does, one step a line, as data and as a program to read, keep and run again.

A program is a list of Python calls with literal arguments (``say(11, "basic.get", queue="q0")``). It is read with
``ast``, never executed. Channel 23 is channel 3 of connection 2; whatever is not open yet is opened by its first step,
so that any step can be left out of a script. Nothing here knows sockets.
"""

import ast
import re
from dataclasses import dataclass, field
from typing import Any

SETTLING = ("basic.ack", "basic.nack", "basic.reject")
_LABEL = re.compile(r"\b[qgxd]\d\b")


class BadProgram(ValueError):
    """A line of a program that is not one of the calls."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a client does.

    ``verb`` is one of: ``say`` (the method ``name`` with ``fields`` as they are); ``publish`` (fields exchange,
    routing_key, body, mandatory, immediate, properties); ``settle`` (the ack, nack or reject ``name`` of the
    ``nth`` delivery still open of the consumer ``of``; "get" stands for basic.get); ``wait`` (``milliseconds``);
    ``hang_up`` (drop the TCP connection that the channel is of).
    """

    verb: str
    channel: int = 0
    name: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [str(self.channel)] if self.channel else []
        if self.name:
            words.append(f'"{self.name}"')
        words += [f"{key}={value!r}" for key, value in self.fields.items()]
        return f"{self.verb}({', '.join(words)})"


Script = list[Step]
_VERBS = {"say": 2, "publish": 1, "settle": 2, "wait": 0, "hang_up": 1}


def say(channel: int, name: str, **fields: Any) -> Step:
    """Return the step that sends the method ``name``."""
    return Step("say", channel, name, fields)


def to_program(script: Script, remarks: list[str] | None = None) -> str:
    """Return the program's text, with ``remarks`` above it."""
    lines = [f"# {line}".rstrip() for remark in remarks or [] for line in remark.split("\n")]
    return "\n".join([*lines, *map(str, script)]) + "\n"


def from_program(text: str) -> Script:
    """Return the script that a program says. Raises BadProgram naming the first line that is none."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise BadProgram(f"line {error.lineno}: {error.msg}") from error
    return [_step(statement) for statement in tree.body]


def _step(statement: ast.stmt) -> Step:
    call = statement.value if isinstance(statement, ast.Expr) else None
    verb = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
    if not isinstance(call, ast.Call) or len(call.args) != _VERBS.get(verb):
        raise BadProgram(f"line {statement.lineno}: none of {', '.join(_VERBS)}")
    try:
        words = [ast.literal_eval(word) for word in call.args]
        fields = {key.arg: ast.literal_eval(key.value) for key in call.keywords if key.arg}
    except ValueError as error:
        raise BadProgram(f"line {statement.lineno}: arguments must be literals") from error
    return Step(verb, words[0] if words else 0, words[1] if len(words) > 1 else "", fields)


def labels_of(script: Script) -> set[str]:
    """Return the short names (``q0``, ``x3``) that the script uses for queues and exchanges."""
    return {label for step in script for label in _LABEL.findall(repr(step.fields))}


def prefixed(value: Any, prefix: str) -> Any:
    """Return ``value`` with every text that is a short name, also inside tables and arrays, made ``prefix`` + name."""
    if isinstance(value, str):
        return prefix + value if _LABEL.fullmatch(value) else value
    if isinstance(value, dict):
        return {key: prefixed(item, prefix) for key, item in value.items()}
    if isinstance(value, list):
        return [prefixed(item, prefix) for item in value]
    return value
