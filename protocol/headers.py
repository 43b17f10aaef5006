"""The headers table of a content header: read it, or put another in its place without touching the rest.

Only who acts on headers comes here: headers exchanges, CC and BCC, dead letters, direct reply-to, delivery counts.
All other properties keep their octets. Ref: basic content header.
"""

from typing import Final

from protocol.constants import FRAME_END_OCTET
from protocol.content import FRAME_HEAD, Shape, header_facts
from protocol.errors import FrameError, SyntaxFault
from protocol.tables import FieldTable, decode_table, encode_table

_HEADERS: Final = 1 << 13
_REPLY_TO: Final = 1 << 9
_EXPIRATION: Final = 1 << 8
_FIXED_OCTETS: Final = {1 << 12: 1, 1 << 11: 1, 1 << 6: 8}
"""Properties that are no short strings, and their sizes: delivery mode, priority, timestamp."""
_IDENTIFYING: Final = {"correlation_id": 1 << 10, "message_id": 1 << 7, "timestamp": 1 << 6}


def properties_of(payload: bytes) -> dict[int, bytes]:
    """Return the properties of a content header frame's payload: flag to octets, in the wire's order.

    Raises FrameError (501) where one runs over the end.
    """
    flags = int.from_bytes(payload[12:14])
    at = 14
    properties: dict[int, bytes] = {}
    for flag in (1 << bit for bit in range(15, 1, -1)):
        if not flags & flag:
            continue
        if at >= len(payload):
            raise FrameError("cannot decode content header", class_id=60, method_id=40)
        if flag == _HEADERS:
            size = 4 + int.from_bytes(payload[at : at + 4])
        else:
            size = _FIXED_OCTETS.get(flag) or 1 + payload[at]
        properties[flag] = payload[at : at + size]
        at += size
    if at != len(payload):
        raise FrameError("cannot decode content header", class_id=60, method_id=40)
    return properties


def decode_headers(payload: bytes) -> FieldTable:
    """Return the headers of a content header frame's payload, {} where there are none.

    Raises FrameError (501) where a property, SyntaxFault (502) where the table cannot be read.
    """
    table = properties_of(payload).get(_HEADERS)
    return {} if table is None else decode_table(table)


def expiration_of(payload: bytes) -> str | None:
    """Return the expiration property, None where there is none."""
    octets = properties_of(payload).get(_EXPIRATION)
    return None if octets is None else octets[1:].decode("utf-8", "replace")


def identity_of(payload: bytes, name: str) -> bytes | None:
    """Return correlation_id, message_id or timestamp (as decimal digits), None where the message has none."""
    octets = properties_of(payload).get(_IDENTIFYING[name])
    if octets is None:
        return None
    return str(int.from_bytes(octets)).encode() if name == "timestamp" else octets[1:]


def with_headers(payload: bytes, headers: FieldTable, *, keeps_expiration: bool = True) -> bytes:
    """Return a content header frame's payload with ``headers`` in place of its own."""
    properties = properties_of(payload)
    properties[_HEADERS] = encode_table(headers)
    if not keeps_expiration:
        properties.pop(_EXPIRATION, None)
    return _assembled(payload, properties)


def with_header(payload: bytes, name: str, value: object) -> bytes:
    """Return a content header frame's payload with one more header, in place of any of that name.

    The other headers keep their octets; they need not even be readable.
    """
    properties = properties_of(payload)
    fields = properties.get(_HEADERS, b"\x00\x00\x00\x00")[4:]
    if name.encode() in fields:
        try:
            others = decode_table(properties[_HEADERS])
        except SyntaxFault:
            others = None
        if others is not None and others.pop(name, None) is not None:
            fields = encode_table(others)[4:]
    fields += encode_table({name: value})[4:]
    properties[_HEADERS] = len(fields).to_bytes(4) + fields
    return _assembled(payload, properties)


def with_reply_to(payload: bytes, reply_to: str) -> bytes:
    """Return a content header frame's payload with another reply-to property."""
    properties = properties_of(payload)
    octets = reply_to.encode()
    properties[_REPLY_TO] = bytes((len(octets),)) + octets
    return _assembled(payload, properties)


def _assembled(payload: bytes, properties: dict[int, bytes]) -> bytes:
    flags = sum(properties)
    octets = b"".join(properties[flag] for flag in sorted(properties, reverse=True))
    return payload[:12] + flags.to_bytes(2) + octets


def with_header_payload(shape: Shape, pieces: list[bytes], payload: bytes) -> tuple[Shape, list[bytes]]:
    """Return shape and pieces of the same messages with another content header, the same for all of them.

    Where headers differ from message to message (``shape.lead`` is empty), there must be one piece alone.
    """
    frame = FRAME_HEAD.pack(2, shape.channel, len(payload)) + payload + FRAME_END_OCTET
    old = shape.lead or pieces[0]
    rest = old[8 + int.from_bytes(old[3:7]) :]
    lead, pieces = (frame + rest, pieces) if shape.lead else (b"", [frame + rest])
    new = Shape(
        shape.exchange,
        shape.routing_key,
        shape.address,
        shape.channel,
        shape.frame_max,
        header_facts(payload),
        lead,
        shape.body_octets,
    )
    return new, pieces
