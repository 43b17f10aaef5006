"""From an exchange to queues: through bound exchanges, and alternate exchanges where nothing matched.

Each exchange on the way is asked once, so cycles end; each queue is found once, however many ways lead to it.
RabbitMQ: Exchange to Exchange Bindings, Alternate Exchanges.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from broker.core.bindings import Destination
from broker.core.exchanges.exchange import Exchange
from broker.core.publish.routable import Routable
from broker.core.queues.classic import ClassicQueue


def find_queues(exchanges: Mapping[str, Exchange], first: Exchange, message: Routable) -> list[ClassicQueue]:
    """Return the queues for a message, in an order that depends on the bindings alone: nearest exchange first."""
    found: dict[ClassicQueue, None] = {}
    seen = {first}
    waiting = deque(seen)
    while waiting:
        exchange = waiting.popleft()
        matched = exchange.match_message(message)
        if exchange.observer is not None:
            found[exchange.observer] = None
        if not exchange.fed_exchange_count:
            found.update(dict.fromkeys(cast(list[ClassicQueue], matched)))
        for destination in matched if exchange.fed_exchange_count else ():
            if not isinstance(destination, Exchange):
                found[destination] = None
            elif destination not in seen:
                seen.add(destination)
                waiting.append(destination)
        if not matched:
            alternate = alternate_of(exchanges, exchange)
            if alternate is not None and alternate not in seen:
                seen.add(alternate)
                waiting.append(alternate)
    return list(found)


def find_queues_each(
    exchanges: Mapping[str, Exchange], first: Exchange, routing_keys: Sequence[str]
) -> Sequence[tuple[ClassicQueue, ...]]:
    """Return for each of these keys what ``find_queues`` finds, where keys are all that exchanges look at."""
    is_direct = first.fed_exchange_count == 0 and first.observer is None
    if is_direct:
        matched = cast(Sequence[tuple[ClassicQueue, ...]], first.match_each(routing_keys))
        if not first.alternate or all(matched):
            return matched
    found: dict[str, tuple[ClassicQueue, ...]] = {}
    for routing_key in routing_keys:
        if routing_key not in found:
            found[routing_key] = tuple(find_queues(exchanges, first, Routable((routing_key,))))
    return [found[routing_key] for routing_key in routing_keys]


def alternate_of(exchanges: Mapping[str, Exchange], exchange: Exchange) -> Exchange | None:
    """Return the exchange that takes what ``exchange`` cannot route; it may be named before it is declared.

    The default exchange is nobody's alternate, as in RabbitMQ 3.
    """
    return exchanges.get(exchange.alternate) if exchange.alternate else None


def reachable(exchanges: Mapping[str, Exchange], first: Exchange) -> Iterator[Exchange]:
    """Yield ``first`` and every exchange that a message published to it may come to."""
    seen = {first}
    waiting = [first]
    while waiting:
        exchange = waiting.pop()
        yield exchange
        onward: list[Destination] = []
        if exchange.fed_exchange_count:
            onward += (binding.destination for binding in exchange.bindings.values())
        alternate = alternate_of(exchanges, exchange)
        if alternate is not None:
            onward.append(alternate)
        for destination in onward:
            if isinstance(destination, Exchange) and destination not in seen:
                seen.add(destination)
                waiting.append(destination)
