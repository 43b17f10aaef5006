"""Messages of one exchange with many routing keys: what goes the same way is appended together.

A queue gets its messages in the order in which they were published, whichever ways they came; across queues nobody
can tell.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from operator import itemgetter

from broker.core.messages import Stretch
from broker.core.publish.enqueue import Enqueuer, Route
from broker.core.queues.classic import ClassicQueue
from protocol.content import Shape

Queues = tuple[ClassicQueue, ...]


def by_way(found: Sequence[Queues], pieces: Sequence[bytes]) -> dict[Queues, list[bytes]]:
    """Return the messages of each way, ``found`` for each of them, in the order in which the ways come first."""
    ways: dict[Queues, list[bytes]] = {}
    for queues, piece in zip(found, pieces, strict=True):
        group = ways.get(queues)
        if group is None:
            ways[queues] = [piece]
        else:
            group.append(piece)
    return ways


def enqueue_ways(
    enqueuer: Enqueuer,
    routes: Mapping[Queues, Route],
    ways: Mapping[Queues, list[bytes]],
    found: Sequence[Queues],
    shape: Shape,
    pieces: Sequence[bytes],
) -> bool:
    """Append ``pieces``, whose ways are ``found``, one each, and ``ways`` grouped; True if any went to the log.

    No queue of theirs may refuse a message. Where no two ways share a queue, ``found`` is not looked at.
    """
    if len(set(chain.from_iterable(ways))) == sum(map(len, ways)):
        groups: Iterable[tuple[Queues, list[bytes]]] = ways.items()
    elif not any(enqueuer.is_logged(route, shape) or route.prioritised_count for route in routes.values()):
        _enqueue_by_queue(enqueuer, found, shape, pieces)
        return False
    else:
        # A message has one id in the log, in all its queues, so those who share a queue are not apart in it.
        turns = groupby(zip(found, pieces, strict=True), key=itemgetter(0))
        groups = ((queues, [piece for _, piece in turn]) for queues, turn in turns)
    is_logged = False
    for queues, group in groups:
        if queues:
            is_logged |= enqueuer.enqueue(routes[queues], shape, group)
    return is_logged


def _enqueue_by_queue(enqueuer: Enqueuer, found: Sequence[Queues], shape: Shape, pieces: Sequence[bytes]) -> None:
    """Append messages queue by queue: an id need not be the same in all queues, where the log does not know it."""
    by_queue: dict[ClassicQueue, list[bytes]] = {}
    for queues, piece in zip(found, pieces, strict=True):
        for queue in queues:
            group = by_queue.get(queue)
            if group is None:
                by_queue[queue] = [piece]
            else:
                group.append(piece)
    for queue, group in by_queue.items():
        queue.publish(Stretch(shape, enqueuer.ids.take(len(group)), group))
