"""Look at messages of a queue where they are, in memory or not, and leave them there.

A backlog tells its *places* in order; those that are asked for, and no others, are read back, for whoever looks alone.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.core.messages import Stretch
from broker.core.queues.paged import FETCH_OCTETS, LogSection, PageSection, decode_page, load
from broker.core.queues.parked import ParkedRun, ParkedStretch, unparked

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue

Place = Stretch | ParkedRun | LogSection | PageSection
"""Messages that are in one place: memory, ranges of ids that the log has, or a page file."""


def count_at(place: Place) -> int:
    """Return how many messages are there."""
    if isinstance(place, Stretch):
        return len(place.ids)
    if isinstance(place, ParkedRun):
        return place.spans.message_count
    return place.message_count


def look_at(queue: "ClassicQueue", place: Place, start: int, stop: int) -> Iterator[tuple[int, Stretch]]:
    """Yield the messages from number ``start`` up to ``stop`` of a place, in parts: the number of the first, and they.

    What cannot be read back is left out. Reading blocks, for as much as the parts that are taken of it.
    """
    at = 0
    for stretch in _stretches(queue, place):
        count = len(stretch.ids)
        if at < stop and at + count > start:
            wanted = stretch.part(max(0, start - at), min(count, stop - at))
            for part in unparked(queue, wanted):
                yield at + stretch.ids.index(part.ids.start), part
        at += count
        if at >= stop:
            return


def logged_times(queue: "ClassicQueue", ids: range) -> Iterator[tuple[range, int]]:
    """Yield when messages of the queue were published, as far as the log has them: ids, and wall time in ms.

    Reading blocks, for as much as is taken.
    """
    residency = queue.context.residency
    if residency.store is None or not residency.is_logging:
        return
    for span in (ids,) if ids.step == 1 else (range(each, each + 1) for each in ids):
        while span:
            covered, loaded = load(residency.shapes, False, residency.store.reading.read_now([span], FETCH_OCTETS))
            for found in loaded:
                yield found.ids, found.published_ms
            span = span[covered:]


def _stretches(queue: "ClassicQueue", place: Place) -> Iterator[Stretch]:
    if isinstance(place, Stretch):
        yield place
    elif isinstance(place, ParkedRun):
        yield from place.stretches()
    elif isinstance(place, LogSection):
        for ids in place.ranges():
            yield ParkedStretch(None, ids, True, place.redelivered)
    elif place.number is None:
        yield from place.stretches
    else:
        store = queue.context.residency.store
        assert store is not None
        yield from decode_page(place.shapes, store.pages.read_now(place.number))
