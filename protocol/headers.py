"""The headers table of a content header: read it, or put another in its place without touching the rest.

Only who acts on headers comes here: headers exchanges, CC and BCC, dead letters, direct reply-to, delivery counts.
All other properties keep their octets. Ref: basic content header.
"""

from functools import lru_cache
from typing import Final

from protocol.constants import FRAME_END_OCTET
from protocol.content import FRAME_HEAD, Shape, header_facts
from protocol.errors import FrameError, SyntaxFault
from protocol.tables import FieldTable, decode_table, encode_fields, encode_table

_CONTENT_TYPE: Final = 1 << 15
_CONTENT_ENCODING: Final = 1 << 14
_HEADERS: Final = 1 << 13
_REPLY_TO: Final = 1 << 9
_EXPIRATION: Final = 1 << 8
_FIXED_OCTETS: Final = {1 << 12: 1, 1 << 11: 1, 1 << 6: 8}
"""Properties that are no short strings, and their sizes: delivery mode, priority, timestamp."""
_IDENTIFYING: Final = {"correlation_id": 1 << 10, "message_id": 1 << 7, "timestamp": 1 << 6}


@lru_cache(maxsize=256)
def _set_in(flags: int) -> tuple[int, ...]:
    """Return the flags that are set, in the order in which their properties come."""
    return tuple(flag for flag in (1 << bit for bit in range(15, 1, -1)) if flags & flag)


def properties_of(payload: bytes) -> dict[int, bytes]:
    """Return the properties of a content header frame's payload: flag to octets, in the wire's order.

    Raises FrameError (501) where one runs over the end.
    """
    flags = int.from_bytes(payload[12:14])
    at = 14
    properties: dict[int, bytes] = {}
    for flag in _set_in(flags):
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

    All else keeps its octets; it need not even be readable.
    """
    return _with_field(payload, name, encode_fields({name: value}))


def content_with_header(content: bytes, name: str, field: bytes, at: int = 0) -> bytes:
    """As ``with_header`` for a message's content, whose header frame begins ``at``.

    ``field`` is name and value as in a table. Hot: streams do this for each message and consumer.
    """
    stop = at + 7 + int.from_bytes(content[at + 3 : at + 7])
    payload = _with_field(content[at + 7 : stop], name, field)
    return b"".join((content[: at + 3], len(payload).to_bytes(4), payload, content[stop:]))


def _with_field(payload: bytes, name: str, field: bytes) -> bytes:
    if name.encode() in payload:
        payload = _without_header(payload, name)
    flags = int.from_bytes(payload[12:14])
    at = 14
    for flag in (_CONTENT_TYPE, _CONTENT_ENCODING):
        if flags & flag:
            at += 1 + payload[at]
    if flags & _HEADERS:
        octets = int.from_bytes(payload[at : at + 4])
        stop = at + 4 + octets
        size = (octets + len(field)).to_bytes(4)
        return b"".join((payload[:at], size, payload[at + 4 : stop], field, payload[stop:]))
    flags |= _HEADERS
    return b"".join((payload[:12], flags.to_bytes(2), payload[14:at], len(field).to_bytes(4), field, payload[at:]))


def _without_header(payload: bytes, name: str) -> bytes:
    try:
        headers = decode_headers(payload)
    except (FrameError, SyntaxFault):
        return payload
    return payload if headers.pop(name, None) is None else with_headers(payload, headers)


def with_reply_to(payload: bytes, reply_to: bytes) -> bytes:
    """Return a content header frame's payload, which has a reply-to property, with another one.

    ``reply_to`` is that as a short string. Hot: each request of a client that waits for direct replies.
    """
    at = 14
    for flag in _set_in(int.from_bytes(payload[12:14])):
        if flag == _HEADERS:
            size = 4 + int.from_bytes(payload[at : at + 4])
        else:
            size = _FIXED_OCTETS.get(flag) or 1 + payload[at]
        if flag == _REPLY_TO:
            break
        at += size
    return payload[:at] + reply_to + payload[at + size :]


def content_with_reply_to(content: bytes, reply_to: bytes) -> bytes:
    """As ``with_reply_to``, for the header frame and all that follows it."""
    stop = 8 + int.from_bytes(content[3:7])
    payload = with_reply_to(content[7 : stop - 1], reply_to)
    return b"".join((content[:3], len(payload).to_bytes(4), payload, content[stop - 1 :]))


def _assembled(payload: bytes, properties: dict[int, bytes]) -> bytes:
    flags = sum(properties)
    octets = b"".join(properties[flag] for flag in sorted(properties, reverse=True))
    return payload[:12] + flags.to_bytes(2) + octets


def with_header_payload(shape: Shape, pieces: list[bytes], payload: bytes) -> tuple[Shape, list[bytes]]:
    """Return shape and pieces of the same messages with another content header, the same for all of them.

    Where headers differ from message to message (``shape.lead`` is empty), there must be one piece alone.
    """
    if shape.is_keyed:
        shape, piece = shape.alone(pieces[0])
        pieces = [piece]
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
