"""Publishes of a channel to one exchange by many routing keys: those that go the same way go together.

The outcome is that of one by one. Where something else than the key decides, or a message may come to another end than
its neighbours (refused, returned, traced, kept for a commit), they do go one by one. Spec: basic.publish.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from broker.core.consumers import UNLIMITED, Consumer, DeliverySink
from broker.core.exchanges.exchange import Exchange
from broker.core.messages import Stretch
from broker.core.publish.keyed import by_way, enqueue_ways
from broker.core.publish.routable import LooksAt
from broker.core.publish.routing import find_queues_each
from broker.core.queues.classic import ClassicQueue
from broker.server.counters import UNROUTABLE_KEPT, Tally
from broker.server.limits import CACHED_ROUTES, OUT_LIMIT_OCTETS
from protocol.errors import AccessRefused
from protocol.runs import GroupedRun, PublishRun

if TYPE_CHECKING:
    from broker.server.channel import Channel

DELIVERY_MORE_OCTETS: Final = 64
"""What a delivery has beside what was published, with a consumer tag of the usual length."""

_Handed = defaultdict[DeliverySink, list[tuple[Consumer, Stretch]]]


def publish_grouped(channel: "Channel", grouped: GroupedRun) -> None:
    """Publish what came by many routing keys, those of each key together, if nobody can tell; else in order.

    Nobody can where each key leads to queues of its own, and all messages come to them. Raises what
    ``Channel.publish`` raises.
    """
    tallies = _tallies(channel, grouped)
    if tallies is None:
        channel.publish_run(grouped.in_order())
        return
    enqueuer, is_logged = channel.broker.enqueuer, False
    may_be_handed_on = grouped.shape.facts.expiration is None
    handed, handed_count = _Handed(list), 0
    each_octets = grouped.largest_octets + DELIVERY_MORE_OCTETS
    most = OUT_LIMIT_OCTETS // each_octets
    for tally, shape, pieces in zip(tallies, grouped.shapes(), grouped.groups, strict=True):
        count, only = len(pieces), tally.route.only
        tally.count += count
        consumer = only.taker(count) if only is not None and may_be_handed_on else None
        if consumer is None:
            _deliver(handed, each_octets)  # What becomes of these may lead to messages for queues before.
            handed_count = 0
            is_logged |= enqueuer.enqueue(tally.route, shape, pieces)
            continue
        handed[consumer.sink].append((consumer, enqueuer.stretch(shape, pieces)))
        handed_count += count
        if handed_count > most or consumer.sink.shared_credit < UNLIMITED:
            _deliver(handed, each_octets)
            handed_count = 0
    _deliver(handed, each_octets)
    channel.answer_for(grouped.count, is_logged)


def _deliver(handed: _Handed, each_octets: int) -> None:
    """Have each channel send what its consumers were handed."""
    for sink, each in handed.items():
        sink.deliver_each(each, each_octets)
    handed.clear()


def _tallies(channel: "Channel", grouped: GroupedRun) -> list[Tally] | None:
    """Return where each run is counted, and goes; None if its messages may not be taken out of their order."""
    vhost, publish = channel.connection.vhost, grouped.publish
    version = vhost.topology_version
    methods = [key.publish for key in grouped.keys]
    found = list(map(channel.routes.get, methods))
    fresh = [
        method
        for method, tally in zip(methods, found, strict=True)
        if tally is None or tally.route.topology_version != version
    ]
    if fresh:
        exchange = channel.writable_exchange(publish)
        if len(methods) > CACHED_ROUTES or not _goes_by_key(channel, exchange, [each.routing_key for each in fresh]):
            return None
        for each in fresh:
            channel.learn(each, exchange, vhost.route(exchange, each.routing_key, None))
        found = list(map(channel.routes.get, methods))
    elif channel.transaction is not None or channel.broker.firehose.is_on(vhost):
        return None
    tallies = [tally for tally in found if tally is not None]
    if len(tallies) < len(found):
        return None  # There were others, too: more than a channel remembers.
    queues: list[ClassicQueue] = []
    for tally in tallies:
        route = tally.route
        if route.may_be_refused or not route.queues or (publish.mandatory and not route.reaches_queue()):
            return None
        queues += route.queues
    return tallies if len(set(queues)) == len(queues) else None  # Keys that share a queue go in order.


def publish_keyed(channel: "Channel", run: PublishRun, routing_keys: list[str]) -> None:
    """Route the messages of ``run``, whose keys are ``routing_keys``, and append them to their queues.

    Raises what ``Channel.publish`` raises, after those before were published.
    """
    publish, shape, pieces = run.publish, run.shape, run.pieces
    broker, vhost = channel.broker, channel.connection.vhost
    exchange = channel.writable_exchange(publish)
    if not _goes_by_key(channel, exchange, routing_keys):
        for single in run.one_by_one():
            channel.publish_run(single)
        return
    found = find_queues_each(vhost.exchanges, exchange, routing_keys)
    ways = by_way(found, pieces)
    routes = {queues: broker.enqueuer.route_to(queues, vhost.topology_version) for queues in ways}
    for queues, group in ways.items():
        channel.tally(publish, exchange, routes[queues]).count += len(group)
    if any(each.may_be_refused or (publish.mandatory and not each.reaches_queue()) for each in routes.values()):
        for queues, single in zip(found, run.one_by_one(), strict=True):
            channel.enqueue(single.publish, routes[queues], single.shape, single.pieces)
        return
    for piece in ways.get((), ())[-UNROUTABLE_KEPT:]:
        broker.counters.note_unroutable(channel, publish, [piece], shape.routing_key_of(piece))
    channel.answer_for(len(pieces), enqueue_ways(broker.enqueuer, routes, ways, found, shape, pieces))


def _goes_by_key(channel: "Channel", exchange: Exchange, routing_keys: Sequence[str]) -> bool:
    """Whether nothing but its routing key decides what becomes of a message, and that at once."""
    vhost = channel.connection.vhost
    if channel.transaction is not None or channel.broker.firehose.is_on(vhost):
        return False
    try:
        channel.connection.access.check_topics("write", exchange, routing_keys)
    except AccessRefused:
        return False  # Those before the one that is refused are published.
    return vhost.looks_at(exchange) is LooksAt.KEY
