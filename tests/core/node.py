"""A node without sockets or disk: virtual host, queues, dead letters, on a clock that the test moves."""

from functools import partial
from itertools import count
from random import Random

from broker.core.exchanges.kept import ExchangeContext
from broker.core.messages import MessageIds, Stretch
from broker.core.names import QueueNames
from broker.core.publish.addressed import Addressed
from broker.core.publish.dead_letters import DeadLetters
from broker.core.publish.enqueue import Enqueuer, Route
from broker.core.publish.republish import Republisher
from broker.core.publish.routable import Routable
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.context import QueueContext
from broker.core.queues.types import QUEUE_TYPES
from broker.core.vhosts import VirtualHost
from broker.server.clock import ManualClock
from protocol.frames import FrameReader
from protocol.headers import decode_headers
from protocol.runs import PublishRun
from protocol.tables import FieldTable
from storage.definitions import JsonValue
from tests.core.recording import RecordingChannel, RecordingLog, new_consumer
from tests.protocol.octets import message

OWNER = object()


class Node:
    """Publishes frames' octets and tells what is in queues; ``settle`` drains as the end of a read does."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = RecordingLog()
        self.touched: list[ClassicQueue] = []
        self.vhosts: dict[str, VirtualHost] = {}
        self.enqueuer = Enqueuer(MessageIds(), self.log, self.clock)
        self.dead_letters = DeadLetters(self.vhosts, self.enqueuer, self.clock)
        self.journal: dict[tuple[str, ...], JsonValue] = {}
        context = QueueContext(
            self.log,
            self.clock,
            self.touched,
            self.dead_letters.dead_letter,
            self.expire_queue,
            lambda key, value: self.journal.__setitem__(tuple(key), value),
        )
        republisher = Republisher(self.vhosts, self.enqueuer)
        self.vhost = VirtualHost(
            "/",
            make_queue={kind: partial(make, context=context) for kind, make in QUEUE_TYPES.items()},
            next_queue_id=count(1).__next__,
            queue_names=QueueNames(Random(1)),
            define=lambda key, value: None,
            exchange_context=ExchangeContext(context, republisher.republish, republisher.enqueue),
        )
        self.vhosts["/"] = self.vhost
        self.clock.after_calls = self.drain

    def expire_queue(self, queue: ClassicQueue) -> None:
        self.vhost.expire_queue(queue)

    def declare(self, name: str, **arguments: object) -> ClassicQueue:
        """Declare a queue; ``message_ttl=5`` stands for ``x-message-ttl``."""
        table: FieldTable = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
        return self.vhost.declare_queue(name, owner=OWNER, durable=True, arguments=table)

    def publish(self, *bodies: bytes, key: str = "q", exchange: str = "", properties: bytes = b"\x00\x00") -> None:
        """Publish messages one by one, then drain."""
        octets = b"".join(
            message(body, key=key.encode(), exchange=exchange.encode(), properties=properties) for body in bodies
        )
        for event in FrameReader(131072, 1 << 27).feed(octets):
            assert isinstance(event, PublishRun)
            queues = self.vhost.route_message(self.vhost.exchanges[exchange], Routable([key], {}))
            self.enqueuer.enqueue(Route(queues, 1), event.shape, event.pieces)
        self.drain()

    def send(self, exchange: str, message: Addressed) -> Route:
        """Publish messages whose header matters, then drain; return their route."""
        route = Route(self.vhost.route_message(self.vhost.exchanges[exchange], message), self.vhost.topology_version)
        if route.queues:
            self.enqueuer.enqueue(route, message.shape, message.pieces)
        self.drain()
        return route

    def drain(self) -> None:
        while self.touched:
            queues, self.touched[:] = list(self.touched), []
            for queue in queues:
                if not queue.is_deleted:
                    queue.drain()

    def consume(self, queue: ClassicQueue, tag: str = "c", prefetch: int = 0, no_ack: bool = False) -> RecordingChannel:
        channel = RecordingChannel()
        new_consumer(queue, channel, tag, prefetch=prefetch, no_ack=no_ack)
        self.drain()
        return channel


def bodies_of(queue: ClassicQueue) -> list[bytes]:
    return [body for stretch in queue.backlog.stretches() for body in bodies_in(stretch)]


def bodies_in(stretch: Stretch) -> list[bytes]:
    return [stretch.shape.body(piece) for piece in stretch.pieces]


def headers_of(queue: ClassicQueue) -> list[FieldTable]:
    return [
        decode_headers(stretch.shape.header_payload(piece))
        for stretch in queue.backlog.stretches()
        for piece in stretch.pieces
    ]
