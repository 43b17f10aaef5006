"""The part of a backlog that is not in memory: between its head and its tail, as sections, in order.

What is in the log leaves memory without a word: of it only the ranges of ids are kept. Everything else goes to page
files. It comes back ahead of the consumers; the queue is touched when it is there.
"""

import marshal
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Final, NamedTuple

from broker.core.messages import Stretch, decode_envelope
from broker.core.queues.returned import ReturnedStretch
from broker.core.spans import Spans
from protocol.content import Shape
from protocol.errors import FrameError
from storage.reading import Found
from storage.records import cut_pieces

if TYPE_CHECKING:
    from broker.core.queues.backlog import Backlog
    from broker.core.queues.classic import ClassicQueue

FETCH_OCTETS: Final = 2 << 20
"""Read back in one go."""
FETCH_SPANS: Final = 1024
COUNT_SPANS: Final = 256
"""Looked up in one go to be counted, which nobody waits for."""
PAGE_OCTETS: Final = 2 << 20
"""Octets of one page file, about: encoding it holds the interpreter's lock."""
SHAPES_MAX: Final = 1024


class LogSection(Spans):
    """Messages that are in the log: all delivered before or none."""

    __slots__ = ("redelivered",)

    def __init__(self, redelivered: bool) -> None:
        super().__init__()
        self.redelivered = redelivered


class PageSection:
    """Messages that are in a page file, or in ``stretches`` until that is written (or for good if it cannot be)."""

    __slots__ = ("is_gone", "is_kept", "logged", "message_count", "number", "octets", "shapes", "stretches")

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.shapes: list[Shape] = []
        self.logged: list[range] = []
        self.number: int | None = None
        self.message_count = 0
        self.octets = 0
        self.is_kept = False
        """Whether it could not be written, so that its octets are resident still."""
        self.is_gone = False

    def append(self, stretch: Stretch, octets: int, is_logged: bool) -> None:
        """Add messages behind all others; those in the log are to be settled there, too."""
        self.stretches.append(stretch)
        self.message_count += len(stretch.pieces)
        self.octets += octets
        if is_logged:
            self.logged.append(stretch.ids)


class Loaded(NamedTuple):
    """Messages read back from the log: of one shape, published at one time (wall, milliseconds) where that matters."""

    shape: Shape
    published_ms: int
    ids: range
    pieces: list[bytes]


class Shapes:
    """Shapes of envelopes seen lately, so that what is read back shares them."""

    __slots__ = ("_fixed",)

    def __init__(self) -> None:
        self._fixed: dict[bytes, Shape] = {}

    def decode(self, envelope: bytes, piece: bytes) -> tuple[Shape, int]:
        """As ``decode_envelope``."""
        shape = self._fixed.get(envelope[8:])
        if shape is not None:
            return shape, int.from_bytes(envelope[:8])
        shape, published_ms = decode_envelope(envelope, piece)
        shape.envelope = envelope[8:]
        if shape.lead:
            if len(self._fixed) >= SHAPES_MAX:
                self._fixed.clear()
            self._fixed[shape.envelope] = shape
        return shape, published_ms


def load(shapes: Shapes, merges_times: bool, found: Found) -> tuple[int, list[Loaded]]:
    """Return how many messages ``found`` covers, and those that are there; neighbours of one shape are joined."""
    loaded: list[Loaded] = []
    first_id = stop_id = last_ms = 0
    last_shape: Shape | None = None
    joined: list[bytes] = []
    for ids, envelope, pieces in found.runs:
        try:
            shape, published_ms = shapes.decode(envelope, pieces[0])
        except FrameError:
            continue  # The octets are those that were written, so this cannot be; it counts as lost.
        if (
            shape is last_shape
            and stop_id == ids.start
            and (last_ms == published_ms or (merges_times and shape.facts.expiration is None))
        ):
            joined += pieces
        else:
            if last_shape is not None:
                loaded.append(Loaded(last_shape, last_ms, range(first_id, stop_id), joined))
            last_shape, last_ms, first_id, joined = shape, published_ms, ids.start, pieces
        stop_id = ids.stop
    if last_shape is not None:
        loaded.append(Loaded(last_shape, last_ms, range(first_id, stop_id), joined))
    return found.covered, loaded


def load_counted(shapes: Shapes, merges_times: bool, found: Found) -> tuple[int, list[Loaded], list[int]]:
    """As ``load``; also return the size of the bodies of each: in the thread, the pieces are still in its cache."""
    covered, loaded = load(shapes, merges_times, found)
    return covered, loaded, [one.shape.body_octets_of_all(one.pieces) for one in loaded]


class PagedRun(NamedTuple):
    """A run in a page: the place of its shape among the page's; its pieces, or the size that all of them have."""

    place: int
    first_id: int
    message_count: int
    redelivered: bool
    deadline_ms: int | None
    return_count: int
    pieces: list[bytes] | int


def encode_page(stretches: list[Stretch], shapes: list[Shape]) -> list[bytes]:
    """Return a page's octets in parts; ``shapes``, which stay in memory, is filled. Neighbours of one shape are joined.

    First what says where the pieces are, and how long that is, then pieces of one size each, joined. Only this process
    reads them back, so the form is of no matter.
    """
    places: dict[Shape, int] = {}
    groups: list[tuple[Shape, Stretch, int, list[bytes]]] = []
    last, stop = None, -1
    for stretch in stretches:
        return_count = stretch.return_count if isinstance(stretch, ReturnedStretch) else 0
        plain = stretch.as_published()
        alike = (plain.shape, stretch.redelivered, stretch.deadline_ms, return_count)
        if alike == last and stretch.ids.start == stop:
            groups[-1][3].extend(plain.pieces)
        else:
            groups.append((plain.shape, stretch, return_count, list(plain.pieces)))
        last, stop = alike, stretch.ids.stop
    runs: list[tuple[object, ...]] = []
    parts: list[bytes] = []
    for shape, first, return_count, pieces in groups:
        place = places.setdefault(shape, len(places))
        if place == len(shapes):
            shapes.append(shape)
        kept: list[bytes] | int = pieces
        if shape.body_octets >= 0:
            kept = len(pieces[0])
            parts.append(b"".join(pieces))
        run = PagedRun(place, first.ids.start, len(pieces), first.redelivered, first.deadline_ms, return_count, kept)
        runs.append(tuple(run))
    head = marshal.dumps(runs, 2)
    return [len(head).to_bytes(4), head, *parts]


def decode_page(shapes: list[Shape], octets: bytes | None) -> list[Stretch]:
    """Return a page's messages; none if it could not be read back."""
    if octets is None:
        return []
    stretches: list[Stretch] = []
    at = 4 + int.from_bytes(octets[:4])
    for run in starmap(PagedRun, marshal.loads(octets[4:at])):
        count, pieces = run.message_count, run.pieces
        if isinstance(pieces, int):
            size, pieces = pieces, cut_pieces(octets, at, (pieces,), count)
            at += size * count
        ids = range(run.first_id, run.first_id + count)
        stretch = Stretch(shapes[run.place], ids, pieces, run.redelivered, run.deadline_ms)
        stretches.append(ReturnedStretch.of(stretch, run.return_count) if run.return_count else stretch)
    return stretches


class Shelf:
    """What of one backlog is not in memory: ``message_count`` messages in ``sections``.

    ``head_octets`` are those of the backlog's head; when they get few, the next messages are fetched.
    """

    __slots__ = (
        "_awaited",
        "_backlog",
        "_counting",
        "_open",
        "_queue",
        "_residency",
        "_store",
        "_uncounted",
        "body_octets",
        "head_octets",
        "logged_octets",
        "message_count",
        "sections",
        "uncounted_count",
    )

    def __init__(self, queue: "ClassicQueue", backlog: "Backlog", head_octets: int) -> None:
        self._residency = queue.context.residency
        assert self._residency.store is not None
        self._store = self._residency.store
        self._queue = queue
        self._backlog = backlog
        self._awaited: object = None  # the fetch that is under way
        self._open: PageSection | None = None
        self.sections: deque[LogSection | PageSection] = deque()
        self.head_octets = head_octets
        self.message_count = 0
        self.body_octets = 0
        """Of all bodies, but for those that the log gave back and nobody has counted."""
        self.logged_octets = 0
        """Of these, those of bodies that are in the log."""
        self.uncounted_count = 0
        """How many messages the log gave back that nobody has counted."""
        self._uncounted = range(0)  # within these ids is what nobody has counted
        self._counting: object = None  # the count that is under way
        self._residency.shelf_count += 1

    # In

    def put(self, stretch: Stretch, octets: int, *, is_logged: bool, is_in_log: bool) -> None:
        """Let a stretch leave memory, behind all that did; ``finish_put`` follows the last of several.

        ``is_logged`` says that the log is told when it is settled, ``is_in_log`` that it can be read there.
        """
        self.message_count += len(stretch.pieces)
        body_octets = stretch.body_octets()
        self.body_octets += body_octets
        if is_logged:
            self.logged_octets += body_octets
        page = self._open
        if page is not None and page.octets >= PAGE_OCTETS:
            self.finish_put()
            page = None
        if page is None:
            if is_in_log and type(stretch) is Stretch:
                self.put_logged(stretch.ids, stretch.redelivered)
                return
            # What the log cannot give back; what is in the log follows it, rather than stand between small pages.
            page = self._open = PageSection()
            self.sections.append(page)
        page.append(stretch, octets, is_logged)

    def put_logged(self, ids: range, redelivered: bool) -> None:
        """Add messages that are in the log, counted by the caller."""
        self._last_logged(redelivered).append(ids)

    def restore_logged(self, firsts: Sequence[int], counts: Sequence[int], redelivered: bool) -> None:
        """Add messages that are in the log, and that nobody has looked at."""
        start = self._uncounted.start if self._uncounted else firsts[0]
        self._uncounted = range(start, firsts[-1] + counts[-1])
        count = sum(counts)
        self.message_count += count
        self.uncounted_count += count
        self._last_logged(redelivered).extend(firsts, counts)

    def _last_logged(self, redelivered: bool) -> LogSection:
        last = self.sections[-1] if self.sections else None
        if not isinstance(last, LogSection) or last.redelivered != redelivered:
            last = LogSection(redelivered)
            self.sections.append(last)
        return last

    def finish_put(self) -> None:
        """Have what was put last written."""
        page, self._open = self._open, None
        if page is not None:
            encode = partial(encode_page, page.stretches, page.shapes)
            self._store.pages.write(encode, page.octets, partial(self._written, page))

    def _written(self, page: PageSection, number: int | None) -> None:
        if page.is_gone:
            if number is not None:
                self._store.pages.drop(number)
        elif number is None:
            page.is_kept = True
            self._backlog.resident_octets += page.octets
        else:
            page.number = number
            page.stretches = []

    # Out

    def fetch(self) -> None:
        """Have the next messages read back, unless they are under way or the head is long enough."""
        if self._awaited is not None or not self.sections or self.head_octets >= self._residency.head_octets:
            return
        section = self.sections[0]
        self._awaited = awaited = object()
        if isinstance(section, LogSection):
            self._store.reading.read(
                section.ranges(FETCH_SPANS),
                min(FETCH_OCTETS, self._residency.head_octets),
                partial(load_counted, self._residency.shapes, self._merges_times()),
                partial(self._log_read, awaited, section),
            )
        elif section.number is None:
            self._take_page(section, section.stretches)
        else:
            decode = partial(decode_page, section.shapes)
            self._store.pages.read(section.number, decode, partial(self._page_read, awaited, section))

    def fetch_now(self) -> None:
        """Read the next messages back at once: somebody needs the head and cannot wait. At least one is there then,
        unless all are lost.
        """
        while self.sections and not self._backlog.is_at_hand:
            section = self.sections[0]
            self._awaited = None
            if isinstance(section, LogSection):
                found = self._store.reading.read_now(
                    section.ranges(FETCH_SPANS), min(FETCH_OCTETS, self._residency.head_octets)
                )
                self._take_loaded(section, *load_counted(self._residency.shapes, self._merges_times(), found))
            elif section.number is None:
                self._take_page(section, section.stretches)
            else:
                octets = self._store.pages.read_now(section.number)
                self._take_page(section, decode_page(section.shapes, octets))

    def _merges_times(self) -> bool:
        """Whether it does not matter when a message was published."""
        enforcement = self._queue.enforcement
        return enforcement is None or enforcement.rules.message_ttl_ms is None

    def _log_read(self, awaited: object, section: LogSection, read: tuple[int, list[Loaded], list[int]]) -> None:
        if awaited is self._awaited:
            self._take_loaded(section, *read)

    def _page_read(self, awaited: object, section: PageSection, stretches: list[Stretch]) -> None:
        if awaited is self._awaited:
            self._take_page(section, stretches)

    def _take_loaded(self, section: LogSection, covered: int, loaded: list[Loaded], body_octets: list[int]) -> None:
        section.drop(covered)
        if not section.message_count:
            self.sections.popleft()
        queue = self._queue
        age_ms = queue.context.clock.age_ms
        stretches = []
        for shape, published_ms, ids, pieces in loaded:
            stretch = Stretch(shape, ids, pieces, section.redelivered)
            stretches.append(queue.dated(stretch, age_ms(ids[-1], published_ms)))
        self._arrive(covered, stretches, body_octets)

    def _take_page(self, section: PageSection, stretches: list[Stretch]) -> None:
        self.sections.popleft()
        self._forget_page(section)
        self._arrive(section.message_count, stretches, [stretch.body_octets() for stretch in stretches])

    def _forget_page(self, section: PageSection) -> None:
        section.is_gone = True
        if section is self._open:
            self._open = None
        if section.is_kept:
            self._backlog.resident_octets -= section.octets
        if section.number is not None:
            self._store.pages.drop(section.number)

    def _arrive(self, count: int, stretches: list[Stretch], body_octets: list[int]) -> None:
        """``count`` messages have left the shelf; those that could be read are here again, with so large bodies."""
        self._awaited = None
        self.message_count -= count
        octets = sum(stretch.resident_octets() for stretch in stretches)
        self.head_octets += octets
        self._residency.arrived_octets += octets
        arrived_octets = 0
        for stretch, counted_octets in zip(stretches, body_octets, strict=True):
            uncounted = _within(stretch, self._uncounted)
            if uncounted is not None:
                uncounted_octets = uncounted.body_octets()
                arrived_octets += uncounted_octets
                counted_octets -= uncounted_octets
                self.uncounted_count -= len(uncounted.ids)
            self.body_octets -= counted_octets
            if self._queue.is_logged(stretch):
                self.logged_octets -= counted_octets
        lost = count - sum(len(stretch.pieces) for stretch in stretches)
        self.uncounted_count -= min(lost, self.uncounted_count)
        self._backlog.take_back(stretches, octets)
        if arrived_octets:
            self._queue.counted(arrived_octets)
        if lost:
            self._queue.lost(lost)
        self.fetch()
        self._queue.touch()

    def clear(self) -> None:
        """Forget all: its messages are gone, or in memory."""
        self._awaited = self._counting = None
        for section in self.sections:
            if isinstance(section, PageSection):
                self._forget_page(section)
        self.sections.clear()
        self.message_count = self.uncounted_count = self.body_octets = self.logged_octets = 0
        self._residency.shelf_count -= 1

    # Of all

    def logged_ids(self) -> Iterator[range]:
        """Yield the ids of those that are in the log."""
        for section in self.sections:
            yield from section.ranges() if isinstance(section, LogSection) else section.logged

    @property
    def logged_count(self) -> int:
        """How many messages are in the log."""
        return sum(
            section.message_count if isinstance(section, LogSection) else sum(map(len, section.logged))
            for section in self.sections
        )

    def count(self) -> None:
        """Have the bodies counted that nobody has: read in pieces, in a thread, so that nobody waits for it.

        The queue is told of each piece. What leaves the shelf meanwhile is counted as it leaves.
        """
        if self._counting is not None:
            return
        spans: list[range] = []
        for section in self.sections:
            if isinstance(section, LogSection) and len(spans) < COUNT_SPANS:
                spans += section.ranges_from(self._uncounted.start, COUNT_SPANS - len(spans))
        # What was put behind them since is counted, and may have joined their last range.
        spans = [ids[: self._uncounted.stop - ids.start] for ids in spans if ids.start in self._uncounted]
        if not spans:
            self._uncounted = range(0)
            self.uncounted_count = 0
            return
        self._counting = counting = object()
        convert = partial(load, self._residency.shapes, True)
        self._store.reading.read(spans, FETCH_OCTETS, convert, partial(self._counted, counting, spans))

    def _counted(self, counting: object, spans: list[range], read: tuple[int, list[Loaded]]) -> None:
        if counting is not self._counting:
            return
        self._counting = None
        covered, loaded = read
        left = _after(spans, covered)
        section = self.sections[0] if self.sections else None
        here = self._uncounted.stop
        if isinstance(section, LogSection):
            here = section.first_id
        elif section is None:
            self._uncounted = range(0)
            self.uncounted_count = 0
            return
        upto = left[0].start if left else spans[-1].stop
        still_here = range(max(here, self._uncounted.start), upto)
        octets = 0
        for shape, _, ids, pieces in loaded:
            part = _within(Stretch(shape, ids, pieces), still_here)
            if part is not None:
                octets += part.body_octets()
                self.uncounted_count -= len(part.ids)
        self._uncounted = range(upto, max(upto, self._uncounted.stop))
        self.body_octets += octets
        self.logged_octets += octets
        if octets:
            self._queue.counted(octets)
        if self._uncounted:
            self.count()


def _within(stretch: Stretch, ids: range) -> Stretch | None:
    """Return what of ``stretch``, neighbours, lies within ``ids``; None if that is nothing."""
    inside = range(max(stretch.ids.start, ids.start), min(stretch.ids.stop, ids.stop))
    return stretch.part(inside.start - stretch.ids.start, inside.stop - stretch.ids.start) if inside else None


def _after(spans: list[range], count: int) -> list[range]:
    """Return what is left of ``spans`` behind their first ``count`` ids."""
    place = 0
    while place < len(spans) and count >= len(spans[place]):
        count -= len(spans[place])
        place += 1
    left = spans[place:]
    if count and left:
        left[0] = left[0][count:]
    return left
