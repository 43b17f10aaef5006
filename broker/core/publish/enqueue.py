"""A run's last step in: give it ids, log it once for all its queues, and append it to each of them.

Whoever has found the queues (a channel's publish, a transaction's commit, a dead letter) comes through here.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from broker.core.clock import Clock
from broker.core.exchanges.kept import KeptMessages
from broker.core.messages import MessageIds, MessageLog, Stretch, encode_envelope
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.priority import PriorityBacklog
from protocol.content import Shape

KEPT_ROUTES: Final = 1024


class Route:
    """The queues that a message goes to.

    ``durable_ids`` are those of them that keep persistent messages, ``keeping_ids`` those of these that keep transient
    ones as well; ``may_be_refused`` says that one of them refuses messages when it is full; ``prioritised_count`` is
    how many of them have priorities. ``only`` is the one queue, where it is a classic one that is not in the log.
    """

    __slots__ = (
        *("durable_ids", "keeping_ids", "may_be_refused", "only", "prioritised_count", "queues"),
        "topology_version",
    )

    def __init__(self, queues: Sequence[ClassicQueue], topology_version: int) -> None:
        self.queues = tuple(queues)
        self.durable_ids = tuple(queue.id for queue in queues if queue.log is not None)
        self.keeping_ids = tuple(queue.id for queue in queues if queue.keeps_transient)
        self.may_be_refused = any(queue.refuses_publishes for queue in queues)
        self.prioritised_count = sum(isinstance(queue.backlog, PriorityBacklog) for queue in queues)
        is_alone = len(queues) == 1 and type(queues[0]) is ClassicQueue and queues[0].log is None
        self.only = queues[0] if is_alone else None
        self.topology_version = topology_version

    def is_routed_again(self) -> bool:
        """Whether a message gets nowhere but where it waits to be routed once more."""
        queues = self.queues
        return bool(queues) and all(isinstance(queue, KeptMessages) and queue.is_routed_again for queue in queues)

    def reaches_queue(self) -> bool:
        """Whether a message gets to any queue; those that exchanges keep messages in are none."""
        return not all(isinstance(queue, KeptMessages) for queue in self.queues)


class Enqueuer:
    """Appends runs to queues and log. The ids, and with them the order, are the node's."""

    __slots__ = ("_routes", "clock", "ids", "log", "run_count")

    def __init__(self, ids: MessageIds, log: MessageLog, clock: Clock) -> None:
        self._routes: dict[tuple[ClassicQueue, ...], Route] = {}
        self.clock = clock
        self.ids = ids
        self.log = log
        self.run_count = 0
        """How many runs have been appended, each once for all its queues."""

    def route_to(self, queues: Sequence[ClassicQueue], topology_version: int) -> Route:
        """Return the route to ``queues``: many keys lead to few sets of queues, so routes are kept by those."""
        key = tuple(queues)
        route = self._routes.get(key)
        if route is None or route.topology_version != topology_version:
            if len(self._routes) >= KEPT_ROUTES:
                self._routes.clear()
            route = self._routes[key] = Route(queues, topology_version)
        return route

    def is_logged(self, route: Route, shape: Shape) -> bool:
        """Whether messages on this route go to the log."""
        return bool(route.durable_ids if shape.facts.persistent else route.keeping_ids)

    def enqueue(self, route: Route, shape: Shape, pieces: list[bytes]) -> bool:
        """Append the messages to the route's queues; True if they went to the log, so that a confirm must wait."""
        if route.prioritised_count and shape.facts.priorities_differ:
            return self._enqueue_by_priority(route, shape, pieces)
        stretch = self.stretch(shape, pieces)
        ids = stretch.ids
        queue_ids = route.durable_ids if shape.facts.persistent else route.keeping_ids
        if queue_ids:
            if not shape.envelope:
                shape.envelope = encode_envelope(shape)
            stamp_ms = self.clock.stamp_ms(ids.start)
            self.log.publish(queue_ids, ids, stamp_ms.to_bytes(8) + shape.envelope, pieces)
        for queue in route.queues:
            queue.publish(stretch)
        return bool(queue_ids)

    def stretch(self, shape: Shape, pieces: list[bytes]) -> Stretch:
        """Return a run's messages with their ids, for whoever it is handed on to at once."""
        self.run_count += 1
        return Stretch(shape, self.ids.take(len(pieces)), pieces)

    def _enqueue_by_priority(self, route: Route, shape: Shape, pieces: list[bytes]) -> bool:
        """As ``enqueue``, for a run whose messages have different priorities: in runs of one priority.

        Where all queues have priorities, all messages of one go together: those of another stand elsewhere anyway.
        """
        priorities = list(map(shape.priority_of, pieces))
        is_logged = False
        if route.prioritised_count == len(route.queues):
            groups: dict[int | None, list[bytes]] = {}
            for priority, piece in zip(priorities, pieces, strict=True):
                groups.setdefault(priority, []).append(piece)
            for priority, group in groups.items():
                is_logged |= self.enqueue(route, shape.of_priority(priority), group)
        else:
            for priority, turn in groupby(zip(priorities, pieces, strict=True), key=itemgetter(0)):
                is_logged |= self.enqueue(route, shape.of_priority(priority), [piece for _, piece in turn])
        return is_logged

    def enqueue_or_refuse(self, route: Route, shape: Shape, piece: bytes) -> tuple[bool, bool]:
        """Append one message to those of its queues that are not full; (went to the log, was refused by some).

        RabbitMQ: Queue Length Limit, "reject-publish".
        """
        body_octets = shape.body_octets_of(piece)
        full = [queue for queue in route.queues if queue.is_full(body_octets)]
        if not full:
            return self.enqueue(route, shape, [piece]), False
        takers = [queue for queue in route.queues if queue not in full]
        is_logged = bool(takers) and self.enqueue(Route(takers, route.topology_version), shape, [piece])
        for queue in full:
            queue.refuse(Stretch(shape, self.ids.take(1), [piece]))
        return is_logged, True
