"""Recent history exchange: a fanout that gives the last messages to each new binding."""

import pytest

from protocol.errors import PreconditionFailed
from protocol.tables import FieldTable
from tests.core.node import OWNER, Node, bodies_of
from tests.core.routing_messages import new_message
from tests.core.topology import refused


def new_node(**arguments: object) -> Node:
    node = Node()
    table: FieldTable = {"x-recent-history-" + key: value for key, value in arguments.items()}
    node.vhost.declare_exchange("x", "x-recent-history", arguments=table)
    return node


def bind(node: Node, queue: str, key: str = "") -> None:
    node.vhost.bind_queue(queue, "x", key, {}, owner=OWNER)


def test_a_new_binding_gets_the_last_messages_in_their_order() -> None:
    node = new_node(length=3)
    for number in range(5):
        node.send("x", new_message(bodies=(b"%d" % number,)))
    queue = node.declare("q")
    bind(node, "q")
    assert bodies_of(queue) == [b"2", b"3", b"4"]
    node.send("x", new_message(bodies=(b"5",)))
    assert bodies_of(queue) == [b"2", b"3", b"4", b"5"]
    bind(node, "q")
    assert queue.message_count == 4
    bind(node, "q", "another binding")
    assert bodies_of(queue)[4:] == [b"3", b"4", b"5"]


def test_twenty_messages_are_kept_by_default() -> None:
    node = new_node()
    node.send("x", new_message(bodies=tuple(b"%02d" % number for number in range(30))))
    queue = node.declare("q")
    bind(node, "q")
    assert bodies_of(queue) == [b"%02d" % number for number in range(10, 30)]


@pytest.mark.parametrize(("value", "is_stored"), [(True, False), (False, True), (1, True), ("true", True)])
def test_a_message_may_ask_not_to_be_stored(value: object, is_stored: bool) -> None:
    node = new_node()
    live = node.declare("live")
    bind(node, "live")
    node.send("x", new_message(headers={"x-recent-history-no-store": value}))
    late = node.declare("late")
    bind(node, "late")
    assert (live.message_count, late.message_count) == (1, int(is_stored))


def test_a_message_that_is_only_remembered_was_not_routed() -> None:
    node = new_node()
    assert not node.send("x", new_message()).reaches_queue()
    node.declare("q")
    bind(node, "q")
    assert node.send("x", new_message()).reaches_queue()


def test_what_nobody_is_bound_for_goes_to_the_alternate_and_is_remembered() -> None:
    node = Node()
    node.vhost.declare_exchange("x", "x-recent-history", arguments={"alternate-exchange": "amq.fanout"})
    rest = node.declare("rest")
    node.vhost.bind_queue("rest", "amq.fanout", "", {}, owner=OWNER)
    node.send("x", new_message())
    assert rest.message_count == 1
    late = node.declare("late")
    bind(node, "late")
    assert late.message_count == 1
    node.send("x", new_message())
    assert rest.message_count == 1


def test_a_bound_exchange_routes_the_history_on() -> None:
    node = new_node()
    for key in ("a", "b"):
        node.send("x", new_message(key, bodies=(key.encode(),)))
    queue = node.declare("q")
    node.vhost.bind_queue("q", "amq.direct", "b", {}, owner=OWNER)
    node.vhost.bind_exchange("amq.direct", "x", "", {})
    assert bodies_of(queue) == [b"b"]


def test_persistent_history_is_logged_for_the_queue_that_gets_it() -> None:
    node = new_node()
    node.send("x", new_message(properties={1 << 12: b"\x02"}))
    assert node.log.published == []
    node.declare("q")
    bind(node, "q")
    assert len(node.log.published) == 1


def test_a_deleted_exchange_takes_its_history_along() -> None:
    node = new_node()
    node.send("x", new_message())
    node.vhost.delete_exchange("x")
    node.vhost.declare_exchange("x", "x-recent-history", arguments={})
    queue = node.declare("q")
    bind(node, "q")
    assert queue.message_count == 0


@pytest.mark.parametrize(
    ("length", "text"), [(0, "0"), (-1, "-1"), ("5", '<<"5">>'), (True, "true"), (2.5, "2.5"), (None, "undefined")]
)
def test_a_length_that_is_none_is_refused(length: object, text: str) -> None:
    node = Node()
    arguments: FieldTable = {"x-recent-history-length": length}
    text = f"Invalid argument {text}, 'x-recent-history-length' must be a positive integer"
    refused(PreconditionFailed, text, node.vhost.declare_exchange, "x", "x-recent-history", arguments=arguments)
