"""What the log recovered goes back into its queues, at the start."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from broker.core.clock import Clock
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from protocol.errors import FrameError
from storage.reading import LogReader
from storage.recovery import LiveRuns, RecoveredRun

READ_OCTETS: Final = 4 << 20
READ_RUNS: Final = 1024
"""Read in one go, at the most."""


def restore_messages(
    runs: LiveRuns,
    queues: Mapping[int, ClassicQueue],
    reading: LogReader,
    clock: Clock,
    on_progress: Callable[[int], None] = lambda count: None,
) -> set[int]:
    """Restore ``runs`` into ``queues``, by id; return the ids of queues that are not there.

    First what queues take by its ids alone, then what they have to see whole. Time goes on meanwhile: what
    expires or is delayed must not be late for that. ``on_progress`` is told, again and again, how many more messages
    are in one more queue.
    """
    unknown: set[int] = set()
    bodied: set[int] = set()
    for queue_id, firsts, counts in runs.by_queue():
        queue = queues.get(queue_id)
        if queue is None:
            unknown.add(queue_id)
            on_progress(sum(counts))
            continue
        for part_firsts, part_counts, redelivered in _split(firsts, counts, runs.redelivered_upto(queue_id)):
            if queue.restores_ids(redelivered):
                queue.restore_ids(part_firsts, part_counts, redelivered)
                on_progress(sum(part_counts))
            else:
                bodied.add(queue_id)
    if bodied:
        _restore_bodies(_to_read(runs.of_queues(bodied), queues), queues, reading, clock, on_progress)
    for queue in queues.values():
        queue.restored()
    return unknown


def _split(firsts: Sequence[int], counts: Sequence[int], upto: int) -> list[tuple[Sequence[int], Sequence[int], bool]]:
    """Cut ranges of ids, which ascend, behind ``upto``: what was delivered before, and the rest."""
    if firsts[0] > upto:
        return [(firsts, counts, False)]
    if firsts[-1] + counts[-1] - 1 <= upto:
        return [(firsts, counts, True)]
    place = bisect_right(firsts, upto)
    old_firsts, old_counts = list(firsts[:place]), list(counts[:place])
    new_firsts, new_counts = list(firsts[place:]), list(counts[place:])
    beyond = old_firsts[-1] + old_counts[-1] - 1 - upto
    if beyond > 0:
        old_counts[-1] -= beyond
        new_firsts.insert(0, upto + 1)
        new_counts.insert(0, beyond)
    return [(old_firsts, old_counts, True), (new_firsts, new_counts, False)]


def _to_read(runs: Iterable[RecoveredRun], queues: Mapping[int, ClassicQueue]) -> Iterator[RecoveredRun]:
    """Yield ``runs`` with those of their queues that have to see the messages."""
    for run in runs:
        wanted = {
            queue_id: redelivered
            for queue_id, redelivered in run.queues.items()
            if queue_id in queues and not queues[queue_id].restores_ids(redelivered)
        }
        if wanted:
            yield run._replace(queues=wanted)


def _restore_bodies(
    runs: Iterator[RecoveredRun],
    queues: Mapping[int, ClassicQueue],
    reading: LogReader,
    clock: Clock,
    on_progress: Callable[[int], None],
) -> None:
    """Read the messages of ``runs``, many runs at a time, and restore them whole. What cannot be read is left out."""
    residency = next(iter(queues.values())).context.residency
    waiting: deque[RecoveredRun] = deque()
    while True:
        waiting.extend(islice(runs, READ_RUNS - len(waiting)))
        if not waiting:
            return
        found = reading.read_now([run.ids for run in waiting], READ_OCTETS)
        places = iter(waiting)
        run = next(places)
        for read in found.runs:
            while run.ids.stop <= read.ids.start:
                run = next(places)
            try:
                shape, published_ms = residency.shapes.decode(read.envelope, read.pieces[0])
            except FrameError:
                continue
            age_ms = clock.age_ms(read.ids[-1], published_ms)
            for queue_id, redelivered in run.queues.items():
                stretch = Stretch(shape, read.ids, read.pieces, redelivered)
                queues[queue_id].restore(stretch, age_ms, run.return_counts.get(queue_id, 0))
                residency.arrived_octets += stretch.resident_octets()
        _drop(waiting, found.covered, on_progress)
        if residency.is_due:
            residency.relieve()


def _drop(waiting: deque[RecoveredRun], count: int, on_progress: Callable[[int], None]) -> None:
    """Take the first ``count`` messages off."""
    while count:
        run = waiting.popleft()
        done = min(count, len(run.ids))
        count -= done
        on_progress(done * len(run.queues))
        if done < len(run.ids):
            waiting.appendleft(run._replace(ids=run.ids[done:]))
