"""Field tables, octets to values and back without loss of value or width.

Every one of RabbitMQ's field types has a Python type of its own, so that decoding and encoding a table gives
the same octets (but that ``L`` becomes its synonym ``l``, and of duplicate keys the first counts, as in
RabbitMQ) and argument checks can name the type that a client used. pamqp has no such codec: it shrinks
integers and doubles and raises on some values. Keep tables that must outlive the process as the octets that
``encode_table`` gives; JSON would lose the types.

Spec: AMQP 0-9-1, 4.2.5.5; RabbitMQ: "AMQP 0-9-1 errata", section 3 (the field types really in use).
"""

from collections.abc import Callable
from decimal import Decimal
from struct import Struct
from typing import Any, ClassVar, Final

from protocol.constants import SHORTSTR_MAX_OCTETS
from protocol.errors import SyntaxFault

FieldTable = dict[str, Any]
"""A decoded table. Keys that are not UTF-8 are kept by surrogate escapes.

Values by field type: ``t`` bool, ``S`` str (bytes where not UTF-8), ``l`` and ``L`` int, ``d`` float,
``D`` Decimal, ``A`` list, ``F`` dict, ``V`` None, ``x`` bytearray; the classes below for the other widths.
"""

MAX_DEPTH: Final = 100
"""Tables and arrays inside each other; deeper is refused, for a frame could nest 26,000 of them."""

KNOWN_COUNT: Final = 64
KNOWN_OCTETS: Final = 2048
"""So many tables that clients say of themselves are kept, none larger than this."""
_known_tables: dict[bytes, FieldTable] = {}


class TypedInt(int):
    """An integer that remembers its field type and equals any int of its value; plain int is ``l``."""

    __slots__ = ()
    type_name: ClassVar[str]


class Byte(TypedInt):
    """``b``, 8 bits, signed."""

    __slots__ = ()
    type_name = "byte"


class UnsignedByte(TypedInt):
    """``B``, 8 bits, unsigned."""

    __slots__ = ()
    type_name = "unsignedbyte"


class Short(TypedInt):
    """``s``, 16 bits, signed."""

    __slots__ = ()
    type_name = "short"


class UnsignedShort(TypedInt):
    """``u``, 16 bits, unsigned."""

    __slots__ = ()
    type_name = "unsignedshort"


class SignedInt(TypedInt):
    """``I``, 32 bits, signed."""

    __slots__ = ()
    type_name = "signedint"


class UnsignedInt(TypedInt):
    """``i``, 32 bits, unsigned."""

    __slots__ = ()
    type_name = "unsignedint"


class Timestamp(TypedInt):
    """``T``: whole seconds since 1970 UTC, 64 bits, unsigned. Not an integer to argument checks."""

    __slots__ = ()
    type_name = "timestamp"


class Float32(float):
    """``f``, single precision; plain float stands for ``d``."""

    __slots__ = ()


def type_name(value: object) -> str:
    """RabbitMQ's name of the field type of a decoded value, as its reply texts print it.

    One of bool, byte, unsignedbyte, short, unsignedshort, signedint, unsignedint, long, float, double,
    decimal, longstr, array, timestamp, table, void, binary. Raises TypeError for what no table can hold.
    """
    return _kind_of(value)[0]


def is_integer(value: object) -> bool:
    """Whether RabbitMQ takes the value for an integer argument: any width, but no bool and no timestamp."""
    return isinstance(value, int) and not isinstance(value, bool | Timestamp)


def same_value(one: object, other: object) -> bool:
    """Whether two decoded values are equal as RabbitMQ compares them: by value, not by width.

    5 as byte equals 5 as long and 5.0, ``1`` differs from ``"1"`` and from true, long strings compare with
    byte arrays by their octets, arrays and tables deeply.
    """
    family = _family(one)
    if family != _family(other):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    if family == "text":
        return _octets_of(one) == _octets_of(other)
    return one == other


def decode_table(octets: bytes) -> FieldTable:
    """The table whose octets, its 4-octet size included, are exactly ``octets``.

    Raises SyntaxFault (502) where the octets are no table of known field types.
    """
    table, stop = table_at(octets, 0, len(octets))
    if stop != len(octets):
        raise SyntaxFault("malformed field table: octets after its end")
    return table


def known_table(octets: bytes) -> FieldTable:
    """As ``decode_table``; the same octets give the same table, which nobody may change.

    For what a client says of itself: a thousand connections of one program say the same, and cost one table.
    """
    table = _known_tables.get(octets)
    if table is None:
        table = decode_table(octets)
        if len(octets) <= KNOWN_OCTETS:
            if len(_known_tables) >= KNOWN_COUNT:
                _known_tables.clear()
            _known_tables[octets] = table
    return table


def table_at(octets: bytes, at: int, stop: int, depth: int = 0) -> tuple[FieldTable, int]:
    """The table, size first, that starts at ``at`` and ends by ``stop``, and its end. Raises as above."""
    at, end = _sized(octets, at, stop)
    return fields_between(octets, at, end, depth), end


def fields_between(octets: bytes, at: int, end: int, depth: int = 0) -> FieldTable:
    """The fields that fill ``octets[at:end]``: a table's body without its size, as AMQPLAIN sends it."""
    if depth > MAX_DEPTH:
        raise SyntaxFault(f"malformed field table: nested deeper than {MAX_DEPTH}")
    table: FieldTable = {}
    while at < end:
        key_end = at + 1 + octets[at]
        if key_end >= end:
            raise SyntaxFault("malformed field table: a field runs past the end of its table")
        key = octets[at + 1 : key_end].decode("utf-8", "surrogateescape")
        value, at = _value_at(octets, key_end, end, depth)
        table.setdefault(key, value)
    return table


def encode_table(table: FieldTable) -> bytes:
    """The octets of a table, its 4-octet size first, fields in the table's order.

    Raises TypeError, ValueError or struct.error for values that no table can hold; a decoded table encodes.
    """
    body = encode_fields(table)
    return _SIZE.pack(len(body)) + body


def encode_fields(table: FieldTable) -> bytes:
    """As ``encode_table`` without the size."""
    parts: list[bytes] = []
    for key, value in table.items():
        key_octets = key.encode("utf-8", "surrogateescape")
        if len(key_octets) > SHORTSTR_MAX_OCTETS:
            raise ValueError(f"field name over {SHORTSTR_MAX_OCTETS} octets: {key[:40]!r}...")
        parts += (bytes((len(key_octets),)), key_octets, encode_value(value))
    return b"".join(parts)


def encode_value(value: object) -> bytes:
    """Field type octet and value."""
    _name, octet, encode = _kind_of(value)
    return octet + encode(value)


_SIZE = Struct(">I")
_DECIMAL = Struct(">BI")

_FIXED: dict[int, tuple[Struct, Callable[[Any], object]]] = {
    ord("t"): (Struct(">B"), bool),
    ord("b"): (Struct(">b"), Byte),
    ord("B"): (Struct(">B"), UnsignedByte),
    ord("s"): (Struct(">h"), Short),
    ord("u"): (Struct(">H"), UnsignedShort),
    ord("I"): (Struct(">i"), SignedInt),
    ord("i"): (Struct(">I"), UnsignedInt),
    ord("l"): (Struct(">q"), int),
    ord("L"): (Struct(">q"), int),
    ord("f"): (Struct(">f"), Float32),
    ord("d"): (Struct(">d"), float),
    ord("T"): (Struct(">Q"), Timestamp),
}


def _sized(octets: bytes, at: int, stop: int) -> tuple[int, int]:
    """Start and end of what follows a 4-octet size at ``at``."""
    start = at + 4
    if start <= stop:
        end = start + int.from_bytes(octets[at:start])
        if end <= stop:
            return start, end
    raise SyntaxFault("malformed field table: a value runs past the end of its table")


def _value_at(octets: bytes, at: int, stop: int, depth: int) -> tuple[object, int]:
    kind = octets[at]
    at += 1
    if kind == 83:  # S, the most frequent
        at, end = _sized(octets, at, stop)
        return _text(octets[at:end]), end
    fixed = _FIXED.get(kind)
    if fixed is not None:
        layout, make = fixed
        end = at + layout.size
        if end > stop:
            raise SyntaxFault("malformed field table: a value runs past the end of its table")
        return make(layout.unpack_from(octets, at)[0]), end
    match chr(kind):
        case "F":
            return table_at(octets, at, stop, depth + 1)
        case "A":
            return _array_at(octets, at, stop, depth + 1)
        case "V":
            return None, at
        case "x":
            at, end = _sized(octets, at, stop)
            return bytearray(octets[at:end]), end
        case "D":
            return _decimal_at(octets, at, stop)
    raise SyntaxFault(f"malformed field table: unknown field type {kind}")


def _text(octets: bytes) -> str | bytes:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets


def _array_at(octets: bytes, at: int, stop: int, depth: int) -> tuple[list[object], int]:
    if depth > MAX_DEPTH:
        raise SyntaxFault(f"malformed field table: nested deeper than {MAX_DEPTH}")
    at, end = _sized(octets, at, stop)
    values: list[object] = []
    while at < end:
        value, at = _value_at(octets, at, end, depth)
        values.append(value)
    return values, end


def _decimal_at(octets: bytes, at: int, stop: int) -> tuple[Decimal, int]:
    end = at + _DECIMAL.size
    if end > stop:
        raise SyntaxFault("malformed field table: a value runs past the end of its table")
    scale, digits = _DECIMAL.unpack_from(octets, at)
    return Decimal(digits).scaleb(-scale), end


def _encode_sized(octets: bytes) -> bytes:
    return _SIZE.pack(len(octets)) + octets


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or sign or not -255 <= exponent <= 0:
        raise ValueError(f"no AMQP decimal: {value}")
    return _DECIMAL.pack(-exponent, int("".join(map(str, digits))))


def _encode_array(values: list[object]) -> bytes:
    return _encode_sized(b"".join(map(encode_value, values)))


Kind = tuple[str, bytes, Callable[[Any], bytes]]

_KINDS: dict[type, Kind] = {
    bool: ("bool", b"t", Struct(">B").pack),
    Byte: (Byte.type_name, b"b", Struct(">b").pack),
    UnsignedByte: (UnsignedByte.type_name, b"B", Struct(">B").pack),
    Short: (Short.type_name, b"s", Struct(">h").pack),
    UnsignedShort: (UnsignedShort.type_name, b"u", Struct(">H").pack),
    SignedInt: (SignedInt.type_name, b"I", Struct(">i").pack),
    UnsignedInt: (UnsignedInt.type_name, b"i", Struct(">I").pack),
    Timestamp: (Timestamp.type_name, b"T", Struct(">Q").pack),
    int: ("long", b"l", Struct(">q").pack),
    Float32: ("float", b"f", Struct(">f").pack),
    float: ("double", b"d", Struct(">d").pack),
    Decimal: ("decimal", b"D", _encode_decimal),
    str: ("longstr", b"S", lambda value: _encode_sized(value.encode())),
    bytes: ("longstr", b"S", _encode_sized),
    bytearray: ("binary", b"x", lambda value: _encode_sized(bytes(value))),
    list: ("array", b"A", _encode_array),
    dict: ("table", b"F", encode_table),
    type(None): ("void", b"V", lambda _value: b""),
}


def _kind_of(value: object) -> Kind:
    for kind in type(value).__mro__:
        if kind in _KINDS:
            return _KINDS[kind]
    raise TypeError(f"no field table can hold a {type(value).__name__}")


def _family(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str | bytes | bytearray):
        return "text"
    return type_name(value)


def _octets_of(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, bytes | bytearray) else b""
