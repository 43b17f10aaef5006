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
from protocol.headers import properties_of, with_header_payload
from protocol.tables import FieldTable, SignedInt, decode_table, encode_table

if TYPE_CHECKING:
    from broker.server.broker import Broker
    from broker.server.channel import Channel

TRACE_EXCHANGE: Final = "amq.rabbitmq.trace"

_HEADERS: Final = 1 << 13
_TEXTS: Final = {
    "cluster_id": 1 << 2,
    "app_id": 1 << 3,
    "user_id": 1 << 4,
    "type": 1 << 5,
    "timestamp": 1 << 6,
    "message_id": 1 << 7,
    "expiration": 1 << 8,
    "reply_to": 1 << 9,
    "correlation_id": 1 << 10,
    "priority": 1 << 11,
    "delivery_mode": 1 << 12,
    "headers": _HEADERS,
    "content_encoding": 1 << 14,
    "content_type": 1 << 15,
}
"""Properties in the order of the copy's table: RabbitMQ's, the last of the content header first."""
_NUMBERS: Final = ("timestamp", "priority", "delivery_mode")
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
        header = payload[:12] + _HEADERS.to_bytes(2) + encode_table(headers)
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
    """Return the properties of a header frame's payload; of those that nobody can read, none."""
    found: FieldTable = {}
    try:
        octets_by_flag = properties_of(payload)
        for name, flag in _TEXTS.items():
            octets = octets_by_flag.get(flag)
            if octets is None:
                continue
            if name == "headers":
                found[name] = decode_table(octets)
            elif name in _NUMBERS:
                number = int.from_bytes(octets, signed=name == "timestamp")
                found[name] = SignedInt(number) if abs(number) <= _SIGNED_INT_MAX else number
            else:
                found[name] = octets[1:].decode("utf-8", "replace")
    except AmqpError:
        return {}
    return found


def _copies_told(properties: FieldTable) -> list[str]:
    try:
        return carbon_keys(properties.get("headers", {}), "CC")
    except AmqpError:
        return []


def _short(key: str) -> str:
    """Return a routing key that fits into a short string: the names of queues alone may have its 255 octets."""
    return key.encode()[:255].decode("utf-8", "ignore")
