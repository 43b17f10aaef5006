"""Field tables: every type there and back, names of types, comparison, and whatever a peer may send."""

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import SyntaxFault
from protocol.tables import (
    KNOWN_COUNT,
    KNOWN_OCTETS,
    MAX_DEPTH,
    Byte,
    FieldTable,
    Float32,
    Short,
    SignedInt,
    Timestamp,
    UnsignedByte,
    UnsignedInt,
    UnsignedShort,
    decode_table,
    encode_table,
    fields_between,
    is_integer,
    known_table,
    same_value,
    type_name,
)


def sized(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


def field(key: bytes, value: bytes) -> bytes:
    return bytes((len(key),)) + key + value


# Octets of a value with its type, the value, RabbitMQ's name of the type.
VALUES: list[tuple[bytes, object, str]] = [
    (b"t\x01", True, "bool"),
    (b"t\x00", False, "bool"),
    (b"b\xfb", -5, "byte"),
    (b"B\xfb", 251, "unsignedbyte"),
    (b"s\xff\xfb", -5, "short"),
    (b"u\xff\xfb", 65531, "unsignedshort"),
    (b"I\xff\xff\xff\xfb", -5, "signedint"),
    (b"i\xff\xff\xff\xfb", 4294967291, "unsignedint"),
    (b"l" + b"\xff" * 7 + b"\xfb", -5, "long"),
    (b"f" + struct.pack(">f", 0.1), struct.unpack(">f", struct.pack(">f", 0.1))[0], "float"),
    (b"d" + struct.pack(">d", 0.1), 0.1, "double"),
    (b"d" + struct.pack(">d", 1e300), 1e300, "double"),
    (b"D\x02" + struct.pack(">I", 310), Decimal("3.10"), "decimal"),
    (b"D\xff" + struct.pack(">I", 4294967295), Decimal(4294967295).scaleb(-255), "decimal"),
    (b"S" + sized("naïve".encode()), "naïve", "longstr"),
    (b"S" + sized(b"\xff\xfe"), b"\xff\xfe", "longstr"),
    (b"A" + sized(b"t\x01b\x05"), [True, 5], "array"),
    (b"T" + struct.pack(">Q", 1700000000), 1700000000, "timestamp"),
    (b"T" + b"\xff" * 8, 2**64 - 1, "timestamp"),
    (b"F" + sized(field(b"a", b"V")), {"a": None}, "table"),
    (b"V", None, "void"),
    (b"x" + sized(b"\x00\xff"), bytearray(b"\x00\xff"), "binary"),
]


@pytest.mark.spec("4.2.5.5")
@pytest.mark.parametrize(("octets", "value", "name"), VALUES)
def test_every_field_type_comes_back_octet_for_octet(octets: bytes, value: object, name: str) -> None:
    table = sized(field(b"key", octets))

    decoded = decode_table(table)

    assert decoded == {"key": value}
    assert type_name(decoded["key"]) == name
    assert encode_table(decoded) == table


def test_the_synonym_of_long_comes_back_as_long() -> None:
    decoded = decode_table(sized(field(b"k", b"L" + b"\xff" * 8)))

    assert decoded == {"k": -1}
    assert encode_table(decoded) == sized(field(b"k", b"l" + b"\xff" * 8))


def test_order_is_kept_and_of_duplicate_keys_the_first_counts() -> None:
    octets = field(b"b", b"b\x01") + field(b"a", b"b\x02") + field(b"b", b"b\x03") + field(b"", b"V")

    assert list(decode_table(sized(octets)).items()) == [("b", 1), ("a", 2), ("", None)]


def test_a_key_that_is_not_utf8_survives() -> None:
    octets = sized(field(b"\xff\xfe", b"t\x01"))

    assert encode_table(decode_table(octets)) == octets


def test_our_own_tables_have_rabbitmqs_types() -> None:
    assert encode_table({"n": 5, "s": "x", "y": True}) == sized(
        field(b"n", b"l" + bytes(7) + b"\x05") + field(b"s", b"S" + sized(b"x")) + field(b"y", b"t\x01")
    )


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j])
def test_a_value_without_field_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="no field table can hold"):
        type_name(value)


@pytest.mark.parametrize("value", [Decimal("-1"), Decimal("NaN"), Decimal("1e5"), Decimal("1e-300")])
def test_a_decimal_outside_amqps_range_is_a_value_error(value: Decimal) -> None:
    with pytest.raises(ValueError, match="no AMQP decimal"):
        encode_table({"k": value})


def test_a_key_over_255_octets_is_a_value_error() -> None:
    assert decode_table(encode_table({"k" * 255: 1})) == {"k" * 255: 1}
    with pytest.raises(ValueError, match="over 255 octets"):
        encode_table({"k" * 256: 1})


@pytest.mark.parametrize("kind", [Byte, UnsignedByte, Short, UnsignedShort, SignedInt, UnsignedInt, int])
def test_every_width_is_an_integer(kind: type[int]) -> None:
    assert is_integer(kind(5))
    assert same_value(kind(5), 5)
    assert not same_value(kind(5), 6)


@pytest.mark.parametrize("value", [True, Timestamp(5), 5.0, "5", b"5", None, Decimal(5), [5], {"a": 5}])
def test_nothing_else_is_an_integer(value: object) -> None:
    assert not is_integer(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (5, 5.0),
        (Float32(0.5), 0.5),
        (Timestamp(5), 5),
        ("ab", bytearray(b"ab")),
        (b"\xff", bytearray(b"\xff")),
        (None, None),
        (Decimal("3.1"), Decimal("3.10")),
        ([1, ["a"]], [Byte(1), ["a"]]),
        ({"a": 1, "b": {"c": True}}, {"b": {"c": True}, "a": Short(1)}),
    ],
)
def test_values_are_the_same_whatever_their_width(one: object, other: object) -> None:
    assert same_value(one, other)
    assert same_value(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        (1, True),
        (0, False),
        (0, None),
        ("", None),
        ("ab", "AB"),
        ([1], [True]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"b": 1}),
        ({}, []),
    ],
)
def test_values_of_other_kinds_differ(one: object, other: object) -> None:
    assert not same_value(one, other)
    assert not same_value(other, one)


EVERYTHING = sized(b"".join(field(bytes((97 + n,)), octets) for n, (octets, _, _) in enumerate(VALUES)))


def test_a_table_cut_anywhere_is_a_syntax_fault() -> None:
    body = EVERYTHING[4:]
    ends = {0}
    for n, (octets, _, _) in enumerate(VALUES):
        ends.add(max(ends) + len(field(bytes((97 + n,)), octets)))

    for length in range(len(body)):
        if length in ends:
            assert len(decode_table(sized(body[:length]))) == sorted(ends).index(length)
        else:
            with pytest.raises(SyntaxFault, match="malformed field table"):
                decode_table(sized(body[:length]))


@pytest.mark.parametrize("octets", [b"", b"\x00\x00\x00", b"\x00\x00\x00\x01", b"\x00\x00\x00\x00x", b"\xff" * 4])
def test_a_wrong_size_of_the_whole_is_a_syntax_fault(octets: bytes) -> None:
    with pytest.raises(SyntaxFault, match="malformed field table"):
        decode_table(octets)


@pytest.mark.parametrize("octets", [b"q1234", b"U\x00\x01", b"\x00", b"A\x00\x00\x00\x01q"])
def test_an_unknown_field_type_is_a_syntax_fault_that_names_it(octets: bytes) -> None:
    with pytest.raises(SyntaxFault, match=r"malformed field table: unknown field type (113|85|0)"):
        decode_table(sized(field(b"k", octets)))


@pytest.mark.parametrize("opening", [b"A", b"F"])
def test_nesting_ends_at_a_limit_instead_of_the_interpreters(opening: bytes) -> None:
    def table(depth: int) -> bytes:
        octets = b""
        for _ in range(depth):
            octets = field(b"k", b"F" + sized(octets)) if opening == b"F" else b"A" + sized(octets)
        return sized(octets if opening == b"F" else field(b"k", octets))

    assert encode_table(decode_table(table(MAX_DEPTH))) == table(MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 10_000):
        with pytest.raises(SyntaxFault, match="nested deeper"):
            decode_table(table(depth))


def test_a_table_without_its_size_decodes_too() -> None:
    octets = EVERYTHING[4:]

    assert fields_between(octets, 0, len(octets)) == decode_table(EVERYTHING)


integers = st.one_of(
    st.integers(-(2**7), 2**7 - 1).map(Byte),
    st.integers(0, 2**8 - 1).map(UnsignedByte),
    st.integers(-(2**15), 2**15 - 1).map(Short),
    st.integers(0, 2**16 - 1).map(UnsignedShort),
    st.integers(-(2**31), 2**31 - 1).map(SignedInt),
    st.integers(0, 2**32 - 1).map(UnsignedInt),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1).map(Timestamp),
)
decimals = st.builds(lambda n, scale: Decimal(n).scaleb(-scale), st.integers(0, 2**32 - 1), st.integers(0, 255))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    st.floats(allow_nan=False),
    st.floats(width=32, allow_nan=False).map(Float32),
    decimals,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=20).map(bytearray),
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tables = st.dictionaries(
    keys,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)),
    max_size=6,
)


@given(tables)
def test_any_table_comes_back_with_values_and_types(table: FieldTable) -> None:
    decoded = decode_table(encode_table(table))

    assert decoded == table
    assert [type_name(value) for value in decoded.values()] == [type_name(value) for value in table.values()]
    assert all(same_value(decoded[key], table[key]) for key in table)


@given(st.data())
def test_mutated_tables_decode_or_are_syntax_faults(data: st.DataObject) -> None:
    octets = bytearray(EVERYTHING)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))

    try:
        table = decode_table(bytes(octets))
    except SyntaxFault:
        return
    if not any(isinstance(value, float) and math.isnan(value) for value in table.values()):
        assert decode_table(encode_table(table)) == table


def test_what_clients_say_of_themselves_is_decoded_once() -> None:
    octets = encode_table({"product": "pika", "capabilities": {"basic.nack": True}})
    table = known_table(octets)
    assert table == decode_table(octets)
    assert known_table(bytes(octets)) is table


def test_tables_that_differ_each_time_are_not_gathered() -> None:
    first = encode_table({"name": "the first client"})
    table = known_table(first)
    for number in range(KNOWN_COUNT):
        assert known_table(encode_table({"name": f"client {number}"})) == {"name": f"client {number}"}
    assert known_table(first) is not table
    large = encode_table({"name": "x" * KNOWN_OCTETS})
    assert known_table(large) is not known_table(large)
