"""Exchanges bound to exchanges, and alternate exchanges. RabbitMQ: e2e, ae."""

from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker, UnroutableError

from tests.clients.names import Names
from tests.clients.waiting import wait_ready


def declared(channel: Any, names: Names, kind: str, **properties: Any) -> str:
    exchange = names.exchange(kind)
    channel.exchange_declare(exchange, exchange_type=kind, **properties)
    return exchange


def test_message_travels_along_bound_exchanges(channel: Any, names: Names) -> None:
    source, destination = declared(channel, names, "topic"), declared(channel, names, "direct")
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.exchange_bind(destination, source, routing_key="orders.#")
    channel.queue_bind(queue, destination, routing_key="orders.new")
    for key in ("orders.new", "orders.old", "invoices.new"):
        channel.basic_publish(source, key, key.encode())
    channel.basic_publish("", queue, b"behind them")
    wait_ready(channel, queue, 2)
    method, _properties, body = channel.basic_get(queue, auto_ack=True)
    assert (method.exchange, method.routing_key, body) == (source, "orders.new", b"orders.new")


def test_unbound_exchange_gets_nothing_more(channel: Any, names: Names) -> None:
    source, destination = declared(channel, names, "fanout"), declared(channel, names, "fanout")
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, destination)
    channel.exchange_bind(destination, source)
    channel.basic_publish(source, "", b"arrives")
    channel.exchange_unbind(destination, source)
    channel.basic_publish(source, "", b"does not")
    channel.basic_publish("", queue, b"behind it")
    wait_ready(channel, queue, 2)


def test_queue_behind_a_circle_and_two_paths_gets_one_copy(channel: Any, names: Names) -> None:
    first, second, third = (declared(channel, names, "fanout") for _ in range(3))
    queue = channel.queue_declare("", exclusive=True).method.queue
    for source, destination in ((first, second), (second, third), (third, first), (first, first)):
        channel.exchange_bind(destination, source)
    for exchange in (first, second, third):
        channel.queue_bind(queue, exchange)
    channel.basic_publish(first, "", b"once")
    channel.basic_publish("", queue, b"behind it")
    wait_ready(channel, queue, 2)


def test_binding_a_missing_exchange_is_not_found(connection: Any, names: Names) -> None:
    missing = names.exchange("missing")
    there = declared(connection.channel(), names, "fanout")
    for destination, source in ((missing, there), (there, missing)):
        with pytest.raises(ChannelClosedByBroker) as closed:
            connection.channel().exchange_bind(destination, source)
        assert closed.value.reply_code == 404
        assert closed.value.reply_text == f"NOT_FOUND - no exchange '{missing}' in vhost '/'"


def test_unroutable_message_goes_to_the_alternate_exchange(channel: Any, names: Names) -> None:
    alternate = declared(channel, names, "fanout")
    main = declared(channel, names, "direct", arguments={"alternate-exchange": alternate})
    routed, strays = (channel.queue_declare("", exclusive=True).method.queue for _ in range(2))
    channel.queue_bind(routed, main, routing_key="known")
    channel.queue_bind(strays, alternate)
    channel.confirm_delivery()
    for key in ("known", "unknown"):
        channel.basic_publish(main, key, key.encode(), mandatory=True)
    assert [channel.basic_get(routed, auto_ack=True)[2] for _ in range(2)] == [b"known", None]
    method, _properties, body = channel.basic_get(strays, auto_ack=True)
    assert (method.exchange, method.routing_key, body) == (main, "unknown", b"unknown")


def test_message_that_even_the_alternate_exchange_cannot_route_is_returned(channel: Any, names: Names) -> None:
    alternate = declared(channel, names, "direct")
    main = declared(channel, names, "direct", arguments={"alternate-exchange": alternate})
    channel.confirm_delivery()
    with pytest.raises(UnroutableError):
        channel.basic_publish(main, "unknown", b"returned", mandatory=True)


def test_auto_delete_exchange_goes_with_its_last_exchange_binding(connection: Any, names: Names) -> None:
    channel = connection.channel()
    source = declared(channel, names, "fanout", auto_delete=True)
    destination = declared(channel, names, "fanout")
    channel.exchange_bind(destination, source)
    channel.exchange_delete(destination)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.exchange_declare(source, passive=True)
    assert closed.value.reply_code == 404
