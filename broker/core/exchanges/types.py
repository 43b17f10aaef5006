"""The exchange types: the place where a new one is added. RabbitMQ: Exchanges, "Exchange Types"."""

from broker.core.exchanges.consistent_hash import ConsistentHashExchange
from broker.core.exchanges.delayed import DelayedExchange
from broker.core.exchanges.direct import DirectExchange
from broker.core.exchanges.fanout import FanoutExchange
from broker.core.exchanges.headers import HeadersExchange
from broker.core.exchanges.modulus_hash import ModulusHashExchange
from broker.core.exchanges.random_choice import RandomExchange
from broker.core.exchanges.recent_history import RecentHistoryExchange
from broker.core.exchanges.registry import EXCHANGE_TYPES, exchange_type
from broker.core.exchanges.topic import TopicExchange

for _each in (
    DirectExchange,
    FanoutExchange,
    TopicExchange,
    HeadersExchange,
    ConsistentHashExchange,
    ModulusHashExchange,
    RandomExchange,
    RecentHistoryExchange,
    DelayedExchange,
):
    EXCHANGE_TYPES[_each.type_name] = _each

__all__ = ["EXCHANGE_TYPES", "exchange_type"]
