"""Definitions as the journal keeps them: keys, and values of JSON.

A field table is kept as the octets of its own encoding, in Base64: JSON has neither the widths of integers nor
octets, timestamps and decimals. What a value must hold to be restored is decided in vhosts.py.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import TypeAlias

from protocol.tables import FieldTable, decode_table, encode_table
from storage.definitions import JsonValue

Define: TypeAlias = Callable[[Sequence[str], JsonValue], None]
"""Puts a definition under a key, or removes it with None: ``Store.define``."""


def table_to_json(table: FieldTable) -> str:
    """Return ``table`` as a JSON string; ``""`` for an empty one."""
    return b64encode(encode_table(table)).decode("ascii") if table else ""


def table_from_json(text: JsonValue) -> FieldTable:
    """Return the table that ``table_to_json`` gave ``text`` for. Raises ValueError for what it cannot have."""
    if not isinstance(text, str):
        raise ValueError(f"arguments of a definition are not a string: {text!r}")
    return decode_table(b64decode(text, validate=True)) if text else {}
