"""Messages as exchanges see them, made of properties; for tests of exchange types that look at more than the key."""

from struct import Struct

from broker.core.publish.addressed import Addressed
from protocol.content import FRAME_HEAD, Shape, address_of, header_facts
from protocol.headers import with_headers
from protocol.tables import FieldTable

_HEADER = Struct(">HHQH")


def header_payload(properties: dict[int, bytes], headers: FieldTable | None = None) -> bytes:
    """Return a content header's payload with the properties by flag, as octets, and headers if any."""
    flags = sum(properties)
    octets = b"".join(properties[flag] for flag in sorted(properties, reverse=True))
    payload = _HEADER.pack(60, 0, 0, flags) + octets
    return payload if headers is None else with_headers(payload, headers)


def new_message(
    *routing_keys: str,
    exchange: str = "x",
    headers: FieldTable | None = None,
    properties: dict[int, bytes] | None = None,
    bodies: tuple[bytes, ...] = (b"",),
) -> Addressed:
    """Return messages of one content header; more routing keys than one go into CC."""
    first, *copies = routing_keys or ("",)
    if copies:
        headers = {**(headers or {}), "CC": copies}
    payload = header_payload(properties or {}, headers)
    size = len(bodies[0])
    payload = payload[:4] + size.to_bytes(8) + payload[12:]
    lead = FRAME_HEAD.pack(2, 1, len(payload)) + payload + b"\xce" + FRAME_HEAD.pack(3, 1, size)
    address = address_of(exchange, first)
    shape = Shape(exchange, first, address, 1, 131072, header_facts(payload), lead, size)
    return Addressed(shape, [body + b"\xce" for body in bodies], first)
