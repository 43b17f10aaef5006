"""Tables in definitions come back as they were, types and all."""

import json
from decimal import Decimal

import pytest

from broker.core.definitions import table_from_json, table_to_json
from protocol.tables import Byte, FieldTable, Float32, SignedInt, Timestamp, type_name

TABLE: FieldTable = {
    "text": "é",
    "octets": b"\xff\x00",
    "array of octets": bytearray(b"\x01"),
    "byte": Byte(-1),
    "int": SignedInt(5),
    "long": 1 << 60,
    "time": Timestamp(1_700_000_000),
    "float": Float32(1.5),
    "double": 0.1,
    "decimal": Decimal("1.50"),
    "void": None,
    "bool": True,
    "array": [SignedInt(1), {"x": None}],
}


def test_table_survives_json_with_its_types() -> None:
    text = json.loads(json.dumps(table_to_json(TABLE)))
    found = table_from_json(text)
    assert found == TABLE
    assert [type_name(value) for value in found.values()] == [type_name(value) for value in TABLE.values()]
    assert type_name(found["array"][0]) == "signedint"


def test_empty_table_is_the_empty_string() -> None:
    assert table_to_json({}) == ""
    assert table_from_json("") == {}


@pytest.mark.parametrize("wrong", [None, 5, ["a"], "not base64!"])
def test_what_is_no_table_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"arguments|base64|padded"):
        table_from_json(wrong)  # type: ignore[arg-type]
