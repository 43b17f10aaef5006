"""Messages as JSON and back: the properties of a content header by name, and bodies as text or Base64.

Ref: basic content header.
"""

from base64 import b64decode, b64encode
from typing import Any, Final

from broker.core.json_tables import json_of, table_of
from broker.core.messages import Stretch
from broker.management.errors import BadRequest
from protocol.constants import FRAME_END_OCTET
from protocol.content import FRAME_HEAD, Shape, address_of, header_facts
from protocol.delivery import body_frames
from protocol.errors import AmqpError
from protocol.properties import FLAGS, OCTETS_OF, properties_by_name
from protocol.tables import encode_table

FRAME_MAX: Final = 131_072
CHANNEL: Final = 1
SHORT_MAX_OCTETS: Final = 255


def message_of(exchange: str, routing_key: str, properties: object, body: bytes) -> tuple[Shape, bytes]:
    """Return shape and piece of a message. Raises BadRequest for properties that no message can have."""
    if properties == []:
        properties = {}
    if not isinstance(properties, dict):
        raise BadRequest("properties should be an object")
    if len(routing_key.encode()) > SHORT_MAX_OCTETS:
        raise BadRequest("routing_key is longer than 255 octets")
    flags, parts = 0, b""
    for name, flag in FLAGS.items():
        if name in properties:
            flags |= flag
            parts += _encoded(name, properties[name])
    payload = (60).to_bytes(2) + bytes(2) + len(body).to_bytes(8) + flags.to_bytes(2) + parts
    if len(payload) > FRAME_MAX - 8:
        raise BadRequest("properties are larger than a frame")
    frame = FRAME_HEAD.pack(2, CHANNEL, len(payload)) + payload + FRAME_END_OCTET
    try:
        facts = header_facts(payload)
        address = address_of(exchange, routing_key)
    except AmqpError as error:
        raise BadRequest(error.detail) from None
    shape = Shape(exchange, routing_key, address, CHANNEL, FRAME_MAX, facts)
    return shape, frame + body_frames(body, CHANNEL, FRAME_MAX)


def _encoded(name: str, value: object) -> bytes:
    if name == "headers":
        return encode_table(table_of(value))
    size = OCTETS_OF.get(name)
    if size is not None:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 8 * size:
            raise BadRequest(["not_int", name])
        return value.to_bytes(size)
    if not isinstance(value, str):
        raise BadRequest(["not_string", name])
    octets = value.encode("utf-8", "replace")
    if len(octets) > SHORT_MAX_OCTETS:
        raise BadRequest(f"{name} is longer than 255 octets")
    return bytes((len(octets),)) + octets


def body_in(payload: object, encoding: Any) -> bytes:
    """Return the octets of a payload. Raises BadRequest."""
    if not isinstance(payload, str):
        raise BadRequest("payload_not_string")
    if encoding == "string":
        return payload.encode("utf-8", "replace")
    if encoding != "base64":
        raise BadRequest(["unsupported_encoding", encoding])
    try:
        return b64decode(payload, validate=True)
    except ValueError:
        raise BadRequest(["not_base64", payload[:1000]]) from None


def properties_json(payload: bytes) -> dict[str, Any] | list[Any]:
    """Return the properties of a header frame's payload; RabbitMQ writes none as an empty list."""
    found = properties_by_name(payload)
    if "headers" in found:
        found["headers"] = json_of(found["headers"])
    return found or []


def payload_json(body: bytes, encoding: str, truncate: int | None) -> dict[str, Any]:
    """Return a body, or its first ``truncate`` octets, as text if it is that and ``encoding`` is not ``base64``."""
    shown = body if truncate is None else body[:truncate]
    described: dict[str, Any] = {"payload_bytes": len(body)}
    if encoding != "base64":
        try:
            return described | {"payload": shown.decode(), "payload_encoding": "string"}
        except UnicodeDecodeError:
            pass
    return described | {"payload": b64encode(shown).decode(), "payload_encoding": "base64"}


def describe_message(stretch: Stretch, place: int, encoding: str, truncate: int | None) -> dict[str, Any]:
    """Return the message at ``place`` of a stretch."""
    shape, piece = stretch.shape, stretch.pieces[place]
    return {
        "redelivered": stretch.redelivered,
        "exchange": shape.exchange,
        "routing_key": shape.routing_key_of(piece),
        "properties": properties_json(shape.header_payload(piece)),
        **payload_json(shape.body(piece), encoding, truncate),
    }
