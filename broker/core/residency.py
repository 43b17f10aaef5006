"""How much of all queues may be in memory, and who must page out when it is more.

Looked at only when some megabytes have come since the last look, so that an append costs nothing for it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from weakref import WeakValueDictionary

from broker.core.queues.paged import Shapes
from storage.reading import Found

if TYPE_CHECKING:
    from broker.core.messages import Stretch
    from broker.core.queues.classic import ClassicQueue
    from broker.core.queues.parked import Page
    from broker.core.unacked import Unacked

LIMIT_OCTETS: Final = 128 << 20
LOOK_OCTETS: Final = 4 << 20
LOOK_OCTETS_A_QUEUE: Final = 1 << 10
"""Looked at less often where there are thousands, a quarter of the limit at most: a look passes over each."""
HEAD_OCTETS: Final = 4 << 20
"""Kept of a queue's head, and read ahead; less where many queues are paged."""
HEAD_OCTETS_LEAST: Final = 1 << 14

Result = TypeVar("Result")


class LogReading(Protocol):
    """Reads logged messages back; see storage/reading.py."""

    def read(
        self,
        spans: Sequence[range],
        limit_octets: int,
        convert: Callable[[Found], Result],
        then: Callable[[Result], None],
    ) -> None: ...

    def read_now(self, spans: Sequence[range], limit_octets: int) -> Found: ...


class Pages(Protocol):
    """Keeps what is in no log; see storage/pages.py."""

    def write(
        self, encode: Callable[[], list[bytes]], estimate_octets: int, then: Callable[[int | None], None]
    ) -> None: ...

    def read(self, number: int, convert: Callable[[bytes | None], Result], then: Callable[[Result], None]) -> None: ...

    def read_now(self, number: int) -> bytes | None: ...

    def drop(self, number: int) -> None: ...


class PagingStore(Protocol):
    """Where messages go that leave memory."""

    @property
    def reading(self) -> LogReading: ...

    @property
    def pages(self) -> Pages: ...

    @property
    def durable_message_id(self) -> int: ...


class Holder(Protocol):
    """Who keeps messages in memory that may leave it: a queue, a channel's unacked deliveries."""

    def resident_octets(self) -> int: ...

    def page_out(self, residency: "Residency", octets: int) -> int: ...


class Residency:
    """Counts what queues and channels keep in memory. Without a store nothing ever leaves it.

    Whoever brings messages in adds their octets to ``arrived_octets``, and calls ``relieve`` once it ``is_due``.
    ``is_logging`` says that the log keeps what it is given.
    """

    __slots__ = (
        "_look_octets",
        "_page",
        "_queues",
        "arrived_octets",
        "is_logging",
        "kept_octets",
        "limit_octets",
        "on_lost",
        "shapes",
        "shelf_count",
        "store",
        "unacked",
    )

    def __init__(
        self, store: PagingStore | None = None, limit_octets: int = LIMIT_OCTETS, *, is_logging: bool = True
    ) -> None:
        self.store = store
        self.is_logging = is_logging
        self.limit_octets = limit_octets
        self._look_octets = min(LOOK_OCTETS, limit_octets // 4)
        self.arrived_octets = 0
        self.shelf_count = 0
        self.kept_octets = 0
        """Of pages that could not be written, and that nobody else counts."""
        self.shapes = Shapes()
        self.on_lost: Callable[[ClassicQueue, int], None] = _pass_over
        """Is told how many messages of a queue could not be read back."""
        self.unacked: set[Unacked] = set()
        """Who holds deliveries that are not acked, or did at the last look."""
        self._page: tuple[Page, dict[int, Stretch]] | None = None
        self._queues: WeakValueDictionary[int, ClassicQueue] = WeakValueDictionary()

    def watch(self, queue: "ClassicQueue") -> None:
        """Count ``queue`` from now on, as long as it is there."""
        self._queues[id(queue)] = queue

    @property
    def resident_octets(self) -> int:
        """What can leave memory and is in it, about."""
        return self.kept_octets + sum(holder.resident_octets() for holder in self._holders())

    def _holders(self) -> Iterator[Holder]:
        """Yield who may keep something. Empty queues and idle channels keep nothing: there may be thousands."""
        yield from [each for ref in self._queues.valuerefs() if (each := ref()) is not None and each.message_count]
        for unacked in tuple(self.unacked):
            if unacked.count:
                yield unacked
            else:
                self.unacked.remove(unacked)
                unacked.is_known = False

    @property
    def head_octets(self) -> int:
        """How much of its head a paged queue keeps in memory."""
        share = self.limit_octets // (4 * max(1, self.shelf_count))
        return max(HEAD_OCTETS_LEAST, min(HEAD_OCTETS, share))

    @property
    def is_due(self) -> bool:
        """Whether so much has come that it is time to look."""
        return self.arrived_octets > self._look_octets

    def relieve(self) -> None:
        """Have who keeps the most page out until all are within the limit."""
        self.arrived_octets = 0
        self._page = None
        if self.store is None:
            return
        look_octets = max(LOOK_OCTETS, LOOK_OCTETS_A_QUEUE * len(self._queues))
        self._look_octets = min(look_octets, self.limit_octets // 4)
        sizes = [(size, holder) for holder in self._holders() if (size := holder.resident_octets()) > 0]
        surplus = self.kept_octets + sum(size for size, _ in sizes) + self._look_octets - self.limit_octets
        if surplus <= 0:
            return
        sizes.sort(key=_size, reverse=True)
        for _, holder in sizes:
            surplus -= holder.page_out(self, surplus)
            if surplus <= 0:
                return

    def let_go(self, octets: int) -> None:
        """A page that could not be written is in memory no more."""
        self.kept_octets -= octets

    def messages_of(self, page: "Page") -> "dict[int, Stretch]":
        """Return the messages of a page file by id, read at once; kept until the next look, for there are more."""
        if self._page is None or self._page[0] is not page:
            assert self.store is not None
            stretches = page.read_now(self.store.pages)
            self._page = page, {message_id: stretch for stretch in stretches for message_id in stretch.ids}
        return self._page[1]


def _pass_over(queue: "ClassicQueue", count: int) -> None:
    """Nobody wants to know."""


def _size(sized: tuple[int, Holder]) -> int:
    return sized[0]
