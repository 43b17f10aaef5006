"""A message on its way through exchanges: what they may look at when they choose where it goes."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from protocol.content import Shape
from protocol.tables import FieldTable

_NO_PROPERTIES: Final = bytes(14)


class LooksAt(IntEnum):
    """How much of a message an exchange looks at; each step costs the publisher's channel more.

    KEY: the same routing key finds the same destinations until a binding changes, so a route may be kept.
    HEADER: messages of one content header and one routing key go the same way. MESSAGE: each goes its own way.
    """

    KEY = 0
    HEADER = 1
    MESSAGE = 2


class Routable:
    """Messages of one content header, with all their routing keys: the publisher's, then those of CC and BCC.

    ``shape`` and ``pieces`` are there, and ``headers`` is not None, where an exchange that looks at more than the
    key may be reached.
    """

    __slots__ = ("headers", "pieces", "routing_keys", "shape")

    def __init__(
        self,
        routing_keys: Sequence[str],
        headers: FieldTable | None = None,
        shape: Shape | None = None,
        pieces: Sequence[bytes] = (),
    ) -> None:
        self.routing_keys = routing_keys
        self.headers = headers
        self.shape = shape
        self.pieces = pieces

    def header_payload(self) -> bytes:
        """Return the payload of the content header frame; one without properties where it is not known."""
        return self.shape.header_payload(self.pieces[0]) if self.shape is not None else _NO_PROPERTIES
