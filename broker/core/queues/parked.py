"""Messages of which only the ids are in memory, outside a queue's own order: unacked deliveries, and what came back.

They are read back from the log by their ids, or from a page file that stays as long as somebody refers to it.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from broker.core.messages import Stretch, part_of
from broker.core.queues.paged import FETCH_OCTETS, PAGE_OCTETS, decode_page, encode_page, load
from broker.core.spans import Spans
from protocol.content import PLAIN_PERSISTENT, PLAIN_TRANSIENT, Shape

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue
    from broker.core.residency import Pages, Residency

SPANS_MAX: Final = 1024
"""Ranges of ids that are kept in one place: to cut one out costs as much as there are."""
_SHAPES: Final = {
    is_logged: Shape("", "", b"", 0, 0, PLAIN_PERSISTENT if is_logged else PLAIN_TRANSIENT)
    for is_logged in (True, False)
}
_OCTETS: Final = 300


class Page:
    """A page file with messages, in memory until it is written, or for good where it cannot be."""

    __slots__ = ("__weakref__", "_number", "_shapes", "stretches")

    def __init__(self) -> None:
        self._number: int | None = None
        self._shapes: list[Shape] = []
        self.stretches: list[Stretch] = []

    def write(self, residency: "Residency", octets: int) -> None:
        """Have its messages written, of about ``octets`` in memory."""
        assert residency.store is not None
        # The thread refers to no page, so that the last to let go is always in the loop.
        encode = partial(encode_page, self.stretches, self._shapes)
        residency.store.pages.write(encode, octets, partial(_written, residency, weakref.ref(self), octets))

    def written(self, pages: "Pages", number: int) -> None:
        """The file is there, and goes with the last who refers to this."""
        self._number = number
        self.stretches = []
        weakref.finalize(self, pages.drop, number).atexit = False

    def read_now(self, pages: "Pages") -> list[Stretch]:
        """Return its messages; none if they cannot be read back."""
        return self.stretches if self._number is None else decode_page(self._shapes, pages.read_now(self._number))

    def read(self, pages: "Pages", then: Callable[[list[Stretch]], None]) -> None:
        """Have ``then(messages)`` called in the loop, at once where they are in memory."""
        if self._number is None:
            then(self.stretches)
        else:
            pages.read(self._number, partial(decode_page, self._shapes), then)


def _written(residency: "Residency", page: "weakref.ref[Page]", octets: int, number: int | None) -> None:
    assert residency.store is not None
    kept = page()
    if number is None:
        if kept is not None:
            # It stays in memory, as long as somebody refers to it, and counts as that: others may have to leave for it.
            residency.kept_octets += octets
            weakref.finalize(kept, residency.let_go, octets).atexit = False
    elif kept is None:
        residency.store.pages.drop(number)
    else:
        kept.written(residency.store.pages, number)


class ParkedStretch(Stretch):
    """Neighbours of which only the ids are in memory: no pieces, and a shape that tells only whether they are logged.

    ``page`` is None where the log has them. ``unparked`` reads them back. ``mean_octets`` is the size of a body, or of
    all that were parked together the mean.
    """

    __slots__ = ("mean_octets", "page")

    def __init__(
        self, page: Page | None, ids: range, is_logged: bool, redelivered: bool, mean_octets: float = 0.0
    ) -> None:
        self.shape = _SHAPES[is_logged]
        self.ids = ids
        self.redelivered = redelivered
        self.deadline_ms = None
        self.page = page
        self.mean_octets = mean_octets

    @property
    def is_logged(self) -> bool:
        """Whether the log is to be told when they are settled."""
        return self.shape.facts.persistent

    def part(self, start: int, stop: int, step: int = 1) -> Stretch:
        """As ``Stretch.part``."""
        ids = part_of(self.ids, start, stop, step)
        return ParkedStretch(self.page, ids, self.is_logged, self.redelivered, self.mean_octets)

    def body_octets(self) -> int:
        """Return the size of all bodies together, by their mean."""
        return round(self.mean_octets * len(self.ids))

    def resident_octets(self) -> int:
        """Return about what it takes in memory."""
        return _OCTETS

    def returned(self) -> list[Stretch]:
        """Return it as redelivered."""
        return [ParkedStretch(self.page, self.ids, self.is_logged, True, self.mean_octets)]


class ParkedRun:
    """Messages that are parked in one place, as ranges of ids; in Unacked in the order of their tags.

    ``mean_octets`` is the mean size of their bodies, as it was when they were parked.
    """

    __slots__ = ("is_logged", "mean_octets", "page", "redelivered", "spans")

    def __init__(
        self, page: Page | None, spans: Spans, is_logged: bool, redelivered: bool, mean_octets: float = 0.0
    ) -> None:
        self.page = page
        self.spans = spans
        self.is_logged = is_logged
        self.redelivered = redelivered
        self.mean_octets = mean_octets

    def body_octets(self) -> int:
        """Return the size of all bodies together: exact as long as none has left, or all are of one size."""
        return round(self.mean_octets * self.spans.message_count)

    def is_joined_by(self, count: int, mean_octets: float) -> None:
        """Take the size of ``count`` messages that join those that are here, before they do."""
        here = self.spans.message_count
        self.mean_octets = (self.mean_octets * here + mean_octets * count) / (here + count)

    def stretches(self) -> Iterator[ParkedStretch]:
        """Yield them range by range."""
        for ids in self.spans.ranges():
            yield ParkedStretch(self.page, ids, self.is_logged, self.redelivered, self.mean_octets)

    def with_spans(self, spans: Spans) -> "ParkedRun":
        """Return some of them."""
        return ParkedRun(self.page, spans, self.is_logged, self.redelivered, self.mean_octets)


def is_in_log(queue: "ClassicQueue", stretch: Stretch) -> bool:
    """Whether the log can give the messages back as they are, once they are on disk."""
    return queue.context.residency.is_logging and type(stretch) is Stretch and queue.is_logged(stretch)


def neighbours(stretch: Stretch) -> Iterable[Stretch]:
    """Return a stretch as stretches of neighbours, as pages have them."""
    if stretch.ids.step == 1 or len(stretch.ids) == 1:
        return (stretch,)
    return [stretch.part(place, place + 1) for place in range(len(stretch.ids))]


class PageFiller:
    """Gathers messages that no log can give back, and has them written page by page; ``finish`` follows the last."""

    __slots__ = ("_octets", "_page", "_page_octets", "_residency")

    def __init__(self, residency: "Residency", page_octets: int | None = None) -> None:
        self._residency = residency
        self._page_octets = PAGE_OCTETS if page_octets is None else page_octets
        self._page = Page()
        self._octets = 0

    def add(self, stretch: Stretch) -> Page:
        """Add neighbours behind all others; return the page that they are in."""
        if self._octets >= self._page_octets:
            self.finish()
        self._page.stretches.append(stretch)
        self._octets += stretch.resident_octets()
        return self._page

    def finish(self) -> None:
        """Have what was added last written."""
        if self._octets:
            self._page.write(self._residency, self._octets)
            self._page, self._octets = Page(), 0


def unparked(queue: "ClassicQueue", stretch: Stretch) -> Iterator[Stretch]:
    """Yield the messages of ``stretch`` as they were, read back where they are parked; what is damaged is left out."""
    if not isinstance(stretch, ParkedStretch):
        yield stretch
        return
    residency = queue.context.residency
    assert residency.store is not None
    if stretch.page is not None:
        messages = residency.messages_of(stretch.page)
        for message_id in stretch.ids:
            found = messages.get(message_id)
            if found is not None:
                place = message_id - found.ids.start
                one = found.part(place, place + 1)
                if stretch.redelivered and not one.redelivered:
                    one = Stretch(one.shape, one.ids, one.pieces, True, one.deadline_ms)
                residency.arrived_octets += one.resident_octets()
                yield one
        return
    ids = stretch.ids
    while ids:
        found_runs = residency.store.reading.read_now([ids], FETCH_OCTETS)
        covered, loaded = load(residency.shapes, False, found_runs)
        ids = ids[covered:]
        age_ms = queue.context.clock.age_ms
        for shape, published_ms, run_ids, pieces in loaded:
            read = Stretch(shape, run_ids, pieces, stretch.redelivered)
            residency.arrived_octets += read.resident_octets()
            yield queue.dated(read, age_ms(run_ids[-1], published_ms))
