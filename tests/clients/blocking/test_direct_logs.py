"""Routing by equal keys through a direct exchange. RabbitMQ: tutorials, four."""

from collections.abc import Callable
from typing import Any

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump, wait_ready


def test_subscriber_gets_only_the_severities_it_asked_for(connect: Callable[..., Any], names: Names) -> None:
    logs = names.exchange("direct_logs")
    publisher = connect().channel()
    publisher.exchange_declare(logs, exchange_type="direct")
    wanted = {"disk": ["error"], "screen": ["info", "warning", "error"]}
    inboxes: dict[str, Inbox] = {}
    connections = []
    for subscriber, severities in wanted.items():
        channel = connect().channel()
        connections.append(channel.connection)
        queue = channel.queue_declare("", exclusive=True).method.queue
        for severity in severities:
            channel.queue_bind(queue, logs, routing_key=severity)
        inboxes[subscriber] = Inbox()
        channel.basic_consume(queue, inboxes[subscriber], auto_ack=True)
    for severity in ("info", "debug", "error", "warning", "error"):
        publisher.basic_publish(logs, severity, severity.encode())
    pump(*connections, until=lambda: len(inboxes["disk"]) == 2 and len(inboxes["screen"]) == 4)
    assert inboxes["disk"].bodies == [b"error", b"error"]
    assert inboxes["screen"].bodies == [b"info", b"error", b"warning", b"error"]
    assert [it.method.routing_key for it in inboxes["screen"]] == ["info", "error", "warning", "error"]


def test_two_queues_bound_with_one_key_both_get_the_message(channel: Any, names: Names) -> None:
    exchange = names.exchange("direct")
    channel.exchange_declare(exchange, exchange_type="direct")
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(2)]
    for queue in queues:
        channel.queue_bind(queue, exchange, routing_key="black")
    channel.basic_publish(exchange, "black", b"to both")
    for queue in queues:
        wait_ready(channel, queue, 1)


def test_queue_gets_a_message_once_however_many_bindings_match(channel: Any, names: Names) -> None:
    exchange = names.exchange("direct")
    channel.exchange_declare(exchange, exchange_type="direct")
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, exchange, routing_key="black")
    channel.queue_bind(queue, exchange, routing_key="black")
    channel.queue_bind(queue, exchange, routing_key="black", arguments={"another": "binding"})
    channel.basic_publish(exchange, "black", b"once")
    channel.basic_publish(exchange, "black", b"once more")
    wait_ready(channel, queue, 2)
    channel.queue_unbind(queue, exchange, routing_key="black")
    channel.basic_publish(exchange, "black", b"by the other binding")
    wait_ready(channel, queue, 3)
    channel.queue_unbind(queue, exchange, routing_key="black", arguments={"another": "binding"})
    channel.basic_publish(exchange, "black", b"by none")
    channel.basic_publish("", queue, b"behind it")
    wait_ready(channel, queue, 4)


def test_predeclared_amq_direct_routes(channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "amq.direct", routing_key=queue)
    channel.basic_publish("amq.direct", queue, b"by amq.direct")
    wait_ready(channel, queue, 1)


def test_keys_differ_by_case_and_blanks(channel: Any, names: Names) -> None:
    exchange = names.exchange("direct")
    channel.exchange_declare(exchange, exchange_type="direct")
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, exchange, routing_key="Error")
    for key in ("error", "ERROR", "Error ", " Error", "Erro", "Error"):
        channel.basic_publish(exchange, key, key.encode())
    channel.basic_publish("", queue, b"behind them")
    wait_ready(channel, queue, 2)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"Error"
