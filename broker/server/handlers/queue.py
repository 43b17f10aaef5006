"""queue.*: declare, bind, unbind, purge, delete. The rules are the virtual host's; here are replies and names.

A reply about something durable waits for the disk. The empty name stands for the queue that was declared last on
the channel. Ref: queue class; RabbitMQ: Queues.
"""

from collections.abc import Callable
from typing import Any, Final

from pamqp import commands
from pamqp.base import Frame

from broker.core.names import stripped
from broker.core.publish.addressed import REPLY_TO
from broker.core.queues.classic import ClassicQueue
from broker.server.channel import Channel
from protocol.errors import NotFound
from protocol.methods import QueueDeclareOk


def named_queue(channel: Channel, name: str) -> str:
    """Return the queue that a method means, by name or, for "", the one declared last on the channel.

    Raises NotFound (404) where none was declared. Ref: queue.bind, "queue".
    """
    if name:
        return stripped(name)
    if not channel.last_queue:
        raise NotFound("no previously declared queue")
    return channel.last_queue


def queue_to_read(channel: Channel, name: str) -> ClassicQueue:
    """Return the queue that a method means, which the user may read from.

    Raises AccessRefused (403) whether there is one or not, NotFound (404), ResourceLocked (405).
    """
    connection, name = channel.connection, named_queue(channel, name)
    connection.access.check("read", "queue", name)
    return connection.vhost.queue_for(name, connection)


def queue_declare(channel: Channel, method: commands.Queue.Declare) -> None:
    """Make a queue, or look whether it is there. Raises as ``VirtualHost.declare_queue``."""
    connection = channel.connection
    if method.queue.startswith(REPLY_TO) and connection.vhost.has_replies(method.queue):
        _reply(channel, QueueDeclareOk(queue=method.queue, message_count=0, consumer_count=1), False)
        return
    properties = {"durable": method.durable, "exclusive": method.exclusive, "auto_delete": method.auto_delete}
    queue = connection.vhost.declare_queue(
        stripped(method.queue),
        owner=connection,
        passive=method.passive,
        arguments=connection.vhost.metadata.with_default_type(method.arguments or {}, **properties),
        access=connection.access,
        **properties,
    )
    channel.last_queue = queue.name
    if not method.passive:
        channel.broker.counters.queues_declared += 1
    if not method.nowait:
        counts = {"message_count": queue.message_count, "consumer_count": queue.consumer_count}
        _reply(channel, QueueDeclareOk(queue=queue.name, **counts), queue.durable and not method.passive)


def queue_bind(channel: Channel, method: commands.Queue.Bind) -> None:
    """Bind a queue. Raises as ``VirtualHost.bind_queue``."""
    connection = channel.connection
    queue, exchange, routing_key = _ends(channel, method)
    arguments = method.arguments or {}
    is_durable = connection.vhost.bind_queue(queue, exchange, routing_key, arguments, owner=connection)
    if not method.nowait:
        _reply(channel, commands.Queue.BindOk(), is_durable)


def queue_unbind(channel: Channel, method: commands.Queue.Unbind) -> None:
    """Remove a queue's binding. Raises as ``VirtualHost.unbind_queue``."""
    connection = channel.connection
    queue, exchange, routing_key = _ends(channel, method)
    arguments = method.arguments or {}
    was_durable = connection.vhost.unbind_queue(queue, exchange, routing_key, arguments, owner=connection)
    _reply(channel, commands.Queue.UnbindOk(), was_durable)


def queue_purge(channel: Channel, method: commands.Queue.Purge) -> None:
    """Drop a queue's ready messages. Raises as ``queue_to_read``. Ref: queue.purge."""
    count = queue_to_read(channel, method.queue).purge()
    if not method.nowait:
        channel.reply(commands.Queue.PurgeOk(message_count=count))


def queue_delete(channel: Channel, method: commands.Queue.Delete) -> None:
    """Delete a queue; one that does not exist is no error. Raises as ``VirtualHost.delete_queue``.

    On this channel the reply comes before the consumers' cancellations, as in RabbitMQ.
    """
    connection, name = channel.connection, named_queue(channel, method.queue)
    connection.access.check("configure", "queue", name)
    deleted = connection.vhost.delete_queue(
        name, owner=connection, if_unused=method.if_unused, if_empty=method.if_empty
    )
    if not method.nowait:
        _reply(channel, commands.Queue.DeleteOk(message_count=deleted.message_count), deleted.is_durable)
    for consumer in deleted.consumers:
        consumer.cancelled()


def _ends(channel: Channel, method: commands.Queue.Bind | commands.Queue.Unbind) -> tuple[str, str, str]:
    """Return queue, exchange and routing key of a binding; where queue and key are empty, the key is its name.

    Raises AccessRefused (403) where the user may not make and remove it.
    """
    connection, queue = channel.connection, named_queue(channel, method.queue)
    exchange = stripped(method.exchange)
    routing_key = method.routing_key or (queue if not method.queue else "")
    connection.access.check_binding("queue", queue, exchange, connection.vhost.exchanges, routing_key)
    return queue, exchange, routing_key


def _reply(channel: Channel, method: Frame, is_durable: bool) -> None:
    if is_durable:
        channel.reply_when_durable(method)
    else:
        channel.reply(method)


HANDLERS: Final[dict[type, Callable[[Channel, Any], None]]] = {
    commands.Queue.Declare: queue_declare,
    commands.Queue.Bind: queue_bind,
    commands.Queue.Unbind: queue_unbind,
    commands.Queue.Purge: queue_purge,
    commands.Queue.Delete: queue_delete,
}
