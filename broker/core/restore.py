"""What the log recovered goes back into its queues, at the start."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from broker.core.messages import Stretch, decode_envelope
from broker.core.queues.classic import ClassicQueue
from storage.reading import LogReader
from storage.recovery import RecoveredRun

READ_OCTETS: Final = 4 << 20


def restore_messages(
    runs: Iterable[RecoveredRun],
    queues: Mapping[int, ClassicQueue],
    reading: LogReader,
    wall_ms: Callable[[], int],
    on_progress: Callable[[int], None] = lambda count: None,
) -> set[int]:
    """Restore ``runs``, ascending by id, into ``queues``, by id; return the ids of queues that are not there.

    ``wall_ms`` tells the time, which goes on meanwhile: what expires or is delayed must not be late for that.
    ``on_progress`` is told, again and again, how many more messages are done.
    """
    unknown: set[int] = set()
    residency = next(iter(queues.values())).context.residency if queues else None
    for run in runs:
        bodied: dict[int, bool] = {}
        for queue_id, redelivered in run.queues.items():
            queue = queues.get(queue_id)
            if queue is None:
                unknown.add(queue_id)
            elif queue.restores_ids(redelivered):
                queue.restore_ids(run.ids, redelivered)
            else:
                bodied[queue_id] = redelivered
        if bodied:
            _restore_bodies(run._replace(queues=bodied), queues, reading, wall_ms, on_progress)
        else:
            on_progress(len(run.ids))
        if residency is not None and residency.is_due:
            residency.relieve()
    for queue in queues.values():
        queue.restored()
    return unknown


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
        on_progress(found.covered)
        for read in found.runs:
            shape, published_ms = decode_envelope(read.envelope, read.pieces[0])
            age_ms = max(0, wall_ms() - published_ms)
            for queue_id, redelivered in run.queues.items():
                queue = queues[queue_id]
                stretch = Stretch(shape, read.ids, read.pieces, redelivered)
                queue.restore(stretch, age_ms, run.return_counts.get(queue_id, 0))
                queue.context.residency.arrived_octets += stretch.resident_octets()
