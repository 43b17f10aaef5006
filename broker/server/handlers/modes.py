"""confirm.* and tx.*: the two modes of a channel, of which it can have one.

RabbitMQ: Publisher Confirms; Broker Semantics; ref: tx class.
"""

from collections.abc import Callable
from typing import Any, Final

from pamqp import commands

from broker.server.channel import Channel
from broker.server.transaction import Transaction
from protocol.errors import PreconditionFailed


def confirm_select(channel: Channel, method: commands.Confirm.Select) -> None:
    """Confirm publishes from now on. Raises PreconditionFailed (406) on a transactional channel."""
    if channel.transaction is not None:
        raise PreconditionFailed("cannot switch from tx to confirm mode")
    channel.is_confirming = True
    if not method.nowait:
        channel.reply(commands.Confirm.SelectOk())


def tx_select(channel: Channel, method: commands.Tx.Select) -> None:
    """Make the channel transactional. Raises PreconditionFailed (406) on a confirming channel."""
    if channel.is_confirming:
        raise PreconditionFailed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
    channel.reply(commands.Tx.SelectOk())


def tx_commit(channel: Channel, method: commands.Tx.Commit) -> None:
    """Do what the transaction holds; the reply waits for the disk. Raises PreconditionFailed (406) without one."""
    if _transaction(channel).commit():
        channel.reply_when_durable(commands.Tx.CommitOk())
    else:
        channel.reply(commands.Tx.CommitOk())


def tx_rollback(channel: Channel, method: commands.Tx.Rollback) -> None:
    """Undo what the transaction holds. Raises PreconditionFailed (406) without one."""
    _transaction(channel).rollback()
    channel.reply(commands.Tx.RollbackOk())


def _transaction(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise PreconditionFailed("channel is not transactional")
    return channel.transaction


HANDLERS: Final[dict[type, Callable[[Channel, Any], None]]] = {
    commands.Confirm.Select: confirm_select,
    commands.Tx.Select: tx_select,
    commands.Tx.Commit: tx_commit,
    commands.Tx.Rollback: tx_rollback,
}
