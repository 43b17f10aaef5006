"""The exchange types by the names that clients use; types.py fills it. RabbitMQ: Exchanges, "Exchange Types"."""

from typing import Final

from broker.core.exchanges.exchange import Exchange
from protocol.errors import AmqpError, CommandInvalid

EXCHANGE_TYPES: Final[dict[str, type[Exchange]]] = {}


def exchange_type(name: str, refusal: type[AmqpError] = CommandInvalid) -> type[Exchange]:
    """Return the class of a type by the name that clients use.

    Raises ``refusal`` for an unknown one: 503, so the connection closes, as RabbitMQ up to 3.13 does, or else
    406, which closes the channel only, as 4.x. Ref: exchange.declare, "type".
    """
    known = EXCHANGE_TYPES.get(name)
    if known is None:
        raise refusal(f"unknown exchange type '{name}'" if name else "invalid exchange type ''")
    return known
