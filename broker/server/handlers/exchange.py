"""exchange.*: declare, delete, bind, unbind. The rules are the virtual host's; here are replies and names.

A reply about something durable waits for the disk. Ref: exchange class; RabbitMQ: Exchange to Exchange Bindings.
"""

from collections.abc import Callable
from typing import Any, Final

from pamqp import commands
from pamqp.base import Frame

from broker.core.names import is_reserved, stripped
from broker.server.channel import Channel


def exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> None:
    """Make an exchange, or look whether it is there. Raises as ``VirtualHost.declare_exchange``."""
    connection = channel.connection
    exchange = connection.vhost.declare_exchange(
        stripped(method.exchange),
        method.exchange_type,
        passive=method.passive,
        durable=method.durable,
        auto_delete=method.auto_delete,
        internal=method.internal,
        arguments=method.arguments or {},
        access=connection.access,
    )
    _reply(channel, commands.Exchange.DeclareOk(), method.nowait, exchange.durable and not method.passive)


def exchange_delete(channel: Channel, method: commands.Exchange.Delete) -> None:
    """Delete an exchange; one that does not exist is no error. Raises as ``VirtualHost.delete_exchange``."""
    connection, name = channel.connection, stripped(method.exchange)
    if name and not is_reserved(name):  # These nobody may delete, whatever the permissions; the reply says so.
        connection.access.check("configure", "exchange", name)
    was_durable = connection.vhost.delete_exchange(name, if_unused=method.if_unused)
    _reply(channel, commands.Exchange.DeleteOk(), method.nowait, was_durable)


def exchange_bind(channel: Channel, method: commands.Exchange.Bind) -> None:
    """Bind an exchange to another. Raises as ``VirtualHost.bind_exchange``."""
    destination, source = _ends(channel, method)
    is_durable = channel.connection.vhost.bind_exchange(destination, source, method.routing_key, method.arguments or {})
    _reply(channel, commands.Exchange.BindOk(), method.nowait, is_durable)


def exchange_unbind(channel: Channel, method: commands.Exchange.Unbind) -> None:
    """Remove a binding between exchanges. Raises as ``VirtualHost.unbind_exchange``."""
    destination, source = _ends(channel, method)
    was_durable = channel.connection.vhost.unbind_exchange(
        destination, source, method.routing_key, method.arguments or {}
    )
    _reply(channel, commands.Exchange.UnbindOk(), method.nowait, was_durable)


def _ends(channel: Channel, method: commands.Exchange.Bind | commands.Exchange.Unbind) -> tuple[str, str]:
    """Return destination and source of a binding that the user may make and remove. Raises AccessRefused (403)."""
    connection = channel.connection
    destination, source = stripped(method.destination), stripped(method.source)
    connection.access.check_binding("exchange", destination, source, connection.vhost.exchanges, method.routing_key)
    return destination, source


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
