"""Messages as queues hold them: runs of one shape, and the log that keeps the persistent ones.

Shapes and pieces come from protocol/; here they get their ids. Nothing here knows a queue's inside.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Protocol

from protocol.content import ContentFacts, Shape, address_of, header_facts

_ENVELOPE = Struct(">HIqHI")
_PIECE_OCTETS = 50
"""What a piece takes beside its octets: the interpreter's head of it, and its place in a list."""
_STRETCH_OCTETS = 300
_FRAMES_OCTETS = 200
"""About what a delivery has beside its body."""


class MessageLog(Protocol):
    """What the core asks of the log; see storage/store.py for what each call promises."""

    def publish(self, queue_ids: Sequence[int], ids: range, envelope: bytes, pieces: list[bytes]) -> None: ...

    def settle(self, queue_id: int, ids: range) -> None: ...

    def delivered(self, queue_id: int, upto: int) -> None: ...

    def returned(self, queue_id: int, ids: range, return_count: int) -> None: ...

    def delete_queue(self, queue_id: int) -> None: ...

    def promise(self, callback: Callable[[int], None]) -> int: ...

    @property
    def ticket(self) -> int: ...


class Stretch:
    """A run of messages, or a part of one: their ids, their pieces, their shape.

    Never changed once made, so that queues share it; ``ids`` grows by its step, 1 in queues, more in a consumer's
    share of a round. ``deadline_ms`` is the monotonic time at which they expire, None for never.
    """

    __slots__ = ("_resident_octets", "deadline_ms", "ids", "pieces", "redelivered", "shape")

    def __init__(
        self,
        shape: Shape,
        ids: range,
        pieces: list[bytes],
        redelivered: bool = False,
        deadline_ms: int | None = None,
    ) -> None:
        self.shape = shape
        self.ids = ids
        self.pieces = pieces
        self.redelivered = redelivered
        self.deadline_ms = deadline_ms
        self._resident_octets = 0

    def part(self, start: int, stop: int, step: int = 1) -> "Stretch":
        """Return the messages at the places ``start`` to ``stop`` (counted from 0), every ``step``-th."""
        if start == 0 and step == 1 and stop >= len(self.pieces):
            return self
        ids, pieces = part_of(self.ids, start, stop, step), self.pieces[start:stop:step]
        return Stretch(self.shape, ids, pieces, self.redelivered, self.deadline_ms)

    def expiring(self, deadline_ms: int) -> "Stretch":
        """Return the same messages, to expire at ``deadline_ms``."""
        return Stretch(self.shape, self.ids, self.pieces, self.redelivered, deadline_ms)

    def as_published(self) -> "Stretch":
        """Return the messages without what their queue put into them."""
        return self

    def body_octets(self) -> int:
        """Return the size of all bodies together, in octets."""
        return self.shape.body_octets_of_all(self.pieces)

    def delivered_octets(self) -> int:
        """Return about how many octets its deliveries have, frames and all."""
        size, pieces = self.shape.body_octets, self.pieces
        return (size + _FRAMES_OCTETS) * len(pieces) if size >= 0 else sum(map(len, pieces))

    def resident_octets(self) -> int:
        """Return about what it takes in memory; always the same of one stretch."""
        pieces = self.pieces
        if self.shape.body_octets >= 0 or len(pieces) == 1:
            return len(pieces) * (len(pieces[0]) + _PIECE_OCTETS) + _STRETCH_OCTETS
        if not self._resident_octets:
            self._resident_octets = sum(map(len, pieces)) + len(pieces) * _PIECE_OCTETS + _STRETCH_OCTETS
        return self._resident_octets

    def returned(self) -> list["Stretch"]:
        """Return it as redelivered stretches that each hold neighbours in the queue's order."""
        if self.ids.step == 1 or len(self.pieces) == 1:
            return [Stretch(self.shape, self.ids, self.pieces, True, self.deadline_ms)]
        return [
            Stretch(self.shape, range(message_id, message_id + 1), [piece], True, self.deadline_ms)
            for message_id, piece in zip(self.ids, self.pieces, strict=True)
        ]


def part_of(ids: range, start: int, stop: int, step: int = 1) -> range:
    """Return ``ids[start:stop:step]``; of a single id with step 1, so that its end is where its neighbour begins."""
    part = ids[start:stop:step]
    return part if part.step == 1 or len(part) != 1 else range(part.start, part.start + 1)


class MessageIds:
    """Gives out message ids: they grow and never return, so that order in a queue is order by id."""

    __slots__ = ("next_id",)

    def __init__(self, next_id: int = 1) -> None:
        self.next_id = next_id

    def take(self, count: int) -> range:
        """Return the next ``count`` ids."""
        first = self.next_id
        self.next_id = first + count
        return range(first, first + count)


def encode_envelope(shape: Shape) -> bytes:
    """Return what the log keeps of ``shape``; before it goes the time of publishing. See docs/storage-format.md."""
    fixed = _ENVELOPE.pack(shape.channel, shape.frame_max, shape.body_octets, len(shape.address), len(shape.lead))
    return fixed + shape.address + shape.lead


def decode_envelope(envelope: bytes, first_piece: bytes) -> tuple[Shape, int]:
    """Return shape and time of publishing (wall, milliseconds); ``first_piece`` gives the facts where headers differ.

    Raises FrameError where the content header cannot be read.
    """
    channel, frame_max, body_octets, address_octets, lead_octets = _ENVELOPE.unpack_from(envelope, 8)
    address_at = 8 + _ENVELOPE.size
    address = envelope[address_at : address_at + address_octets]
    lead = envelope[len(envelope) - lead_octets :] if lead_octets else b""
    exchange = address[1 : 1 + address[0]].decode()
    routing_key = address[2 + address[0] :].decode()
    is_keyed = address_octets == 1 + address[0]
    shape = Shape(exchange, routing_key, address, channel, frame_max, ContentFacts(True), lead, body_octets, is_keyed)
    shape.facts = header_facts(shape.header_payload(first_piece))
    return shape, int.from_bytes(envelope[:8])


def readdressed(shape: Shape, exchange: str, routing_key: str) -> Shape:
    """Return ``shape`` as published to another exchange or with another key."""
    return Shape(
        exchange,
        routing_key,
        address_of(exchange, routing_key),
        shape.channel,
        shape.frame_max,
        shape.facts,
        shape.lead,
        shape.body_octets,
    )
