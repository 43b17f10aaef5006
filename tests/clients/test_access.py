"""What users may do, seen by clients: each refusal with RabbitMQ's code and text, and in its order.

The texts were taken from RabbitMQ 3.10.8 by the same calls.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pika
import pika.exceptions
import pytest

from tests.nodes import RunningNode

USER, VHOST = "ann", "shop"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with a user whose three rights are for names that begin with c, w and r, or with a for all of them."""
    with RunningNode(tmp_path_factory.mktemp("access") / "data") as node:
        node.control(lambda access: access.add_vhost(VHOST, creator="guest"))
        node.control(lambda access: access.users.add(USER, "secret"))
        permit(node, "^(c|a)", "^(w|a)", "^(r|a)")
        connection = node.connect(vhost=VHOST)
        channel = connection.channel()
        for name in ("c1", "w1", "r1", "n1", "a1"):
            channel.queue_declare(name)
            channel.exchange_declare(name, "topic")
        channel.exchange_declare("n1i", "topic", internal=True)
        channel.exchange_declare("w1i", "topic", internal=True)
        connection.close()
        yield node


def permit(node: RunningNode, configure: str, write: str, read: str) -> None:
    node.control(lambda access: access.set_permission(VHOST, USER, configure=configure, write=write, read=read))


@pytest.fixture
def connection(node: RunningNode) -> Iterator[pika.BlockingConnection]:
    connection = node.connect(USER, "secret", VHOST)
    yield connection
    if connection.is_open:
        connection.close()


def outcome(connection: pika.BlockingConnection, action: Callable[[Any], Any]) -> str:
    """Return "ok", or the code and text that a channel, or else the connection, is closed with by ``action``."""
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        action(channel)
    except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker) as closed:
        return f"{closed.reply_code} {closed.reply_text.partition(' - ')[2]}"
    channel.close()
    return "ok"


def refused(what: str) -> str:
    return f"403 access to {what} in vhost '{VHOST}' refused for user '{USER}'"


def dlx(exchange: Any) -> dict[str, Any]:
    return {"x-dead-letter-exchange": exchange}


def alternate(exchange: Any) -> dict[str, Any]:
    return {"alternate-exchange": exchange}


DEFAULT = "403 operation not permitted on the default exchange"

CASES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "declare a queue": (lambda ch: ch.queue_declare("x1"), refused("queue 'x1'")),
    "declare again": (lambda ch: ch.queue_declare("n1"), refused("queue 'n1'")),
    "look for a queue that is missing": (
        lambda ch: ch.queue_declare("x1", passive=True),
        f"404 no queue 'x1' in vhost '{VHOST}'",
    ),
    "look for a queue": (lambda ch: ch.queue_declare("n1", passive=True), "ok"),
    "reserved before permission": (
        lambda ch: ch.queue_declare("amq.x"),
        "403 queue name 'amq.x' contains reserved prefix 'amq.*'",
    ),
    "server-named": (lambda ch: ch.queue_declare("", exclusive=True), "ok"),
    "permission before arguments": (
        lambda ch: ch.queue_declare("x1", arguments={"x-message-ttl": "z"}),
        refused("queue 'x1'"),
    ),
    "dead letters, no read": (lambda ch: ch.queue_declare("c9", arguments=dlx("w1")), refused("queue 'c9'")),
    "dead letters, no write": (lambda ch: ch.queue_declare("a9", arguments=dlx("n1")), refused("exchange 'n1'")),
    "dead letters, default exchange": (
        lambda ch: ch.queue_declare("a9", exclusive=True, arguments=dlx("")),
        "ok",
    ),
    "dead letters' type before permission": (
        lambda ch: ch.queue_declare("c9", arguments=dlx(1)),
        f"406 invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'c9' in vhost '{VHOST}'",
    ),
    "dead letters' permission before other arguments": (
        lambda ch: ch.queue_declare("c9", arguments=dlx("w1") | {"x-message-ttl": "z"}),
        refused("queue 'c9'"),
    ),
    "dead letters of a queue that is there": (
        lambda ch: ch.queue_declare("c1", arguments=dlx("n1")),
        f"406 inequivalent arg 'x-dead-letter-exchange' for queue 'c1' in vhost '{VHOST}': "
        "received the value 'n1' of type 'longstr' but current is none",
    ),
    "declare an exchange": (lambda ch: ch.exchange_declare("x1"), refused("exchange 'x1'")),
    "declare an exchange again": (lambda ch: ch.exchange_declare("n1", "topic"), refused("exchange 'n1'")),
    "look for an exchange": (lambda ch: ch.exchange_declare("n1", passive=True), "ok"),
    "declare the default exchange": (lambda ch: ch.exchange_declare(""), DEFAULT),
    "declare a reserved exchange": (
        lambda ch: ch.exchange_declare("amq.x"),
        "403 exchange name 'amq.x' contains reserved prefix 'amq.*'",
    ),
    "alternate, no read": (lambda ch: ch.exchange_declare("c9", arguments=alternate("w1")), refused("exchange 'c9'")),
    "alternate, no write": (lambda ch: ch.exchange_declare("a9", arguments=alternate("n1")), refused("exchange 'n1'")),
    "delete an exchange": (lambda ch: ch.exchange_delete("n1"), refused("exchange 'n1'")),
    "delete an exchange that is missing": (lambda ch: ch.exchange_delete("nn"), refused("exchange 'nn'")),
    "delete the default exchange": (lambda ch: ch.exchange_delete(""), DEFAULT),
    "delete a system exchange": (
        lambda ch: ch.exchange_delete("amq.direct"),
        f"403 deletion of system exchange 'amq.direct' in vhost '{VHOST}' not allowed",
    ),
    "delete a queue": (lambda ch: ch.queue_delete("n1"), refused("queue 'n1'")),
    "delete a queue that is missing": (lambda ch: ch.queue_delete("nn"), refused("queue 'nn'")),
    "purge": (lambda ch: ch.queue_purge("n1"), refused("queue 'n1'")),
    "purge what is missing": (lambda ch: ch.queue_purge("nn"), refused("queue 'nn'")),
    "get": (lambda ch: ch.basic_get("n1"), refused("queue 'n1'")),
    "get from what is missing": (lambda ch: ch.basic_get("nn"), refused("queue 'nn'")),
    "consume": (lambda ch: ch.basic_consume("n1", print), refused("queue 'n1'")),
    "consume what is missing": (lambda ch: ch.basic_consume("nn", print), refused("queue 'nn'")),
    "consume and get": (lambda ch: (ch.basic_consume("r1", print), ch.basic_get("r1")), "ok"),
    "bind, no write on the queue": (lambda ch: ch.queue_bind("n1", "r1", "k"), refused("queue 'n1'")),
    "bind, no read on the exchange": (lambda ch: ch.queue_bind("w1", "n1", "k"), refused("exchange 'n1'")),
    "bind what is missing": (lambda ch: ch.queue_bind("nn", "nn", "k"), refused("queue 'nn'")),
    "bind to what is missing": (lambda ch: ch.queue_bind("w1", "nn", "k"), refused("exchange 'nn'")),
    "bind to the default exchange, no write": (lambda ch: ch.queue_bind("n1", "", "k"), refused("queue 'n1'")),
    "bind to the default exchange": (lambda ch: ch.queue_bind("w1", "", "k"), DEFAULT),
    "unbind, no write": (lambda ch: ch.queue_unbind("n1", "r1", "k"), refused("queue 'n1'")),
    "unbind, no read": (lambda ch: ch.queue_unbind("w1", "n1", "k"), refused("exchange 'n1'")),
    "bind and unbind": (lambda ch: (ch.queue_bind("w1", "r1", "k"), ch.queue_unbind("w1", "r1", "k")), "ok"),
    "bind exchanges, no write": (lambda ch: ch.exchange_bind("n1", "r1", "k"), refused("exchange 'n1'")),
    "bind exchanges, no read": (lambda ch: ch.exchange_bind("w1", "n1", "k"), refused("exchange 'n1'")),
    "feed the default exchange": (lambda ch: ch.exchange_bind("", "n1", "k"), DEFAULT),
    "be fed by the default exchange, no write": (lambda ch: ch.exchange_bind("n1", "", "k"), refused("exchange 'n1'")),
    "unbind exchanges": (lambda ch: ch.exchange_unbind("n1", "r1", "k"), refused("exchange 'n1'")),
    "publish": (lambda ch: ch.basic_publish("n1", "k", b""), refused("exchange 'n1'")),
    "publish to what is missing": (lambda ch: ch.basic_publish("nn", "k", b""), refused("exchange 'nn'")),
    "publish where it may": (lambda ch: ch.basic_publish("w1", "k", b""), "ok"),
    "publish to an internal exchange, no write": (
        lambda ch: ch.basic_publish("n1i", "k", b""),
        refused("exchange 'n1i'"),
    ),
    "publish to an internal exchange": (
        lambda ch: ch.basic_publish("w1i", "k", b""),
        f"403 cannot publish to internal exchange 'w1i' in vhost '{VHOST}'",
    ),
    "permission before properties": (
        lambda ch: ch.basic_publish("n1", "k", b"", pika.BasicProperties(expiration="z")),
        refused("exchange 'n1'"),
    ),
    "replies need no permission": (
        lambda ch: (
            ch.queue_declare("amq.rabbitmq.reply-to"),
            ch.basic_consume("amq.rabbitmq.reply-to", print, auto_ack=True),
        ),
        "ok",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_operation_needs_its_right(connection: pika.BlockingConnection, case: str) -> None:
    action, expected = CASES[case]
    assert outcome(connection, action) == expected


def test_default_exchange_is_named_amq_default(node: RunningNode, connection: pika.BlockingConnection) -> None:
    assert outcome(connection, lambda ch: ch.basic_publish("", "k", b"")) == "ok"
    permit(node, "^(c|a)", "^w", "^(r|a)")
    try:
        assert outcome(connection, lambda ch: ch.basic_publish("", "k", b"")) == refused("exchange 'amq.default'")
        assert outcome(connection, lambda ch: ch.queue_declare("a9", arguments=dlx(""))) == refused(
            "exchange 'amq.default'"
        )
    finally:
        permit(node, "^(c|a)", "^(w|a)", "^(r|a)")


def test_change_acts_at_once_on_a_channel_that_publishes(
    node: RunningNode, connection: pika.BlockingConnection
) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("a1", "k", b"")
    permit(node, "", "^w", "")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        channel.basic_publish("a1", "k", b"")
    assert closed.value.reply_text == "ACCESS_REFUSED - " + refused("exchange 'a1'").partition(" ")[2]
    permit(node, "^(c|a)", "^(w|a)", "^(r|a)")
    assert outcome(connection, lambda ch: ch.basic_publish("a1", "k", b"")) == "ok"


def test_topic_permissions_narrow_routing_keys(node: RunningNode, connection: pika.BlockingConnection) -> None:
    def publish(key: str, **properties: Any) -> str:
        return outcome(connection, lambda ch: ch.basic_publish("w1", key, b"", pika.BasicProperties(**properties)))

    def bind(key: str, queue: str = "w1") -> str:
        return outcome(connection, lambda ch: ch.queue_bind(queue, "r1", key))

    assert publish("bad") == "ok"  # And so the route is kept.
    node.control(lambda access: access.set_topic_permission(VHOST, USER, "w1", write="^ok\\.{username}$", read=""))
    node.control(lambda access: access.set_topic_permission(VHOST, USER, "r1", write="", read="^rd\\.{vhost}"))
    try:
        bad_topic = refused("topic 'bad' in exchange 'w1'")
        assert publish("bad") == bad_topic
        assert publish(f"ok.{USER}") == "ok"
        assert publish(f"ok.{USER}.x") == refused(f"topic 'ok.{USER}.x' in exchange 'w1'")
        assert publish("bad", expiration="z") == bad_topic
        assert publish("bad", user_id="z") == bad_topic
        # RabbitMQ 3.10 lets this pass, 4.x does not.
        assert publish(f"ok.{USER}", headers={"CC": ["bad"]}) == bad_topic
        assert bind("bad") == refused("topic 'bad' in exchange 'r1'")
        assert bind("bad", "wnone") == refused("topic 'bad' in exchange 'r1'")
        assert bind(f"rd.{VHOST}") == "ok"
        assert outcome(connection, lambda ch: ch.queue_unbind("w1", "r1", "bad")) == refused(
            "topic 'bad' in exchange 'r1'"
        )
        assert outcome(connection, lambda ch: ch.exchange_bind("w1", "r1", "bad")) == refused(
            "topic 'bad' in exchange 'r1'"
        )
    finally:
        node.control(lambda access: access.clear_topic_permissions(VHOST, USER))
    assert publish("bad") == "ok"


def test_impersonator_may_publish_in_the_name_of_others(node: RunningNode, connection: pika.BlockingConnection) -> None:
    def publish() -> str:
        return outcome(connection, lambda ch: ch.basic_publish("w1", "k", b"", pika.BasicProperties(user_id="bob")))

    assert publish() == f"406 user_id property set to 'bob' but authenticated user was '{USER}'"
    node.control(lambda access: access.users.set_tags(USER, ["impersonator"]))
    assert publish() == "ok"
    node.control(lambda access: access.users.set_tags(USER, []))
    assert publish() != "ok"


def test_vhost_without_permission_and_without_existence_are_refused(node: RunningNode) -> None:
    assert node.opening(USER, "secret", "/") == f"530 access to vhost '/' refused for user '{USER}'"
    assert node.opening(USER, "secret", "none") == "530 vhost none not found"
