"""Headers exchange: every rule of its matching, and the index against a slow matcher."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.exchanges.headers import comparable
from protocol.errors import PreconditionFailed
from protocol.tables import Byte, FieldTable, Float32, SignedInt, Timestamp, UnsignedShort, same_value
from tests.core.topology import bind, new_queue, new_vhost, routed, unbind

NAMES = st.sampled_from(["a", "b", "x-c", "x-d"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 2),
    st.integers(0, 2).map(Byte),
    st.integers(0, 2).map(Timestamp),
    st.sampled_from(["0", "1", "", b"1", b"\xff", bytearray(b"1")]),
    st.sampled_from([0.0, 1.0, 1.5, Float32(1.5), Decimal(1), Decimal("1.5")]),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(NAMES, SCALARS, max_size=2))
TABLES = st.dictionaries(NAMES, VALUES, max_size=3)
X_MATCHES = st.sampled_from([None, "all", "any", "all-with-x", "any-with-x"])


def arguments_of(match_kind: str | None, criteria: FieldTable) -> FieldTable:
    return dict(criteria) if match_kind is None else {"x-match": match_kind, **criteria}


def fits(arguments: FieldTable, headers: FieldTable) -> bool:
    """What RabbitMQ's documentation says of a headers binding, in the slowest way."""
    kind = arguments.get("x-match", "all")
    asked = {
        name: value
        for name, value in arguments.items()
        if name != "x-match" and (kind.endswith("with-x") or not name.startswith("x-"))
    }
    met = [name in headers and (value is None or same_value(value, headers[name])) for name, value in asked.items()]
    return any(met) if kind.startswith("any") else all(met)


def matches(arguments: FieldTable, headers: FieldTable | None) -> bool:
    vhost = new_vhost()
    new_queue(vhost, "q")
    bind(vhost, "q", "amq.headers", "", arguments)
    return routed(vhost, "amq.headers", "", headers) == ["q"]


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, None),
        ({}, {}),
        ({}, {"a": 1}),
        ({"x-match": "all"}, None),
        ({"x-match": "all-with-x"}, {"z": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": SignedInt(1)}),
        ({"a": UnsignedShort(1)}, {"a": Byte(1)}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": Timestamp(5)}, {"a": 5}),
        ({"a": "x"}, {"a": bytearray(b"x")}),
        ({"a": None}, {"a": 5}),
        ({"a": None}, {"a": None}),
        ({"a": {"x": 1, "y": "2"}}, {"a": {"y": "2", "x": 1}}),
        ({"a": [1, "2"]}, {"a": [1, "2"]}),
        ({"x-match": "all", "x-a": 1}, {"z": 1}),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}),
        ({"x-match": "any-with-x", "x-a": 1}, {"x-a": 1}),
        ({"x-match": "any-with-x", "a": None}, {"a": 1}),
        ({"x-match": "all-with-x", "x-a": 1, "a": 1}, {"x-a": 1, "a": 1}),
        ({"x-match": "any", "x": 1}, {"x": 1}),
    ],
)
def test_binding_matches(arguments: FieldTable, headers: FieldTable | None) -> None:
    assert matches(arguments, headers)


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"a": 1}, None),
        ({"a": 1}, {}),
        ({"a": 1}, {"A": 1}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": Decimal(1)}, {"a": 1}),
        ({"a": 5}, {"a": None}),
        ({"a": None}, {}),
        ({"a": {"x": 1}}, {"a": {"x": "1"}}),
        ({"a": {"x": 1}}, {"a": {}}),
        ({"a": [1, "2"]}, {"a": ["2", 1]}),
        ({"a": [1]}, {"a": [True]}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"x-match": "any"}, {"a": 1}),
        ({"x-match": "any"}, None),
        ({"x-match": "any", "x-a": 1}, {"x-a": 1}),
        ({"x-match": "any-with-x"}, {"x-match": "any-with-x"}),
        ({"x-match": "all-with-x", "x-a": 1}, {"z": 1}),
        ({"x-match": "any", "a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"X-a": 1}, {}),
    ],
)
def test_binding_does_not_match(arguments: FieldTable, headers: FieldTable | None) -> None:
    assert not matches(arguments, headers)


@given(VALUES, VALUES)
def test_values_are_comparable_as_they_are_the_same(one: Any, other: Any) -> None:
    assert (comparable(one) == comparable(other)) == same_value(one, other)
    assert comparable(one) == comparable(one)


def test_comparable_refuses_what_no_table_holds() -> None:
    with pytest.raises(TypeError):
        comparable(object())


@given(st.lists(st.tuples(X_MATCHES, TABLES), max_size=8), st.lists(TABLES, min_size=1, max_size=4))
def test_headers_routes_as_the_slow_matcher(
    bindings: list[tuple[str | None, FieldTable]], messages: list[FieldTable]
) -> None:
    vhost = new_vhost()
    for number, (kind, criteria) in enumerate(bindings):
        new_queue(vhost, f"q{number}")
        bind(vhost, f"q{number}", "amq.headers", "", arguments_of(kind, criteria))
    for headers in messages:
        found = routed(vhost, "amq.headers", "", headers)
        assert len(found) == len(set(found))
        assert set(found) == {f"q{n}" for n, item in enumerate(bindings) if fits(arguments_of(*item), headers)}


@given(st.lists(st.tuples(X_MATCHES, TABLES), max_size=8), TABLES)
def test_headers_forgets_what_was_unbound(bindings: list[tuple[str | None, FieldTable]], headers: FieldTable) -> None:
    vhost = new_vhost()
    for number, (kind, criteria) in enumerate(bindings):
        new_queue(vhost, f"q{number}")
        bind(vhost, f"q{number}", "amq.headers", "", arguments_of(kind, criteria))
    for number, (kind, criteria) in enumerate(bindings):
        unbind(vhost, f"q{number}", "amq.headers", "", arguments_of(kind, criteria))
    assert routed(vhost, "amq.headers", "", headers) == []
    assert vhost.exchanges["amq.headers"].bindings == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("foo", 'Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        ("ALL", 'Invalid x-match field value <<"ALL">>; expected all, any, all-with-x, or any-with-x'),
        ("", "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x"),
        (SignedInt(5), "Invalid x-match field type signedint (value 5); expected longstr"),
        (5, "Invalid x-match field type long (value 5); expected longstr"),
        (1.5, "Invalid x-match field type double (value 1.5); expected longstr"),
        (True, "Invalid x-match field type bool (value true); expected longstr"),
        (None, "Invalid x-match field type void (value undefined); expected longstr"),
        (bytearray(b"all"), 'Invalid x-match field type binary (value <<"all">>); expected longstr'),
        ([SignedInt(1)], "Invalid x-match field type array (value [{signedint,1}]); expected longstr"),
        (
            {"a": SignedInt(1)},
            'Invalid x-match field type table (value [{<<"a">>,signedint,1}]); expected longstr',
        ),
    ],
)
def test_wrong_x_match_is_refused_with_rabbitmqs_text(value: object, text: str) -> None:
    vhost = new_vhost()
    new_queue(vhost, "q")
    with pytest.raises(PreconditionFailed) as raised:
        bind(vhost, "q", "amq.headers", "", {"x-match": value})
    assert raised.value.detail == text
    assert vhost.exchanges["amq.headers"].bindings == {}


def test_other_types_do_not_look_at_x_match() -> None:
    vhost = new_vhost()
    new_queue(vhost, "q")
    bind(vhost, "q", "amq.direct", "k", {"x-match": "foo"})
    assert routed(vhost, "amq.direct", "k") == ["q"]
