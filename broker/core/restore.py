"""What the log recovered goes back into its queues, at the start."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from broker.core.messages import Stretch, decode_envelope
from broker.core.queues.classic import ClassicQueue
from storage.reading import LogReader
from storage.recovery import RecoveredRun

READ_OCTETS: Final = 4 << 20
READ_RUNS: Final = 1000


def restore_messages(
    runs: Iterable[RecoveredRun],
    queues: Mapping[int, ClassicQueue],
    reading: LogReader,
    wall_ms: Callable[[], int],
) -> set[int]:
    """Restore ``runs``, ascending by id, into ``queues``, by id; return the ids of queues that are not there.

    ``wall_ms`` tells the time, which goes on meanwhile: what expires or is delayed must not be late for that.
    """
    unknown: set[int] = set()
    wanted: list[RecoveredRun] = []
    for run in runs:
        unknown.update(queue_id for queue_id in run.queues if queue_id not in queues)
        wanted.append(run)
        if len(wanted) >= READ_RUNS:
            _restore_bodies(wanted, queues, reading, wall_ms)
            wanted.clear()
    _restore_bodies(wanted, queues, reading, wall_ms)
    return unknown


def _restore_bodies(
    runs: list[RecoveredRun],
    queues: Mapping[int, ClassicQueue],
    reading: LogReader,
    wall_ms: Callable[[], int],
) -> None:
    """Read the messages of ``runs``, and restore them whole."""
    for run in runs:
        ids = run.ids
        while ids:
            found = reading.read_now([ids], READ_OCTETS)
            ids = ids[found.covered :]
            for read in found.runs:
                shape, published_ms = decode_envelope(read.envelope, read.pieces[0])
                age_ms = max(0, wall_ms() - published_ms)
                for queue_id, is_redelivered in run.queues.items():
                    if queue_id in queues:
                        stretch = Stretch(shape, read.ids, read.pieces, is_redelivered)
                        queues[queue_id].restore(stretch, age_ms, run.return_counts.get(queue_id, 0))
