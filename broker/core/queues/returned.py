"""Messages that carry a header of their queue's own, beside what their publisher sent.

What is kept and dead-lettered is what was published; what is delivered has the header in it.
RabbitMQ: Quorum Queues, "Poison Message Handling"; Streams, "Consuming".
"""

from broker.core.messages import Stretch
from protocol.content import Shape
from protocol.headers import content_with_header, with_header, with_header_payload
from protocol.tables import encode_fields


def with_count(shape: Shape, pieces: list[bytes], name: str, value: int) -> tuple[Shape, list[bytes]]:
    """Return shape and pieces with one more header, a number, in each message, in place of one of that name."""
    if shape.lead:
        return with_header_payload(shape, pieces, with_header(shape.header_payload(b""), name, value))
    # Headers differ from message to message, so the shape says nothing about them and may stay.
    field = encode_fields({name: value})
    return shape, [content_with_header(piece, name, field, shape.content_at(piece)) for piece in pieces]


class ReturnedStretch(Stretch):
    """Messages that came back ``return_count`` times, with that number in a header; ``origin`` is without it."""

    __slots__ = ("origin", "return_count")

    def __init__(self, origin: Stretch, shape: Shape, pieces: list[bytes], return_count: int) -> None:
        super().__init__(shape, origin.ids, pieces, origin.redelivered, origin.deadline_ms)
        self.origin = origin
        self.return_count = return_count

    @classmethod
    def of(cls, origin: Stretch, return_count: int) -> "ReturnedStretch":
        """Return the messages of ``origin`` with the header x-delivery-count."""
        shape, pieces = with_count(origin.shape, origin.pieces, "x-delivery-count", return_count)
        return cls(origin, shape, pieces, return_count)

    def part(self, start: int, stop: int, step: int = 1) -> Stretch:
        """As ``Stretch.part``."""
        if start == 0 and step == 1 and stop >= len(self.pieces):
            return self
        return ReturnedStretch(
            self.origin.part(start, stop, step), self.shape, self.pieces[start:stop:step], self.return_count
        )

    def expiring(self, deadline_ms: int) -> Stretch:
        """As ``Stretch.expiring``."""
        return ReturnedStretch(self.origin.expiring(deadline_ms), self.shape, self.pieces, self.return_count)

    def as_published(self) -> Stretch:
        """Return the messages without what their queue put into them."""
        return self.origin
