"""Publishes of a channel whose headers matter: where they go, whom a reply goes to, or what the firehose copies.

RabbitMQ: Sender-selected Distribution, Direct Reply-to, Firehose Tracer.
"""

from typing import TYPE_CHECKING

from broker.core.publish.addressed import Addressed
from broker.core.publish.routable import LooksAt
from broker.server.firehose import origin_of
from protocol.runs import PublishRun

if TYPE_CHECKING:
    from broker.server.channel import Channel


def publish_by_headers(channel: "Channel", run: PublishRun) -> None:
    """Publish each message of ``run`` by itself, unless it has one header and goes one way.

    Raises what ``Channel.publish`` raises, after those before were published.
    """
    publish, shape, connection, broker = run.publish, run.shape, channel.connection, channel.broker
    vhost, firehose = connection.vhost, broker.firehose
    exchange = channel.exchange_to_publish(publish)
    reply_queue = channel.reply_queue_of(shape)
    is_one = shape.lead and vhost.looks_at(exchange) is not LooksAt.MESSAGE
    for pieces in [run.pieces] if is_one else [[piece] for piece in run.pieces]:
        addressed = Addressed(shape, pieces, publish.routing_key)
        if reply_queue is not None:
            addressed.replace_reply_to(reply_queue.name)
        connection.access.check_topics("write", exchange, addressed.routing_keys)
        queues = vhost.route_message(exchange, addressed)
        route = broker.enqueuer.route_to(queues, vhost.topology_version)
        if addressed.blind_copies is not None and route.is_routed_again():
            addressed.put_blind_copies_back()
        if firehose.is_on(vhost):
            firehose.published(origin_of(channel), addressed.shape, addressed.pieces, addressed.routing_keys, queues)
        channel.tally(publish, exchange, route).count += len(addressed.pieces)
        channel.enqueue(publish, route, addressed.shape, addressed.pieces)
