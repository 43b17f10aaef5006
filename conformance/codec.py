"""AMQP 0-9-1 octets for the conformance client: methods by name, tables with explicit types, frames.

Independent of any client library or broker on purpose: it can write what a library refuses to write, and
it keeps the type of every table value it reads. It knows nothing of sockets or of what a case expects.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = 0xCE
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

FieldTable = dict[str, Any]

# Fields by type: o octet, h short, l long, L longlong, s shortstr, S longstr, t table, b bit.
# Spec: AMQP 0-9-1 method reference, and RabbitMQ: AMQP 0-9-1 extensions.
_METHODS = """
10.10 connection.start version_major:o version_minor:o server_properties:t mechanisms:S locales:S
10.11 connection.start-ok client_properties:t mechanism:s response:S locale:s
10.20 connection.secure challenge:S
10.21 connection.secure-ok response:S
10.30 connection.tune channel_max:h frame_max:l heartbeat:h
10.31 connection.tune-ok channel_max:h frame_max:l heartbeat:h
10.40 connection.open virtual_host:s reserved_1:s reserved_2:b
10.41 connection.open-ok reserved_1:s
10.50 connection.close reply_code:h reply_text:s class_id:h method_id:h
10.51 connection.close-ok
10.60 connection.blocked reason:s
10.61 connection.unblocked
10.70 connection.update-secret new_secret:S reason:s
10.71 connection.update-secret-ok
20.10 channel.open reserved_1:s
20.11 channel.open-ok reserved_1:S
20.20 channel.flow active:b
20.21 channel.flow-ok active:b
20.40 channel.close reply_code:h reply_text:s class_id:h method_id:h
20.41 channel.close-ok
30.10 access.request realm:s exclusive:b passive:b active:b write:b read:b
30.11 access.request-ok ticket:h
40.10 exchange.declare ticket:h exchange:s type:s passive:b durable:b auto_delete:b internal:b nowait:b arguments:t
40.11 exchange.declare-ok
40.20 exchange.delete ticket:h exchange:s if_unused:b nowait:b
40.21 exchange.delete-ok
40.30 exchange.bind ticket:h destination:s source:s routing_key:s nowait:b arguments:t
40.31 exchange.bind-ok
40.40 exchange.unbind ticket:h destination:s source:s routing_key:s nowait:b arguments:t
40.51 exchange.unbind-ok
50.10 queue.declare ticket:h queue:s passive:b durable:b exclusive:b auto_delete:b nowait:b arguments:t
50.11 queue.declare-ok queue:s message_count:l consumer_count:l
50.20 queue.bind ticket:h queue:s exchange:s routing_key:s nowait:b arguments:t
50.21 queue.bind-ok
50.30 queue.purge ticket:h queue:s nowait:b
50.31 queue.purge-ok message_count:l
50.40 queue.delete ticket:h queue:s if_unused:b if_empty:b nowait:b
50.41 queue.delete-ok message_count:l
50.50 queue.unbind ticket:h queue:s exchange:s routing_key:s arguments:t
50.51 queue.unbind-ok
60.10 basic.qos prefetch_size:l prefetch_count:h global_:b
60.11 basic.qos-ok
60.20 basic.consume ticket:h queue:s consumer_tag:s no_local:b no_ack:b exclusive:b nowait:b arguments:t
60.21 basic.consume-ok consumer_tag:s
60.30 basic.cancel consumer_tag:s nowait:b
60.31 basic.cancel-ok consumer_tag:s
60.40 basic.publish ticket:h exchange:s routing_key:s mandatory:b immediate:b
60.50 basic.return reply_code:h reply_text:s exchange:s routing_key:s
60.60 basic.deliver consumer_tag:s delivery_tag:L redelivered:b exchange:s routing_key:s
60.70 basic.get ticket:h queue:s no_ack:b
60.71 basic.get-ok delivery_tag:L redelivered:b exchange:s routing_key:s message_count:l
60.72 basic.get-empty reserved_1:s
60.80 basic.ack delivery_tag:L multiple:b
60.90 basic.reject delivery_tag:L requeue:b
60.100 basic.recover-async requeue:b
60.110 basic.recover requeue:b
60.111 basic.recover-ok
60.120 basic.nack delivery_tag:L multiple:b requeue:b
85.10 confirm.select nowait:b
85.11 confirm.select-ok
90.10 tx.select
90.11 tx.select-ok
90.20 tx.commit
90.21 tx.commit-ok
90.30 tx.rollback
90.31 tx.rollback-ok
"""

# Content properties in the order of their flag bits, from bit 15 down. Spec: basic class, content fields.
_PROPERTIES = (
    ("content_type", "s"),
    ("content_encoding", "s"),
    ("headers", "t"),
    ("delivery_mode", "o"),
    ("priority", "o"),
    ("correlation_id", "s"),
    ("reply_to", "s"),
    ("expiration", "s"),
    ("message_id", "s"),
    ("timestamp", "L"),
    ("type", "s"),
    ("user_id", "s"),
    ("app_id", "s"),
    ("cluster_id", "s"),
)
_EMPTY: dict[str, Any] = {"o": 0, "h": 0, "l": 0, "L": 0, "s": "", "S": "", "t": {}, "b": False}
_FIXED = {"o": ">B", "h": ">H", "l": ">I", "L": ">Q"}
_TABLE_FIXED = {
    "b": ">b",
    "B": ">B",
    "s": ">h",
    "u": ">H",
    "I": ">i",
    "i": ">I",
    "l": ">q",
    "L": ">q",
    "f": ">f",
    "d": ">d",
    "T": ">Q",
}


class Shape(NamedTuple):
    """What one method looks like on the wire."""

    class_id: int
    method_id: int
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Typed:
    """A table value with its type octet spelled out: ``Typed("s", 5)`` is a signed 16-bit 5."""

    code: str
    value: Any


class Frame(NamedTuple):
    """One frame as read."""

    kind: int
    channel: int
    payload: bytes


def _read_methods() -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for line in _METHODS.split("\n")[1:-1]:
        number, name, *fields = line.split()
        class_id, method_id = number.split(".")
        pairs = tuple((field.split(":")[0], field.split(":")[1]) for field in fields)
        shapes[name] = Shape(int(class_id), int(method_id), pairs)
    return shapes


SHAPES = _read_methods()
NAMES = {(shape.class_id, shape.method_id): name for name, shape in SHAPES.items()}


def frame(kind: int, channel: int, payload: bytes, end: int = FRAME_END) -> bytes:
    """Return the octets of one frame; ``end`` other than 0xCE makes a wrong one."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([end])


def encode_method(name: str, fields: Mapping[str, Any]) -> bytes:
    """Return a method frame's payload; fields that are not given are 0, "" or empty."""
    shape = SHAPES[name]
    unknown = set(fields) - {field for field, _ in shape.fields}
    if unknown:
        raise TypeError(f"{name} has no field {sorted(unknown)}")
    parts = [struct.pack(">HH", shape.class_id, shape.method_id)]
    bits, bit_count = 0, 0
    for field, kind in shape.fields:
        value = fields.get(field, _EMPTY[kind])
        if kind == "b":
            bits |= bool(value) << bit_count
            bit_count += 1
            continue
        if bit_count:
            parts.append(bytes([bits]))
            bits, bit_count = 0, 0
        parts.append(_encode_field(kind, value))
    if bit_count:
        parts.append(bytes([bits]))
    return b"".join(parts)


def _encode_field(kind: str, value: Any) -> bytes:
    if kind == "s":
        return encode_shortstr(value)
    if kind == "S":
        return encode_longstr(value)
    if kind == "t":
        return value if isinstance(value, bytes) else encode_table(value)
    return struct.pack(_FIXED[kind], value)


def encode_shortstr(value: str | bytes) -> bytes:
    """Return a short string (length octet first)."""
    octets = _octets(value)
    return bytes([len(octets)]) + octets


def encode_longstr(value: str | bytes) -> bytes:
    """Return a long string (4-octet length first)."""
    octets = _octets(value)
    return struct.pack(">I", len(octets)) + octets


def _octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def encode_table(table: Mapping[str, Any]) -> bytes:
    """Return a field table; plain Python values get RabbitMQ's usual types, ``Typed`` ones their own."""
    body = b"".join(encode_shortstr(key) + encode_value(value) for key, value in table.items())
    return struct.pack(">I", len(body)) + body


def encode_value(value: Any) -> bytes:
    """Return a table value: its type octet and its octets."""
    typed = value if isinstance(value, Typed) else _typed(value)
    code, content = typed.code, typed.value
    head = code.encode()
    if code in _TABLE_FIXED:
        return head + struct.pack(_TABLE_FIXED[code], content)
    if code == "t":
        return head + bytes([content])
    if code == "V":
        return head
    if code in "Sx":
        return head + encode_longstr(content)
    if code == "D":
        return head + struct.pack(">BI", *content)
    if code == "F":
        return head + encode_table(content)
    items = b"".join(encode_value(item) for item in content)
    return head + struct.pack(">I", len(items)) + items


def _typed(value: Any) -> Typed:
    if value is None:
        return Typed("V", None)
    if isinstance(value, bool):
        return Typed("t", value)
    if isinstance(value, int):
        return Typed("I" if -(2**31) <= value < 2**31 else "l", value)
    if isinstance(value, float):
        return Typed("d", value)
    if isinstance(value, dict):
        return Typed("F", value)
    if isinstance(value, list):
        return Typed("A", value)
    return Typed("S", value)


class Reader:
    """Takes fields off the front of a payload. Raises struct.error or IndexError where the octets end."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 0

    def fixed(self, pattern: str) -> Any:
        """Return one number."""
        (value,) = struct.unpack_from(pattern, self.octets, self.at)
        self.at += struct.calcsize(pattern)
        return value

    def take(self, count: int) -> bytes:
        """Return the next ``count`` octets."""
        if self.at + count > len(self.octets):
            raise IndexError(f"{count} octets wanted, {len(self.octets) - self.at} left")
        self.at += count
        return self.octets[self.at - count : self.at]

    def shortstr(self) -> str:
        """Return a short string."""
        return self.take(self.fixed(">B")).decode("utf-8", "surrogateescape")

    def longstr(self) -> str:
        """Return a long string."""
        return self.take(self.fixed(">I")).decode("utf-8", "surrogateescape")

    def field(self, kind: str) -> Any:
        """Return a method field or property of one of the types above (no bits)."""
        if kind == "s":
            return self.shortstr()
        if kind == "S":
            return self.longstr()
        if kind == "t":
            return plain(self.table())
        return self.fixed(_FIXED[kind])

    def table(self) -> Typed:
        """Return a table whose values are all ``Typed``."""
        stop = self.fixed(">I") + self.at
        table: dict[str, Typed] = {}
        while self.at < stop:
            key = self.shortstr()
            table[key] = self.value()
        return Typed("F", table)

    def value(self) -> Typed:
        """Return one table value with its type."""
        code = self.take(1).decode("latin-1")
        if code in _TABLE_FIXED:
            return Typed(code, self.fixed(_TABLE_FIXED[code]))
        if code == "t":
            return Typed(code, self.fixed(">B") != 0)
        if code == "V":
            return Typed(code, None)
        if code in "Sx":
            return Typed(code, self.longstr())
        if code == "D":
            return Typed(code, (self.fixed(">B"), self.fixed(">I")))
        if code == "F":
            return self.table()
        if code != "A":
            raise ValueError(f"table value of unknown type {code!r}")
        stop = self.fixed(">I") + self.at
        items: list[Typed] = []
        while self.at < stop:
            items.append(self.value())
        return Typed(code, items)


def plain(typed: Typed) -> Any:
    """Return the Python value without its type, all the way down."""
    if typed.code == "F":
        return {key: plain(value) for key, value in typed.value.items()}
    if typed.code == "A":
        return [plain(value) for value in typed.value]
    return typed.value


def decode_method(payload: bytes) -> tuple[str, dict[str, Any]]:
    """Return the method's name and fields."""
    reader = Reader(payload)
    name = NAMES[reader.fixed(">H"), reader.fixed(">H")]
    fields: dict[str, Any] = {}
    bits, bit_count = 0, 0
    for field, kind in SHAPES[name].fields:
        if kind != "b":
            fields[field] = reader.field(kind)
            bit_count = 0
            continue
        if not bit_count:
            bits = reader.fixed(">B")
        fields[field] = bool(bits >> bit_count & 1)
        bit_count += 1
    return name, fields


def encode_header(body_octets: int, properties: Mapping[str, Any], class_id: int = 60, weight: int = 0) -> bytes:
    """Return a content header frame's payload."""
    flags, parts = 0, []
    for at, (name, kind) in enumerate(_PROPERTIES):
        if name in properties:
            flags |= 1 << (15 - at)
            parts.append(_encode_field(kind, properties[name]))
    unknown = set(properties) - {name for name, _ in _PROPERTIES}
    if unknown:
        raise TypeError(f"no property {sorted(unknown)}")
    return struct.pack(">HHQH", class_id, weight, body_octets, flags) + b"".join(parts)


def decode_header(payload: bytes) -> tuple[int, dict[str, Any], Typed]:
    """Return the body's size, the properties that are present, and the headers with their types."""
    reader = Reader(payload)
    reader.take(4)
    body_octets, flags = reader.fixed(">Q"), reader.fixed(">H")
    properties: dict[str, Any] = {}
    headers = Typed("F", {})
    for at, (name, kind) in enumerate(_PROPERTIES):
        if not flags >> (15 - at) & 1:
            continue
        if name == "headers":
            headers = reader.table()
            properties[name] = plain(headers)
        else:
            properties[name] = reader.field(kind)
    return body_octets, properties, headers
