"""Definitions as the journal keeps them: keys, and values of JSON.

A field table is kept as the octets of its own encoding, in Base64: JSON has neither the widths of integers nor
octets, timestamps and decimals. Reading them back is vhosts.py's part.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from protocol.tables import FieldTable, decode_table, encode_table
from storage.definitions import JsonValue

if TYPE_CHECKING:
    from broker.core.exchanges.exchange import Exchange
    from broker.core.queues.classic import ClassicQueue

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


def exchange_definition(exchange: "Exchange") -> JsonValue:
    """Return the value of a durable exchange's definition; its id is what it keeps messages by in the log."""
    kept = exchange.kept_messages
    return {
        **({} if kept is None else {"id": kept.id}),
        "type": exchange.type_name,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": table_to_json(exchange.arguments),
    }


def queue_definition(queue: "ClassicQueue") -> JsonValue:
    """Return the value of a durable queue's definition; its id is what the log's records name it by."""
    return {
        "id": queue.id,
        "auto_delete": queue.auto_delete,
        "arguments": table_to_json(queue.arguments),
        **queue.definition_fields(),
    }


def fields_of(key: tuple[str, ...], value: JsonValue) -> Mapping[str, Any]:
    """Return a definition's value as the object that it must be. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"the definition of {key} is not an object: {value!r}")
    return value
