"""basic.*: consume, cancel, get, qos, reject, nack, recover. Publish and ack come as runs, to the channel itself.

Ref: basic class; RabbitMQ: Consumers, Consumer Prefetch, Negative Acknowledgements.
"""

from collections.abc import Callable
from typing import Any, Final

from pamqp import commands

from broker.core.consumers import Consumer
from broker.core.names import ServerNames
from broker.core.publish.addressed import REPLY_TO
from broker.core.queues.reply import ReplyQueue
from broker.core.unacked import spread
from broker.server.channel import Channel
from broker.server.handlers.queue import named_queue, queue_to_read
from protocol.delivery import DeliveryWriter
from protocol.errors import NotAllowed, NotImplementedFault, PreconditionFailed


def basic_qos(channel: Channel, method: commands.Basic.Qos) -> None:
    """Set the prefetch of later consumers, or, with global, of all the channel's consumers together.

    A version that does not permit global takes it for the other without a word, as RabbitMQ does.
    """
    if method.prefetch_size:
        raise NotImplementedFault(f"prefetch_size!=0 ({method.prefetch_size})")
    if method.global_ and channel.broker.compat.permits("global_qos"):
        channel.limit_prefetch(method.prefetch_count)
    else:
        channel.prefetch = method.prefetch_count
    channel.reply(commands.Basic.QosOk())


def basic_consume(channel: Channel, method: commands.Basic.Consume) -> None:
    """Subscribe to a queue.

    Raises NotFound (404), ResourceLocked (405), NotAllowed (530) for a tag in use, and what the queue's
    ``check_consumer`` does.
    """
    connection = channel.connection
    name = named_queue(channel, method.queue)
    tag = method.consumer_tag or channel.new_consumer_tag()
    if tag in channel.consumers:
        raise NotAllowed(f"attempt to reuse consumer tag '{tag}'")
    if name == REPLY_TO:
        _consume_replies(channel, method, tag)
        return
    queue = queue_to_read(channel, name)
    arguments: dict[str, Any] = method.arguments or {}
    consumer = Consumer(
        tag,
        queue,
        channel,
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        prefetch=channel.prefetch,
        arguments=arguments,
        writer=DeliveryWriter(channel.number, tag, connection.frame_max),
    )
    queue.check_consumer(consumer, channel.global_prefetch)
    if not method.nowait:
        channel.reply(commands.Basic.ConsumeOk(consumer_tag=tag))
    channel.consume(consumer)


def _consume_replies(channel: Channel, method: commands.Basic.Consume, tag: str) -> None:
    """Subscribe to replies. RabbitMQ: Direct Reply-to."""
    if channel.reply_queue is not None:
        raise PreconditionFailed("reply consumer already set")
    if not method.no_ack:
        raise PreconditionFailed("reply consumer cannot acknowledge")
    if not method.nowait:
        channel.reply(commands.Basic.ConsumeOk(consumer_tag=tag))
    connection, broker = channel.connection, channel.broker
    queue = ReplyQueue(ServerNames(REPLY_TO + ".", broker.random).new(), connection.vhost.name, broker.queue_context)
    queue.has_room = connection.has_room_for_replies
    writer = DeliveryWriter(channel.number, tag, connection.frame_max)
    consumer = Consumer(tag, queue, channel, no_ack=True, exclusive=False, prefetch=0, arguments={}, writer=writer)
    queue.consumer = channel.consumers[tag] = consumer
    channel.reply_queue = queue
    connection.vhost.add_reply_queue(queue)


def basic_cancel(channel: Channel, method: commands.Basic.Cancel) -> None:
    """End a consumer; one that does not exist is no error."""
    channel.cancel(method.consumer_tag or "")
    if not method.nowait:
        channel.reply(commands.Basic.CancelOk(consumer_tag=method.consumer_tag))


def basic_get(channel: Channel, method: commands.Basic.Get) -> None:
    """Fetch one message. Raises AccessRefused (403), NotFound (404), ResourceLocked (405)."""
    channel.get(queue_to_read(channel, method.queue), method.no_ack)


def basic_reject(channel: Channel, method: commands.Basic.Reject) -> None:
    """Requeue or drop one delivery. Raises PreconditionFailed (406)."""
    channel.reject(method.delivery_tag or 0, multiple=False, requeue=method.requeue)


def basic_nack(channel: Channel, method: commands.Basic.Nack) -> None:
    """Requeue or drop one or more deliveries. Raises PreconditionFailed (406)."""
    channel.reject(method.delivery_tag or 0, multiple=method.multiple, requeue=method.requeue)


def basic_recover(channel: Channel, method: commands.Basic.Recover) -> None:
    """Requeue all that is unacked on the channel. Raises NotImplementedFault (540) without requeue."""
    _recover(channel, method.requeue)
    channel.reply(commands.Basic.RecoverOk())


def basic_recover_async(channel: Channel, method: commands.Basic.RecoverAsync) -> None:
    """As recover, without a reply. Raises NotImplementedFault (540) without requeue."""
    _recover(channel, method.requeue)


def _recover(channel: Channel, requeue: bool) -> None:
    if not requeue:
        raise NotImplementedFault("requeue=false")
    channel.requeue(list(spread(channel.unacked.take_all())))


HANDLERS: Final[dict[type, Callable[[Channel, Any], None]]] = {
    commands.Basic.Qos: basic_qos,
    commands.Basic.Consume: basic_consume,
    commands.Basic.Cancel: basic_cancel,
    commands.Basic.Get: basic_get,
    commands.Basic.Reject: basic_reject,
    commands.Basic.Nack: basic_nack,
    commands.Basic.Recover: basic_recover,
    commands.Basic.RecoverAsync: basic_recover_async,
}
