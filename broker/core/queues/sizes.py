"""How large the messages of a queue are together, added up when somebody asks: nothing is counted as they pass.

What is in memory is added up exactly, stretch by stretch. What has left it was counted as it left. Two things cannot be
had for nothing, and are told by a mean: bodies that the log gave back at the start and nobody has read since, and those
of parked messages (parked.py) of different sizes of which some were settled unread.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.core.messages import Stretch
from broker.core.queues.parked import ParkedRun, ParkedStretch

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue
    from broker.core.queues.paged import Shelf


@dataclass(slots=True)
class Sizes:
    """Messages, and the octets of their bodies; the persistent ones of them once more.

    ``uncounted`` are messages whose bodies nobody has seen: they are in ``count``, and in ``octets`` by ``estimate``.
    """

    count: int = 0
    octets: int = 0
    persistent_count: int = 0
    persistent_octets: int = 0
    uncounted: int = 0

    def add(self, stretches: Iterable[Stretch], *, may_persist: bool, keeps_all: bool) -> None:
        """Add messages in memory. They are persistent if that is how they were published and ``may_persist``, or if the
        queue ``keeps_all``.
        """
        from_bytes = int.from_bytes
        count = octets = persistent_count = persistent_octets = 0
        for stretch in stretches:
            shape = stretch.shape
            here = len(stretch.ids)
            if shape.body_octets >= 0:
                size = shape.body_octets * here
            elif here == 1 and not shape.is_keyed and type(stretch) is Stretch:
                # As Shape.body_octets_of: of single messages there may be hundreds of thousands.
                size = from_bytes(stretch.pieces[0][11:19])
            else:
                size = stretch.body_octets()
            count += here
            octets += size
            if keeps_all or (may_persist and shape.facts.persistent):
                persistent_count += here
                persistent_octets += size
        self.count += count
        self.octets += octets
        self.persistent_count += persistent_count
        self.persistent_octets += persistent_octets

    def add_run(self, run: ParkedRun) -> None:
        """Add messages that are parked; they are persistent if the log is told of them."""
        self.count += run.spans.message_count
        self.octets += run.body_octets()
        if run.is_logged:
            self.persistent_count += run.spans.message_count
            self.persistent_octets += run.body_octets()

    def add_shelf(self, shelf: "Shelf") -> None:
        """Add messages of a backlog that are not in memory; those that nobody has counted have no octets yet."""
        logged_count = shelf.logged_count
        self.count += shelf.message_count
        self.octets += shelf.body_octets
        self.persistent_count += logged_count
        self.persistent_octets += shelf.logged_octets
        self.uncounted += shelf.uncounted_count

    def join(self, other: "Sizes") -> None:
        """Add what another has counted."""
        self.count += other.count
        self.octets += other.octets
        self.persistent_count += other.persistent_count
        self.persistent_octets += other.persistent_octets
        self.uncounted += other.uncounted


@dataclass(slots=True)
class QueueSizes:
    """The sizes of a queue's messages by where they are."""

    ready: Sizes
    """In memory."""
    paged: Sizes
    """Ready, and not in memory."""
    unacked: Sizes

    @property
    def is_estimated(self) -> bool:
        """Whether bodies are among them that nobody has counted."""
        return self.paged.uncounted > 0


def estimate(ready: Sizes, paged: Sizes) -> None:
    """Give those of ``paged`` that nobody has counted the mean size of all that somebody has."""
    known_count = ready.count + paged.count - paged.uncounted
    if paged.uncounted and known_count:
        octets = (ready.octets + paged.octets) * paged.uncounted // known_count
        paged.octets += octets
        paged.persistent_octets += octets


def sizes_of(queue: "ClassicQueue", unacked: Sizes | None = None) -> QueueSizes:
    """Return the sizes of a queue's messages; ``unacked`` were added up by who knows the channels."""
    ready, paged = Sizes(), Sizes()
    queue.backlog.add_sizes(ready, paged, may_persist=queue.durable, keeps_all=queue.keeps_transient)
    estimate(ready, paged)
    return QueueSizes(ready, paged, unacked or Sizes())


def add_delivered(sizes: Sizes, queue: "ClassicQueue", stretch: Stretch, run: ParkedRun | None) -> None:
    """Add deliveries of a queue that are not acked; ``run`` are those of them that are parked."""
    if run is not None:
        sizes.add_run(run)
    elif isinstance(stretch, ParkedStretch):
        sizes.add((stretch,), may_persist=stretch.is_logged, keeps_all=stretch.is_logged)
    else:
        sizes.add((stretch,), may_persist=queue.durable, keeps_all=queue.keeps_transient)
