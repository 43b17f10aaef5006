"""The fourteen properties of a content header by name, for who shows messages to people. Ref: basic content header."""

from collections.abc import Mapping
from typing import Any, Final

from protocol.errors import SyntaxFault
from protocol.headers import properties_of
from protocol.tables import decode_table

FLAGS: Final[Mapping[str, int]] = {
    "content_type": 1 << 15,
    "content_encoding": 1 << 14,
    "headers": 1 << 13,
    "delivery_mode": 1 << 12,
    "priority": 1 << 11,
    "correlation_id": 1 << 10,
    "reply_to": 1 << 9,
    "expiration": 1 << 8,
    "message_id": 1 << 7,
    "timestamp": 1 << 6,
    "type": 1 << 5,
    "user_id": 1 << 4,
    "app_id": 1 << 3,
    "cluster_id": 1 << 2,
}
"""Names in the wire's order, and the flag that says that a message has the property."""
OCTETS_OF: Final[Mapping[str, int]] = {"delivery_mode": 1, "priority": 1, "timestamp": 8}
"""Numbers and their octets; all others but ``headers`` are short strings."""


def properties_by_name(payload: bytes) -> dict[str, Any]:
    """Return the properties of a content header frame's payload, in the wire's order: texts, numbers, and a FieldTable.

    Octets that are no UTF-8 are replaced; a headers table that nobody can read is empty. Raises FrameError (501) where
    a property runs over the end.
    """
    octets_by_flag = properties_of(payload)
    found: dict[str, Any] = {}
    for name, flag in FLAGS.items():
        octets = octets_by_flag.get(flag)
        if octets is None:
            continue
        if name == "headers":
            try:
                found[name] = decode_table(octets)
            except SyntaxFault:
                found[name] = {}
        elif name in OCTETS_OF:
            found[name] = int.from_bytes(octets)
        else:
            found[name] = octets[1:].decode("utf-8", "replace")
    return found
