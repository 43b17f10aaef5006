"""Puts a message's offset into its headers, at the speed of a join.

Every message of a run gets another number in the same place, so the header is made once for the run.
RabbitMQ: Streams, "Consuming" (x-stream-offset).
"""

from struct import pack
from typing import Final

from broker.core.messages import Stretch
from protocol.content import Shape, short_string
from protocol.headers import content_with_header, with_header, with_header_payload

_NAME: Final = "x-stream-offset"
_FIELD: Final = short_string(_NAME.encode()) + b"l"
_SHAPES_MAX: Final = 256


class OffsetHeaders:
    """Makes stretches with offsets out of those that were published; remembers what their shapes turn into."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Shape, tuple[Shape, bytes, bytes]] = {}

    def with_offsets(self, stretch: Stretch, offsets: range) -> Stretch:
        """Return the messages with the header x-stream-offset, one of ``offsets`` each."""
        shape = stretch.shape
        if not shape.lead:
            # Headers differ from message to message, so the shape says nothing about them and may stay.
            pieces = [
                content_with_header(piece, _NAME, _FIELD + offset.to_bytes(8, signed=True), shape.content_at(piece))
                for piece, offset in zip(stretch.pieces, offsets, strict=True)
            ]
            return Stretch(shape, stretch.ids, pieces)
        known = self._known.get(shape)
        if known is None:
            if len(self._known) >= _SHAPES_MAX:
                self._known.clear()
            known = self._known[shape] = _template(shape)
        counted, before, after = known
        octets = pack(f">{len(offsets)}q", *offsets)
        pieces = [
            before + octets[at : at + 8] + after + piece
            for at, piece in zip(range(0, len(octets), 8), stretch.pieces, strict=True)
        ]
        return Stretch(counted, stretch.ids, pieces)


def _template(shape: Shape) -> tuple[Shape, bytes, bytes]:
    """Return the shape of messages whose pieces hold their headers, and such a piece's octets around the offset."""
    payload = shape.header_payload(b"")
    leads = []
    for offset in (0, -1):
        changed, _ = with_header_payload(shape, [], with_header(payload, _NAME, offset))
        leads.append(changed.lead)
    # The two differ in the offset's eight octets alone, and in all of them.
    at = next(place for place, octets in enumerate(zip(*leads, strict=True)) if octets[0] != octets[1])
    counted = Shape(
        shape.exchange,
        shape.routing_key,
        shape.address,
        shape.channel,
        shape.frame_max,
        shape.facts,
        b"",
        shape.body_octets,
    )
    return counted, leads[0][:at], leads[0][at + 8 :]
