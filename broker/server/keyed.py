"""Publishes of a channel to one exchange by many routing keys: those that go the same way go together.

The outcome is that of one by one. Where something else than the key decides, or a message may come to another end than
its neighbours (refused, returned, traced, kept for a commit), they do go one by one. Spec: basic.publish.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.core.exchanges.exchange import Exchange
from broker.core.publish.keyed import Queues, by_way, by_way_of_keys, enqueue_ways
from broker.core.publish.routable import LooksAt
from broker.core.publish.routing import find_queues_each
from broker.server.counters import UNROUTABLE_KEPT
from protocol.errors import AccessRefused
from protocol.frames import PublishRun

if TYPE_CHECKING:
    from broker.server.channel import Channel


def publish_keyed(channel: "Channel", run: PublishRun, routing_keys: list[str]) -> None:
    """Route the messages of ``run``, whose keys are ``routing_keys``, and append them to their queues.

    Raises what ``Channel.publish`` raises, after those before were published.
    """
    publish, shape, pieces = run.publish, run.shape, run.pieces
    broker, vhost = channel.broker, channel.connection.vhost
    exchange = channel.writable_exchange(publish)
    groups = run.groups
    keys = routing_keys if groups is None else list(groups)
    if not _goes_by_key(channel, exchange, keys):
        for single in run.one_by_one():
            channel.publish(single)
        return
    found = find_queues_each(vhost.exchanges, exchange, keys)
    ways = None if groups is None else by_way_of_keys(found, groups)
    if ways is None:
        found, keys = _of_each(run, keys, found), routing_keys
        ways = by_way(found, pieces)
    routes = {queues: broker.enqueuer.route_to(queues, vhost.topology_version) for queues in ways}
    for queues, group in ways.items():
        channel.tally(publish, exchange, routes[queues]).count += len(group)
    if any(each.may_be_refused or (publish.mandatory and not each.reaches_queue()) for each in routes.values()):
        for queues, single in zip(_of_each(run, keys, found), run.one_by_one(), strict=True):
            channel.enqueue(single.publish, routes[queues], single.shape, single.pieces)
        return
    for piece in ways.get((), ())[-UNROUTABLE_KEPT:]:
        broker.counters.note_unroutable(channel, publish, [piece], shape.routing_key_of(piece))
    channel.answer_for(len(pieces), enqueue_ways(broker.enqueuer, routes, ways, found, shape, pieces))


def _of_each(run: PublishRun, keys: Sequence[str], found: Sequence[Queues]) -> Sequence[Queues]:
    """Return the way of each message of ``run``, where ``found`` are those of ``keys``."""
    if keys is run.routing_keys:
        return found
    by_key = dict(zip(keys, found, strict=True))
    return [by_key[routing_key] for routing_key in run.routing_keys or ()]


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
