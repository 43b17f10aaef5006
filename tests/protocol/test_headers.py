"""A header added to a content header: the rest stays octet by octet."""

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.headers import content_with_header, decode_headers, properties_of, with_header
from protocol.tables import encode_fields, encode_table
from tests.protocol.octets import content_frames, frame

SHORT = st.binary(max_size=20).map(lambda octets: bytes((len(octets),)) + octets)
TABLES = st.dictionaries(st.text(max_size=5), st.integers(-(2**40), 2**40) | st.text(max_size=9), max_size=4)
KINDS: list[tuple[int, st.SearchStrategy[bytes]]] = [
    *((1 << bit, SHORT) for bit in (15, 14, 10, 9, 8, 7, 5, 4, 3, 2)),
    (1 << 12, st.sampled_from([b"\x01", b"\x02"])),
    (1 << 11, st.binary(min_size=1, max_size=1)),
    (1 << 6, st.binary(min_size=8, max_size=8)),
]


@st.composite
def property_octets(draw: st.DrawFn) -> tuple[dict[int, bytes], dict[str, Any]]:
    """Properties by flag, and the headers among them."""
    properties = {flag: draw(kind) for flag, kind in KINDS if draw(st.booleans())}
    headers: dict[str, Any] = draw(TABLES)
    has_table: bool = draw(st.booleans())
    if headers or has_table:
        properties[1 << 13] = encode_table(headers)
    return properties, headers


def octets_of(properties: dict[int, bytes]) -> bytes:
    ordered = sorted(properties, reverse=True)
    return sum(ordered).to_bytes(2) + b"".join(properties[flag] for flag in ordered)


@given(property_octets(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=50))
def test_header_is_added_and_the_rest_stays(
    given_properties: tuple[dict[int, bytes], dict[str, Any]], value: int, body: bytes
) -> None:
    properties, headers = given_properties
    content = content_frames(body, octets_of(properties))
    changed = content_with_header(content, "x-new", encode_fields({"x-new": value}))
    size = int.from_bytes(changed[3:7])
    payload = changed[7 : 7 + size]
    assert decode_headers(payload) == headers | {"x-new": value}
    others = properties_of(payload)
    del others[1 << 13]
    properties.pop(1 << 13, None)
    assert others == properties
    assert changed[7 + size :] == content[7 + int.from_bytes(content[3:7]) :]


def payload_of(properties: bytes) -> bytes:
    return pack(">HHQ", 60, 0, 0) + properties


def test_header_of_that_name_is_replaced() -> None:
    payload = payload_of(b"\x20\x00" + encode_table({"a": 1, "b": "old", "c": 2}))
    assert decode_headers(with_header(payload, "b", 9)) == {"a": 1, "c": 2, "b": 9}


def test_name_that_is_a_value_stays() -> None:
    payload = payload_of(b"\x20\x00" + encode_table({"a": "b"}))
    assert decode_headers(with_header(payload, "b", 9)) == {"a": "b", "b": 9}


@pytest.mark.parametrize(
    "properties",
    [b"\x20\x00" + b"\x00\x00\x00\x05" + b"\x01bzzz", b"\x20\x00" + encode_table({"b": 1}) + b"left over"],
)
def test_what_cannot_be_read_is_kept(properties: bytes) -> None:
    octets = with_header(payload_of(properties), "b", 9)
    assert encode_fields({"b": 9}) in octets
    assert len(octets) == len(payload_of(properties)) + len(encode_fields({"b": 9}))


def test_frame_size_is_that_of_the_payload() -> None:
    content = content_frames(b"body")
    changed = content_with_header(content, "n", encode_fields({"n": 1}))
    stop = 7 + int.from_bytes(changed[3:7])
    assert frame(2, 1, changed[7:stop]) == changed[: stop + 1]
