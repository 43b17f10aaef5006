"""What the log recovered goes back into its queues, at the start."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from broker.core.messages import Stretch, decode_envelope
from broker.core.queues.classic import ClassicQueue
from storage.reading import LogReader
from storage.recovery import LiveRuns, RecoveredRun

READ_OCTETS: Final = 4 << 20


def restore_messages(
    runs: LiveRuns,
    queues: Mapping[int, ClassicQueue],
    reading: LogReader,
    wall_ms: Callable[[], int],
    on_progress: Callable[[int], None] = lambda count: None,
) -> set[int]:
    """Restore ``runs`` into ``queues``, by id; return the ids of queues that are not there.

    First what queues take by its ids alone, then what they have to see whole. ``wall_ms`` tells the time, which goes
    on meanwhile: what expires or is delayed must not be late for that. ``on_progress`` is told, again and again, how
    many more messages are in one more queue.
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
        residency = queues[next(iter(bodied))].context.residency
        for run in runs.of_queues(bodied):
            wanted = {queue_id: redelivered for queue_id, redelivered in run.queues.items() if queue_id in bodied}
            wanted = {
                each: redelivered for each, redelivered in wanted.items() if not queues[each].restores_ids(redelivered)
            }
            if wanted:
                _restore_bodies(run._replace(queues=wanted), queues, reading, wall_ms, on_progress)
            if residency.is_due:
                residency.relieve()
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


def _restore_bodies(
    run: RecoveredRun,
    queues: Mapping[int, ClassicQueue],
    reading: LogReader,
    wall_ms: Callable[[], int],
    on_progress: Callable[[int], None],
) -> None:
    """Read the messages of ``run``, and restore them whole."""
    ids = run.ids
    while ids:
        found = reading.read_now([ids], READ_OCTETS)
        ids = ids[found.covered :]
        on_progress(found.covered * len(run.queues))
        for read in found.runs:
            shape, published_ms = decode_envelope(read.envelope, read.pieces[0])
            age_ms = max(0, wall_ms() - published_ms)
            for queue_id, redelivered in run.queues.items():
                queue = queues[queue_id]
                stretch = Stretch(shape, read.ids, read.pieces, redelivered)
                queue.restore(stretch, age_ms, run.return_counts.get(queue_id, 0))
                queue.context.residency.arrived_octets += stretch.resident_octets()
