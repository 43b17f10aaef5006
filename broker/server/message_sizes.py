"""How large the messages are that publishers send, as a histogram. For a broker that is asked for it alone.

Each message has to be looked at where sizes differ, which costs some per cent of what it costs to take it in. So there
is a setting, and channels that do so: the others know nothing of it. RabbitMQ 4.1: ``rabbitmq_message_size_bytes``.
"""

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from broker.server.channel import Channel
from protocol.content import Shape
from protocol.runs import GroupedRun, PublishRun

if TYPE_CHECKING:
    from broker.server.connection import Connection

BOUNDS: Final = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000)
"""The largest bodies of each class, in octets, as RabbitMQ has them; what is larger is a class of its own."""


class MessageSizes:
    """Messages by class of size, and the octets of all of them."""

    __slots__ = ("counts", "octets")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.octets = 0

    def add(self, shape: Shape, pieces: list[bytes]) -> None:
        """Count messages."""
        if shape.body_octets >= 0:
            self.counts[bisect_left(BOUNDS, shape.body_octets)] += len(pieces)
            self.octets += shape.body_octets * len(pieces)
            return
        for size in map(shape.body_octets_of, pieces):
            self.counts[bisect_left(BOUNDS, size)] += 1
            self.octets += size

    def cumulated(self) -> list[tuple[str, float]]:
        """Return how many messages are of each size or smaller, as Prometheus has it."""
        classes: list[tuple[str, float]] = []
        count = 0
        for bound, here in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            count += here
            classes.append((bound, float(count)))
        return classes


class SizingChannel(Channel):
    """A channel that counts how large its messages are."""

    __slots__ = ("_sizes",)

    def __init__(self, connection: "Connection", number: int, sizes: MessageSizes) -> None:
        super().__init__(connection, number)
        self._sizes = sizes

    def publish(self, run: PublishRun) -> None:
        """As ``Channel.publish``."""
        self._sizes.add(run.shape, run.pieces)
        super().publish(run)

    def publish_grouped(self, grouped: GroupedRun) -> None:
        """As ``Channel.publish_grouped``."""
        for shape, pieces in zip(grouped.shapes(), grouped.groups, strict=True):
            self._sizes.add(shape, pieces)
        super().publish_grouped(grouped)
