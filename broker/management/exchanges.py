"""Exchanges: list, look at, declare, delete. RabbitMQ: HTTP API, ``/api/exchanges``."""

from typing import Any, Final

from broker.core.exchanges.exchange import Exchange
from broker.core.json_tables import table_of
from broker.core.names import stripped
from broker.core.vhosts import VirtualHost
from broker.management.call import CREATED, NO_CONTENT, Call, Empty, Listing, found, text_in, truth_in
from broker.management.describe import describe_exchange
from broker.management.errors import NotThere
from broker.management.routing import Row

DEFAULT: Final = "amq.default"
"""How paths name the default exchange."""


def exchange_name(name: str) -> str:
    """Return the name that a segment of a path means."""
    return "" if name == DEFAULT else stripped(name)


def named_exchange(call: Call) -> Exchange:
    """Return the exchange that the path names. Raises NotThere."""
    exchange: Exchange = found(call.vhost().exchanges.get(exchange_name(call["exchange"])))
    return exchange


def _listing(call: Call, vhosts: list[VirtualHost]) -> Listing:
    call.node.rates.ask()
    exchanges = [vhost.exchanges[name] for vhost in vhosts for name in sorted(vhost.exchanges)]
    return Listing(
        exchanges,
        lambda each: describe_exchange(call.node, call.broker.vhosts[each.vhost_name], each),
        keys=lambda each: {"name": each.name, "vhost": each.vhost_name},
    )


def list_exchanges(call: Call) -> Listing:
    return _listing(call, call.visible_vhosts())


def list_vhost_exchanges(call: Call) -> Listing:
    return _listing(call, [call.vhost()])


def get_exchange(call: Call) -> dict[str, Any]:
    exchange = named_exchange(call)
    call.node.rates.ask()
    return describe_exchange(call.node, call.vhost(), exchange) | {"incoming": [], "outgoing": []}


def put_exchange(call: Call) -> Empty:
    fields = call.fields()
    vhost, name = call.vhost(), exchange_name(call["exchange"])
    call.check_entry()
    was_there = name in vhost.exchanges
    vhost.declare_exchange(
        name,
        text_in(fields, "type", "direct"),
        durable=truth_in(fields, "durable"),
        auto_delete=truth_in(fields, "auto_delete"),
        internal=truth_in(fields, "internal"),
        arguments=table_of(fields.get("arguments")),
        access=call.access(),
    )
    return NO_CONTENT if was_there else CREATED


def delete_exchange(call: Call) -> Empty:
    vhost, name = call.vhost(), exchange_name(call["exchange"])
    if name not in vhost.exchanges:
        raise NotThere
    access = call.access()
    if access is not None:
        access.check("configure", "exchange", name)
    vhost.delete_exchange(name, if_unused=call.flag("if-unused"))
    return NO_CONTENT


ROWS: Final = (
    Row("GET", "/api/exchanges", list_exchanges, "All exchanges"),
    Row("GET", "/api/exchanges/{vhost}", list_vhost_exchanges, "Exchanges of a virtual host"),
    Row("GET", "/api/exchanges/{vhost}/{exchange}", get_exchange, "One exchange"),
    Row("PUT", "/api/exchanges/{vhost}/{exchange}", put_exchange, "Declare an exchange"),
    Row("DELETE", "/api/exchanges/{vhost}/{exchange}", delete_exchange, "Delete an exchange; if-unused=true"),
)
