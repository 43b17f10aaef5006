"""exchange.*: declare, delete, bind, unbind. The rules are the virtual host's; here are replies and names.

A reply about something durable waits for the disk. Ref: exchange class; RabbitMQ: Exchange to Exchange Bindings.
"""

from collections.abc import Callable
from typing import Any, Final

from pamqp import commands
from pamqp.base import Frame

from broker.core.names import stripped
from broker.server.channel import Channel


def exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> None:
    """Make an exchange, or look whether it is there. Raises as ``VirtualHost.declare_exchange``."""
    exchange = channel.connection.vhost.declare_exchange(
        stripped(method.exchange),
        method.exchange_type,
        passive=method.passive,
        durable=method.durable,
        auto_delete=method.auto_delete,
        internal=method.internal,
        arguments=method.arguments or {},
    )
    _reply(channel, commands.Exchange.DeclareOk(), method.nowait, exchange.durable and not method.passive)


def exchange_delete(channel: Channel, method: commands.Exchange.Delete) -> None:
    """Delete an exchange; one that does not exist is no error. Raises as ``VirtualHost.delete_exchange``."""
    was_durable = channel.connection.vhost.delete_exchange(stripped(method.exchange), if_unused=method.if_unused)
    _reply(channel, commands.Exchange.DeleteOk(), method.nowait, was_durable)


def exchange_bind(channel: Channel, method: commands.Exchange.Bind) -> None:
    """Bind an exchange to another. Raises as ``VirtualHost.bind_exchange``."""
    is_durable = channel.connection.vhost.bind_exchange(
        stripped(method.destination), stripped(method.source), method.routing_key, method.arguments or {}
    )
    _reply(channel, commands.Exchange.BindOk(), method.nowait, is_durable)


def exchange_unbind(channel: Channel, method: commands.Exchange.Unbind) -> None:
    """Remove a binding between exchanges. Raises as ``VirtualHost.unbind_exchange``."""
    was_durable = channel.connection.vhost.unbind_exchange(
        stripped(method.destination), stripped(method.source), method.routing_key, method.arguments or {}
    )
    _reply(channel, commands.Exchange.UnbindOk(), method.nowait, was_durable)


def _reply(channel: Channel, method: Frame, nowait: bool, is_durable: bool) -> None:
    if nowait:
        return
    if is_durable:
        channel.reply_when_durable(method)
    else:
        channel.reply(method)


HANDLERS: Final[dict[type, Callable[[Channel, Any], None]]] = {
    commands.Exchange.Declare: exchange_declare,
    commands.Exchange.Delete: exchange_delete,
    commands.Exchange.Bind: exchange_bind,
    commands.Exchange.Unbind: exchange_unbind,
}
