"""Field tables as JSON, and JSON as field tables. JSON has fewer types: a round trip gives RabbitMQ's choices.

Numbers become ``l`` (long) or ``d`` (double), as RabbitMQ makes them.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from broker.core.access.errors import Unacceptable
from protocol.tables import FieldTable

LONG_MIN: Final = -(1 << 63)
LONG_MAX: Final = (1 << 63) - 1


def json_of(value: Any) -> Any:
    """Return a decoded field value as JSON can hold it; octets that are no UTF-8 lose what cannot be read."""
    match value:
        case bool() | None | str():
            return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case Decimal():
            return float(value)
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "replace")
        case list():
            return [json_of(item) for item in value]
        case dict():
            return {json_of(key): json_of(item) for key, item in value.items()}
    return str(value)


def table_of(value: object) -> FieldTable:
    """Return an object of JSON as a field table; an empty list is an empty table, as RabbitMQ's own answers have it.

    Raises Unacceptable for anything else, and for what no table can hold.
    """
    if value is None or value == []:
        return {}
    if not isinstance(value, Mapping):
        raise Unacceptable("arguments should be an object")
    return {str(key): _field_of(item) for key, item in value.items()}


def _field_of(value: object) -> Any:
    match value:
        case None:
            raise Unacceptable("null_not_allowed")
        case bool() | str() | float():
            return value
        case int():
            if not LONG_MIN <= value <= LONG_MAX:
                raise Unacceptable(f"{value} is more than 64 bits can hold")
            return value
        case list():
            return [_field_of(item) for item in value]
        case dict():
            return table_of(value)
    raise Unacceptable("unacceptable value")
