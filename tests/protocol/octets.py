"""Frames built by hand, so that the tests' octets do not come from the code under test."""

from struct import pack

PLAIN = b"\x00\x00"
PERSISTENT = b"\x10\x00\x02"


def short(text: bytes) -> bytes:
    return bytes((len(text),)) + text


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def publish_frame(exchange: bytes = b"", key: bytes = b"q", channel: int = 1, bits: int = 0) -> bytes:
    return frame(1, channel, b"\x00\x3c\x00\x28\x00\x00" + short(exchange) + short(key) + bytes((bits,)))


def content_frames(body: bytes, properties: bytes = PLAIN, channel: int = 1, largest: int = 131064) -> bytes:
    header = frame(2, channel, pack(">HHQ", 60, 0, len(body)) + properties)
    bodies = [frame(3, channel, body[at : at + largest]) for at in range(0, len(body), largest)]
    return header + b"".join(bodies)


def message(
    body: bytes,
    key: bytes = b"q",
    properties: bytes = PLAIN,
    channel: int = 1,
    largest: int = 131064,
    exchange: bytes = b"",
) -> bytes:
    return publish_frame(exchange, key, channel) + content_frames(body, properties, channel, largest)


def ack_frame(tag: int, multiple: bool = False, channel: int = 1) -> bytes:
    return frame(1, channel, b"\x00\x3c\x00\x50" + pack(">QB", tag, multiple))
