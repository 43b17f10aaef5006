"""The exchange types by name: the place where a new one is added. RabbitMQ: Exchanges, "Exchange Types"."""

from typing import Final

from broker.core.exchanges.consistent_hash import ConsistentHashExchange
from broker.core.exchanges.direct import DirectExchange
from broker.core.exchanges.exchange import Exchange
from broker.core.exchanges.fanout import FanoutExchange
from broker.core.exchanges.headers import HeadersExchange
from broker.core.exchanges.modulus_hash import ModulusHashExchange
from broker.core.exchanges.random_choice import RandomExchange
from broker.core.exchanges.topic import TopicExchange
from protocol.errors import CommandInvalid

EXCHANGE_TYPES: Final[dict[str, type[Exchange]]] = {
    exchange_type.type_name: exchange_type
    for exchange_type in (
        DirectExchange,
        FanoutExchange,
        TopicExchange,
        HeadersExchange,
        ConsistentHashExchange,
        ModulusHashExchange,
        RandomExchange,
    )
}


def exchange_type(name: str) -> type[Exchange]:
    """Return the class of a type by the name that clients use.

    Raises CommandInvalid (503, so the connection closes) for an unknown one, as RabbitMQ up to 3.13 does;
    4.x closes the channel only (406). Ref: exchange.declare, "type".
    """
    known = EXCHANGE_TYPES.get(name)
    if known is None:
        raise CommandInvalid(f"unknown exchange type '{name}'" if name else "invalid exchange type ''")
    return known
