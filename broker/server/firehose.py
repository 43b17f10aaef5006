"""The firehose: copies of what passes through traced virtual hosts, published to their exchange amq.rabbitmq.trace.

Off, it costs nothing: a traced virtual host's channels keep no routes, so that each publish comes by here, and a
traced consumer's writer is one that copies what it writes. Copies wait until the turn of the loop ends, since queues
may be in the middle of something when deliveries are made. It is off after a start. RabbitMQ: Firehose Tracer.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from broker.core.consumers import Consumer
from broker.core.messages import Stretch, readdressed
from broker.core.publish.addressed import carbon_keys
from broker.core.publish.republish import Republisher
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.reply import ReplyQueue
from broker.core.vhosts import VirtualHost
from protocol.content import Shape
from protocol.delivery import DeliveryWriter
from protocol.errors import AmqpError
from protocol.headers import with_header_payload
from protocol.properties import FLAGS, OCTETS_OF, properties_by_name
from protocol.tables import FieldTable, SignedInt, encode_table

if TYPE_CHECKING:
    from broker.server.broker import Broker
    from broker.server.channel import Channel

TRACE_EXCHANGE: Final = "amq.rabbitmq.trace"

_SIGNED_INT_MAX: Final = (1 << 31) - 1


class Origin(NamedTuple):
    """Who published or gets a message: names of virtual host, connection and user, and the channel's number."""

    vhost: VirtualHost
    connection: str
    channel: int
    user: str


def origin_of(channel: "Channel") -> Origin:
    """Return whose channel it is."""
    connection = channel.connection
    return Origin(connection.vhost, connection.name, channel.number, connection.user)


class CopyingWriter(DeliveryWriter):
    """A consumer's writer that also hands what it writes to the firehose."""

    __slots__ = ("_firehose", "_origin", "_queue", "plain")

    def __init__(self, firehose: "Firehose", channel: "Channel", consumer: Consumer) -> None:
        self.plain: DeliveryWriter = consumer.writer
        self._firehose = firehose
        self._origin = origin_of(channel)
        self._queue = consumer.queue.name

    def write(self, out: list[bytes], shape: Shape, pieces: Sequence[bytes], first_tag: int, redelivered: bool) -> None:
        """Append the frames of deliveries to ``out``, and copies of the messages to what is to be published."""
        self.plain.write(out, shape, pieces, first_tag, redelivered)
        self._firehose.delivered(self._origin, self._queue, shape, pieces, redelivered)


class Firehose:
    """Which virtual hosts are traced, and the copies that are not published yet."""

    __slots__ = ("_broker", "_node", "_republisher", "_traced", "_waiting")

    def __init__(self, broker: "Broker", republisher: Republisher, node: str) -> None:
        self._broker = broker
        self._republisher = republisher
        self._node = node
        self._traced: set[VirtualHost] = set()
        self._waiting: list[tuple[VirtualHost, Shape, list[bytes]]] = []

    # On and off

    def is_on(self, vhost: VirtualHost) -> bool:
        """Whether a virtual host is traced."""
        return vhost in self._traced

    def start(self, vhost: VirtualHost) -> None:
        """Trace what is published and delivered in a virtual host from now on."""
        self._traced.add(vhost)
        vhost.topology_version += 1  # Channels forget their routes, and keep no more.
        for channel in self._channels(vhost):
            for consumer in channel.consumers.values():
                self.watch(channel, consumer)

    def stop(self, vhost: VirtualHost) -> None:
        """Trace it no more."""
        self._traced.discard(vhost)
        for channel in self._channels(vhost):
            for consumer in channel.consumers.values():
                if isinstance(consumer.writer, CopyingWriter):
                    consumer.writer = consumer.writer.plain

    def watch(self, channel: "Channel", consumer: Consumer) -> None:
        """Copy what a consumer in a traced virtual host gets. RabbitMQ leaves direct replies out."""
        if not isinstance(consumer.writer, CopyingWriter) and not isinstance(consumer.queue, ReplyQueue):
            consumer.writer = CopyingWriter(self, channel, consumer)

    def _channels(self, vhost: VirtualHost) -> "list[Channel]":
        return [
            channel
            for connection in self._broker.connections
            if connection.is_open and connection.vhost is vhost
            for channel in connection.channels.values()
        ]

    # Copies

    def published(
        self,
        origin: Origin,
        shape: Shape,
        pieces: list[bytes],
        routing_keys: Sequence[str],
        queues: Iterable[ClassicQueue],
    ) -> None:
        """Copy messages of one content header that a client has published; ``queues`` are those that they reach."""
        reached = [queue.name for queue in queues if not queue.name.startswith("\n")]
        more = {**_facts(origin), "routed_queues": reached}
        self._copy(origin.vhost, f"publish.{shape.exchange}", shape, pieces, routing_keys, more)

    def got(self, channel: "Channel", queue: ClassicQueue, stretch: Stretch) -> None:
        """Copy a message that basic.get has fetched."""
        self.delivered(origin_of(channel), queue.name, stretch.shape, stretch.pieces, stretch.redelivered)

    def delivered(self, origin: Origin, queue: str, shape: Shape, pieces: Sequence[bytes], redelivered: bool) -> None:
        """Copy messages that a client gets from a queue."""
        more = {"redelivered": SignedInt(redelivered), **_facts(origin)}
        key = f"deliver.{queue}"
        for group in [list(pieces)] if shape.lead else [[piece] for piece in pieces]:
            self._copy(origin.vhost, key, shape, group, None, more)

    def _copy(
        self,
        vhost: VirtualHost,
        key: str,
        shape: Shape,
        pieces: list[bytes],
        routing_keys: Sequence[str] | None,
        more: FieldTable,
    ) -> None:
        if shape.exchange == TRACE_EXCHANGE:
            return
        payload = shape.header_payload(pieces[0])
        properties = _properties(payload)
        if routing_keys is None:
            routing_keys = [shape.routing_key_of(pieces[0]), *_copies_told(properties)]
        headers: FieldTable = {
            "exchange_name": shape.exchange,
            "routing_keys": list(routing_keys),
            "properties": properties,
            "node": self._node,
            **more,
        }
        header = payload[:12] + FLAGS["headers"].to_bytes(2) + encode_table(headers)
        copy, copied = with_header_payload(shape, pieces, header)
        if not self._waiting:
            self._broker.loop.call_soon(self._publish_waiting)
        self._waiting.append((vhost, readdressed(copy, TRACE_EXCHANGE, _short(key)), copied))

    def _publish_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for vhost, shape, pieces in waiting:
            # The virtual host may have been deleted meanwhile.
            if self._broker.vhosts.get(vhost.name) is vhost:
                self._republisher.republish(vhost.exchanges[TRACE_EXCHANGE], shape, pieces)
        self._broker.finish_read()


def _facts(origin: Origin) -> FieldTable:
    return {
        "vhost": origin.vhost.name,
        "connection": origin.connection,
        "channel": SignedInt(origin.channel),
        "user": origin.user,
    }


def _properties(payload: bytes) -> FieldTable:
    """Return a header frame payload's properties in RabbitMQ's order, the last first; none if they are unreadable."""
    try:
        found = properties_by_name(payload)
    except AmqpError:
        return {}
    return {name: _number(found[name]) if name in OCTETS_OF else found[name] for name in reversed(found)}


def _number(value: int) -> int:
    """Return a number as RabbitMQ writes it: a signed one of 32 bits, or of 64 where it does not fit."""
    return SignedInt(value) if value <= _SIGNED_INT_MAX else value - ((value >> 63) << 64)


def _copies_told(properties: FieldTable) -> list[str]:
    try:
        return carbon_keys(properties.get("headers", {}), "CC")
    except AmqpError:
        return []


def _short(key: str) -> str:
    """Return a routing key that fits into a short string: the names of queues alone may have its 255 octets."""
    return key.encode()[:255].decode("utf-8", "ignore")
