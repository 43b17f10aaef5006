"""The suite's own codec: what it writes, it reads back, with the types of table values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import codec
from conformance.codec import Typed

WIDTHS = {"b": (-(2**7), 2**7 - 1), "s": (-(2**15), 2**15 - 1), "I": (-(2**31), 2**31 - 1), "l": (-(2**63), 2**63 - 1)}
INTEGERS = st.sampled_from(sorted(WIDTHS)).flatmap(
    lambda code: st.integers(*WIDTHS[code]).map(lambda value: Typed(code, value))
)
LEAVES = st.one_of(
    INTEGERS,
    st.text(max_size=20).map(lambda value: Typed("S", value)),
    st.booleans().map(lambda value: Typed("t", value)),
    st.floats(allow_nan=False).map(lambda value: Typed("d", value)),
    st.just(Typed("V", None)),
)
KEYS = st.text(max_size=20)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: Typed("A", items)),
        st.dictionaries(KEYS, inner, max_size=4).map(lambda table: Typed("F", table)),
    ),
    max_leaves=10,
)
EXAMPLES: dict[str, Any] = {
    "o": 200,
    "h": 60000,
    "l": 2**31,
    "L": 2**63,
    "s": "short é",
    "S": "long",
    "t": {"k": 1},
    "b": True,
}


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_table_comes_back_with_its_types(table: dict[str, Typed]) -> None:
    assert codec.Reader(codec.encode_table(table)).table() == Typed("F", table)


@pytest.mark.parametrize("name", sorted(codec.SHAPES))
def test_method_comes_back_with_its_fields(name: str) -> None:
    fields = {field: EXAMPLES[kind] for field, kind in codec.SHAPES[name].fields}
    assert codec.decode_method(codec.encode_method(name, fields)) == (name, fields)


def test_bits_are_packed_from_the_lowest_up() -> None:
    payload = codec.encode_method("basic.nack", {"delivery_tag": 1, "requeue": True})
    assert payload[-1] == 0b10


def test_header_comes_back_with_its_properties() -> None:
    properties = {"content_type": "a", "priority": 3, "timestamp": 5, "headers": {"x": "y"}}
    size, got, headers = codec.decode_header(codec.encode_header(7, properties))
    assert (size, got, headers) == (7, properties, Typed("F", {"x": Typed("S", "y")}))


def test_unknown_field_is_a_wrong_call() -> None:
    with pytest.raises(TypeError, match="no field"):
        codec.encode_method("basic.ack", {"tag": 1})


def test_plain_python_values_get_rabbitmqs_usual_types() -> None:
    table = codec.Reader(codec.encode_table({"a": 1, "b": 2**40, "c": True, "d": 0.5, "e": None})).table()
    assert [value.code for value in table.value.values()] == ["I", "l", "t", "d", "V"]
