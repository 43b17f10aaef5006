"""AMQP 0-9-1 octets as the load generator needs them: frames out, and just enough parsing of frames in.

Pre-encoded once before a run, so plain and clear here, not fast. Knows no sockets. Refuses to be a codec:
tables go out, but only two fields of one table are ever looked at on the way in.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

METHOD_FRAME: Final = 1
HEADER_FRAME: Final = 2
BODY_FRAME: Final = 3
FRAME_END: Final = 206
FRAME_OVERHEAD_OCTETS: Final = 8
PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"

CONNECTION_START: Final = (10, 10)
CONNECTION_START_OK: Final = (10, 11)
CONNECTION_TUNE: Final = (10, 30)
CONNECTION_TUNE_OK: Final = (10, 31)
CONNECTION_OPEN: Final = (10, 40)
CONNECTION_OPEN_OK: Final = (10, 41)
CONNECTION_CLOSE: Final = (10, 50)
CONNECTION_CLOSE_OK: Final = (10, 51)
CHANNEL_OPEN: Final = (20, 10)
CHANNEL_OPEN_OK: Final = (20, 11)
CHANNEL_CLOSE: Final = (20, 40)
EXCHANGE_DECLARE: Final = (40, 10)
EXCHANGE_DECLARE_OK: Final = (40, 11)
EXCHANGE_DELETE: Final = (40, 20)
EXCHANGE_DELETE_OK: Final = (40, 21)
QUEUE_DECLARE: Final = (50, 10)
QUEUE_DECLARE_OK: Final = (50, 11)
QUEUE_BIND: Final = (50, 20)
QUEUE_BIND_OK: Final = (50, 21)
QUEUE_DELETE: Final = (50, 40)
QUEUE_DELETE_OK: Final = (50, 41)
BASIC_QOS: Final = (60, 10)
BASIC_QOS_OK: Final = (60, 11)
BASIC_CONSUME: Final = (60, 20)
BASIC_CONSUME_OK: Final = (60, 21)
BASIC_CANCEL: Final = (60, 30)
BASIC_CANCEL_OK: Final = (60, 31)
BASIC_PUBLISH: Final = (60, 40)
BASIC_DELIVER: Final = (60, 60)
BASIC_GET: Final = (60, 70)
BASIC_ACK: Final = (60, 80)
CONFIRM_SELECT: Final = (85, 10)
CONFIRM_SELECT_OK: Final = (85, 11)

ACK_OCTETS: Final = 21
"""A basic.ack frame: head 7, class and method 4, delivery tag 8, multiple 1, end 1."""

Method = tuple[int, int]
FieldValue = None | bool | int | str | Sequence["FieldValue"] | Mapping[str, "FieldValue"]

_frame_head = struct.Struct(">BHI")


def encode_frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One whole frame. Spec: AMQP 0-9-1, 4.2.3."""
    return _frame_head.pack(kind, channel, len(payload)) + payload + bytes([FRAME_END])


def encode_method(channel: int, method: Method, arguments: bytes = b"") -> bytes:
    """One method frame around already encoded arguments."""
    return encode_frame(METHOD_FRAME, channel, struct.pack(">HH", *method) + arguments)


def encode_shortstr(text: str) -> bytes:
    """A length octet and at most 255 octets of UTF-8."""
    octets = text.encode()
    return bytes([len(octets)]) + octets


def encode_longstr(octets: bytes) -> bytes:
    """A 4-octet length and the octets."""
    return struct.pack(">I", len(octets)) + octets


def encode_table(fields: Mapping[str, FieldValue]) -> bytes:
    """A field table with its 4-octet length. Spec: AMQP 0-9-1, 4.2.5.5."""
    return encode_longstr(b"".join(encode_shortstr(name) + _encode_field(value) for name, value in fields.items()))


def _encode_field(value: FieldValue) -> bytes:
    if value is None:
        return b"V"
    if isinstance(value, bool):
        return b"t" + bytes([value])
    if isinstance(value, int):
        return b"I" + struct.pack(">i", value)
    if isinstance(value, str):
        return b"S" + encode_longstr(value.encode())
    if isinstance(value, Mapping):
        return b"F" + encode_table(value)
    return b"A" + encode_longstr(b"".join(map(_encode_field, value)))


def encode_publish(exchange: str, routing_key: str, *, channel: int = 1) -> bytes:
    """The method frame of basic.publish, neither mandatory nor immediate."""
    arguments = b"\x00\x00" + encode_shortstr(exchange) + encode_shortstr(routing_key) + b"\x00"
    return encode_method(channel, BASIC_PUBLISH, arguments)


def encode_content(property_flags: int, properties: bytes, body: bytes, *, channel: int = 1) -> bytes:
    """The content header frame and the body frame; ``body`` must fit into one frame (131,064 octets)."""
    header = struct.pack(">HHQH", 60, 0, len(body), property_flags) + properties
    return encode_frame(HEADER_FRAME, channel, header) + encode_frame(BODY_FRAME, channel, body)


def encode_ack(delivery_tag: int, *, multiple: bool = False, channel: int = 1) -> bytes:
    """A basic.ack frame, ``ACK_OCTETS`` long."""
    return encode_method(channel, BASIC_ACK, struct.pack(">QB", delivery_tag, multiple))


def find_frame(buffer: bytes | bytearray, start: int) -> tuple[int, int, bytes, int] | None:
    """Kind, channel, payload and stop of the frame at ``start``, or None while it is not whole.

    Raises ValueError where the frame end octet is wrong.
    """
    if len(buffer) < start + 7:
        return None
    kind, channel, payload_octets = _frame_head.unpack_from(buffer, start)
    stop = start + payload_octets + FRAME_OVERHEAD_OCTETS
    if len(buffer) < stop:
        return None
    if buffer[stop - 1] != FRAME_END:
        raise ValueError(f"frame of {payload_octets} octets ends with {buffer[stop - 1]}, not {FRAME_END}")
    return kind, channel, bytes(buffer[start + 7 : stop - 1]), stop


def method_of(payload: bytes) -> Method:
    """Class and method id at the start of a method frame's payload."""
    class_id, method_id = struct.unpack_from(">HH", payload)
    return class_id, method_id


def close_text(payload: bytes) -> str:
    """Reply code and text of a channel.close or connection.close payload."""
    (reply_code,) = struct.unpack_from(">H", payload, 4)
    return f"{reply_code} {payload[7 : 7 + payload[6]].decode(errors='replace')}"


def broker_claim(start: bytes) -> str:
    """Product, version and platform that a connection.start payload names."""
    product, version, platform = (find_longstr(start, name) for name in ("product", "version", "platform"))
    return f"{product} {version} on {platform}"


def find_longstr(table: bytes, name: str) -> str:
    """The long string called ``name`` in encoded table octets, or ``?``; a search, not a decoder."""
    mark = encode_shortstr(name) + b"S"
    at = table.find(mark)
    if at < 0:
        return "?"
    at += len(mark)
    (size,) = struct.unpack_from(">I", table, at)
    return table[at + 4 : at + 4 + size].decode(errors="replace")
