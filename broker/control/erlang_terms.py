"""What rabbitmqctl writes as Erlang's terms: rows with ``--formatter erlang``, and AMQP tables with their types.

A table is a list of triples there, in JSON too: ``[["x-max-length","signedint",10]]``. The types are told from the
values as they are here; what a client sent as an octet or as a short is a ``signedint``, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

INT32: Final = range(-(1 << 31), 1 << 31)


class Atom(str):
    """A name of Erlang's, not a text."""

    __slots__ = ()


def typed_table(table: Mapping[str, Any]) -> list[tuple[str, Atom, Any]]:
    """Return an AMQP table as triples of name, type and value."""
    return [(name, *typed(value)) for name, value in table.items()]


def typed(value: Any) -> tuple[Atom, Any]:
    """Return an AMQP value with its type before it."""
    if value is None:
        return Atom("void"), None
    if isinstance(value, bool):
        return Atom("bool"), value
    if isinstance(value, int):
        return Atom("signedint" if value in INT32 else "long"), value
    if isinstance(value, float):
        return Atom("double"), value
    if isinstance(value, Mapping):
        return Atom("table"), typed_table(value)
    if isinstance(value, list):
        return Atom("array"), [typed(each) for each in value]
    return Atom("longstr"), value


def proplist(columns: Sequence[str], row: Sequence[Any]) -> str:
    """Return a row as Erlang writes it."""
    return "[" + ",".join(f"{{{atom(name)},{term(value)}}}" for name, value in zip(columns, row, strict=True)) + "]"


def term(value: Any) -> str:
    """Return a value as Erlang writes it: a text is a binary."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Atom):
        return atom(value)
    if isinstance(value, str):
        text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'<<"{text}"{"" if value.isascii() else "/utf8"}>>'
    if isinstance(value, Mapping):
        return "#{" + ",".join(f"{atom(name)} => {term(each)}" for name, each in value.items()) + "}"
    if isinstance(value, tuple):
        return "{" + ",".join(term(each) for each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(term(each) for each in value) + "]"
    return repr(value)


def atom(name: str) -> str:
    """Return a name as Erlang writes it, in quotes where it needs them."""
    if name[:1].islower() and name.isascii() and name.replace("_", "").replace("@", "").isalnum():
        return name
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
