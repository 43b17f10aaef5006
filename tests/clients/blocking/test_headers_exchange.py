"""Headers exchanges: the arguments of a binding against the headers of a message. RabbitMQ: exchanges."""

from typing import Any

import pika
import pytest

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump

MESSAGES: dict[str, dict[str, Any] | None] = {
    "no headers": None,
    "pdf": {"format": "pdf"},
    "report": {"type": "report"},
    "pdf report": {"format": "pdf", "type": "report", "more": True},
    "pdf log": {"format": "pdf", "type": "log"},
    "number": {"pages": 3},
    "text number": {"pages": "3"},
    "x-priority pdf": {"format": "pdf", "x-kind": "draft"},
}


@pytest.mark.parametrize(
    ("arguments", "matching"),
    [
        ({"x-match": "all", "format": "pdf", "type": "report"}, {"pdf report"}),
        ({"format": "pdf", "type": "report"}, {"pdf report"}),
        (
            {"x-match": "any", "format": "pdf", "type": "report"},
            {"pdf", "report", "pdf report", "pdf log", "x-priority pdf"},
        ),
        ({"x-match": "all", "format": None}, {"pdf", "pdf report", "pdf log", "x-priority pdf"}),
        ({"pages": 3}, {"number"}),
        ({"pages": "3"}, {"text number"}),
        (
            {"x-match": "all", "format": "pdf", "x-kind": "final"},
            {"pdf", "pdf report", "pdf log", "x-priority pdf"},
        ),
        ({"x-match": "all-with-x", "format": "pdf", "x-kind": "draft"}, {"x-priority pdf"}),
        ({"x-match": "any-with-x", "x-kind": "draft", "type": "log"}, {"pdf log", "x-priority pdf"}),
        ({"x-match": "all"}, set(MESSAGES)),
        ({}, set(MESSAGES)),
        ({"x-match": "any"}, set()),
    ],
    ids=str,
)
def test_binding_matches_by_its_arguments(
    arguments: dict[str, Any], matching: set[str], channel: Any, names: Names
) -> None:
    exchange = names.exchange("headers")
    channel.exchange_declare(exchange, exchange_type="headers")
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, exchange, routing_key="is ignored", arguments=arguments)
    for name, headers in MESSAGES.items():
        channel.basic_publish(exchange, name, name.encode(), pika.BasicProperties(headers=headers))
    channel.basic_publish("", queue, b"behind them")
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: b"behind them" in inbox.bodies)
    assert {body.decode() for body in inbox.bodies[:-1]} == matching
    assert len(inbox) == len(matching) + 1


def test_predeclared_amq_headers_and_amq_match_route(channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    for exchange in ("amq.headers", "amq.match"):
        channel.queue_bind(queue, exchange, arguments={"for": queue})
        channel.basic_publish(exchange, "", exchange.encode(), pika.BasicProperties(headers={"for": queue}))
    inbox = Inbox()
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: len(inbox) == 2)
    assert inbox.bodies == [b"amq.headers", b"amq.match"]
