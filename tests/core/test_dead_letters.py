"""Dead letters: where they go, what history they carry, and which go in circles."""

import pytest

from broker.core.queues.classic import ClassicQueue
from protocol.headers import expiration_of
from protocol.tables import FieldTable, encode_table
from tests.core.node import Node, bodies_of, headers_of
from tests.protocol.octets import short


def with_headers(headers: FieldTable, expiration: bytes = b"") -> bytes:
    flags = b"\x21\x00" if expiration else b"\x20\x00"
    return flags + encode_table(headers) + (short(expiration) if expiration else b"")


def reject_head(queue: ClassicQueue) -> None:
    taken = queue.get()
    assert taken is not None
    queue.reject(taken)


def test_rejected_message_goes_on_with_its_history() -> None:
    node = Node()
    queue = node.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    dead = node.declare("dead")
    node.publish(b"body")
    reject_head(queue)
    [headers] = headers_of(dead)
    assert bodies_of(dead) == [b"body"]
    [death] = headers["x-death"]
    assert death == {
        "count": 1,
        "reason": "rejected",
        "queue": "q",
        "time": node.clock.wall_ms() // 1000,
        "exchange": "",
        "routing-keys": ["q"],
    }
    assert (headers["x-first-death-queue"], headers["x-first-death-reason"]) == ("q", "rejected")
    assert (headers["x-last-death-queue"], headers["x-last-death-exchange"]) == ("q", "")


def test_the_move_is_logged_as_publish_and_settlement() -> None:
    node = Node()
    queue = node.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    node.declare("dead")
    node.publish(b"body", properties=b"\x10\x00\x02")
    reject_head(queue)
    assert node.log.published == [1, 2]
    assert node.log.settled == [1]


@pytest.mark.parametrize(
    ("arguments", "reason"), [({"message_ttl": 5}, "expired"), ({"max_length": 0}, "maxlen"), ({}, "rejected")]
)
def test_reason_tells_how_it_died(arguments: dict[str, int], reason: str) -> None:
    node = Node()
    queue = node.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead", **arguments)
    dead = node.declare("dead")
    node.publish(b"body")
    if not arguments:
        reject_head(queue)
    node.clock.advance(5)
    node.drain()
    assert [headers["x-death"][0]["reason"] for headers in headers_of(dead)] == [reason]


def test_expiration_is_taken_off_and_remembered() -> None:
    node = Node()
    node.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    dead = node.declare("dead")
    node.publish(b"body", properties=with_headers({"mine": 1}, b"10"))
    node.clock.advance(10)
    [headers] = headers_of(dead)
    assert headers["x-death"][0]["original-expiration"] == "10"
    assert headers["mine"] == 1
    [stretch] = dead.backlog.stretches()
    assert expiration_of(stretch.shape.header_payload(stretch.pieces[0])) is None
    node.clock.advance(1000)
    assert dead.message_count == 1


def test_same_death_again_is_counted_and_comes_to_the_front() -> None:
    node = Node()
    queue = node.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    dead = node.declare("dead", dead_letter_exchange="", dead_letter_routing_key="q")
    node.publish(b"body")
    for _ in range(3):
        reject_head(queue)
        reject_head(dead)
    [headers] = headers_of(queue)
    assert [(death["queue"], death["count"]) for death in headers["x-death"]] == [("dead", 3), ("q", 3)]
    assert headers["x-first-death-queue"] == "q"


def test_message_that_only_expires_in_a_circle_is_dropped() -> None:
    node = Node()
    node.declare("q", message_ttl=5, dead_letter_exchange="", dead_letter_routing_key="other")
    node.declare("other", message_ttl=5, dead_letter_exchange="", dead_letter_routing_key="q")
    node.publish(b"body", properties=b"\x10\x00\x02")
    for _ in range(3):
        node.clock.advance(5)
    assert [queue.message_count for queue in node.vhost.queues.values()] == [0, 0]
    assert node.log.settled == node.log.published


def test_message_that_was_rejected_on_the_way_may_go_in_a_circle() -> None:
    node = Node()
    queue = node.declare("q", dead_letter_exchange="", dead_letter_routing_key="wait")
    node.declare("wait", message_ttl=5, dead_letter_exchange="", dead_letter_routing_key="q")
    node.publish(b"body")
    reject_head(queue)
    node.drain()
    node.clock.advance(5)
    assert bodies_of(queue) == [b"body"]


def test_missing_exchange_drops_it() -> None:
    node = Node()
    queue = node.declare("q", dead_letter_exchange="nowhere")
    node.publish(b"body", properties=b"\x10\x00\x02")
    reject_head(queue)
    assert node.log.settled == [1]


def test_carbon_copies_are_kept_and_used_unless_a_key_is_set() -> None:
    node = Node()
    queue = node.declare("q", dead_letter_exchange="amq.direct")
    one, other = node.declare("one"), node.declare("other")
    node.vhost.bind_queue("one", "amq.direct", "q", {}, owner=node)
    node.vhost.bind_queue("other", "amq.direct", "copy", {}, owner=node)
    node.publish(b"body", properties=with_headers({"CC": ["copy"]}))
    reject_head(queue)
    assert [headers["x-death"][0]["routing-keys"] for headers in headers_of(one)] == [["q", "copy"]]
    assert bodies_of(other) == [b"body"]


def test_run_of_one_header_dies_in_one_go() -> None:
    node = Node()
    node.declare("q", message_ttl=5, dead_letter_exchange="", dead_letter_routing_key="dead")
    dead = node.declare("dead")
    node.publish(*(b"%04d" % n for n in range(100)))
    node.clock.advance(5)
    assert bodies_of(dead) == [b"%04d" % n for n in range(100)]
    assert len(dead.backlog.stretches()) < 5
