"""Delayed exchange: what waits, for how long, in which order, and what is left of it after a restart."""

from decimal import Decimal
from random import Random
from time import process_time
from typing import Any

import pytest

from broker.core.exchanges.delayed import DelayedExchange
from broker.core.exchanges.pending import TURN_COUNT, DelayedMessages, delay_of
from broker.core.messages import Stretch
from broker.core.publish.routable import LooksAt
from broker.core.queues.classic import ClassicQueue
from broker.server.clock import ManualClock
from protocol.errors import CommandInvalid, PreconditionFailed
from protocol.headers import decode_headers
from protocol.tables import FieldTable, SignedInt, Timestamp
from tests.core.node import OWNER, Node, bodies_of, headers_of
from tests.core.recording import RecordingLog, new_context
from tests.core.routing_messages import new_message
from tests.core.topology import Journal, new_vhost, refused

PERSISTENT = {1 << 12: b"\x02"}


def new_node(kind: str = "direct", *, durable: bool = True, **arguments: object) -> tuple[Node, ClassicQueue]:
    """Return a node with a delayed exchange x that routes key k to the queue."""
    node = Node()
    table: FieldTable = {"x-delayed-type": kind, **{key.replace("_", "-"): value for key, value in arguments.items()}}
    node.vhost.declare_exchange("x", "x-delayed-message", durable=durable, arguments=table)
    queue = node.declare("q")
    node.vhost.bind_queue("q", "x", "k", {}, owner=OWNER)
    return node, queue


def pending_of(node: Node, exchange: str = "x") -> DelayedMessages:
    found = node.vhost.exchanges[exchange]
    assert isinstance(found, DelayedExchange)
    return found.pending


def delayed(delay: object, *bodies: bytes, key: str = "k", **message: Any) -> Any:
    return new_message(key, headers={"x-delay": delay}, bodies=bodies or (b"body",), **message)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (SignedInt(1500), 1500),
        ((1 << 32) - 1, (1 << 32) - 1),
        (1 << 32, 0),
        (0, 0),
        (-5, 0),
        ("250", 250),
        ("+250", 250),
        ("-250", 0),
        ("25.5", 0),
        ("soon", 0),
        ("", 0),
        ("9" * 5000, 0),
        (99.9, 99),
        (float("nan"), 0),
        (float("inf"), 0),
        (Decimal("12.7"), 12),
        (True, 0),
        (None, 0),
        (Timestamp(5), 0),
        ([5], 0),
        (b"\xff", 0),
    ],
)
def test_only_a_time_within_range_delays(value: object, expected: int) -> None:
    assert delay_of({"x-delay": value}) == expected


def test_a_message_without_delay_goes_on_at_once_unchanged() -> None:
    node, queue = new_node()
    node.send("x", new_message("k"))
    for value in (0, -7, "soon"):
        node.send("x", delayed(value))
    assert [headers.get("x-delay") for headers in headers_of(queue)] == [None, 0, -7, "soon"]
    assert pending_of(node).message_count == 0


def test_a_delayed_message_arrives_at_its_time_with_the_header_negated() -> None:
    node, queue = new_node()
    node.send("x", new_message("k", headers={"a": 1, "x-delay": 200, "z": "text"}, bodies=(b"body",)))
    assert (queue.message_count, pending_of(node).message_count) == (0, 1)
    assert pending_of(node).next_due_ms() == node.clock.monotonic_ms() + 200
    node.clock.advance(199)
    assert queue.message_count == 0
    node.clock.advance(1)
    assert (bodies_of(queue), pending_of(node).message_count) == ([b"body"], 0)
    assert headers_of(queue) == [{"a": 1, "x-delay": -200, "z": "text"}]
    assert pending_of(node).next_due_ms() is None


def test_messages_arrive_in_the_order_of_their_times_and_equals_as_published() -> None:
    node, queue = new_node()
    for delay, body in ((300, b"c"), (100, b"a1"), (200, b"b"), (100, b"a2")):
        node.send("x", delayed(delay, body))
    node.clock.advance(1000)
    assert bodies_of(queue) == [b"a1", b"a2", b"b", b"c"]


def test_delays_beyond_a_signed_int_are_negated_too() -> None:
    node, queue = new_node()
    node.send("x", delayed((1 << 32) - 1))
    node.clock.advance(1 << 32)
    assert headers_of(queue) == [{"x-delay": -((1 << 32) - 1)}]


def test_routing_is_done_when_the_message_is_due() -> None:
    node, queue = new_node()
    node.send("x", delayed(100, key="later"))
    node.send("x", delayed(100, key="k"))
    node.vhost.bind_queue("q", "x", "later", {}, owner=OWNER)
    node.vhost.unbind_queue("q", "x", "k", {}, owner=OWNER)
    node.clock.advance(100)
    assert [stretch.shape.routing_key for stretch in queue.backlog.stretches()] == ["later"]


@pytest.mark.parametrize(
    ("kind", "binding_key", "key", "arguments"),
    [
        ("topic", "a.*.#", "a.b.c", {}),
        ("fanout", "", "any", {}),
        ("headers", "", "", {"x-match": "any", "wanted": 1}),
        ("x-consistent-hash", "7", "any", {}),
        ("x-random", "", "any", {}),
        ("x-modulus-hash", "", "any", {}),
    ],
)
def test_it_routes_as_the_type_it_names(kind: str, binding_key: str, key: str, arguments: FieldTable) -> None:
    node = Node()
    node.vhost.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": kind})
    queue = node.declare("q")
    node.vhost.bind_queue("q", "x", binding_key, arguments, owner=OWNER)
    for delay in (0, 10):
        node.send("x", new_message(key, headers={"x-delay": delay, "wanted": 1}))
    node.clock.advance(10)
    assert queue.message_count == 2
    node.vhost.unbind_queue("q", "x", binding_key, arguments, owner=OWNER)
    node.send("x", new_message(key, headers={"x-delay": 10, "wanted": 1}))
    node.clock.advance(10)
    assert queue.message_count == 2


def test_it_may_remember_what_it_routed() -> None:
    node, _ = new_node("x-recent-history")
    node.send("x", delayed(0, b"now"))
    node.send("x", delayed(10, b"then"))
    node.clock.advance(10)
    late = node.declare("late")
    node.vhost.bind_queue("late", "x", "", {}, owner=OWNER)
    assert bodies_of(late) == [b"now", b"then"]


def test_copies_go_with_the_message() -> None:
    node, queue = new_node()
    other = node.declare("other")
    node.vhost.bind_queue("other", "x", "copy", {}, owner=OWNER)
    node.send("x", new_message("k", "copy", headers={"x-delay": 50}))
    node.clock.advance(50)
    assert (queue.message_count, other.message_count) == (1, 1)


def test_its_time_to_live_begins_when_it_comes_to_a_queue() -> None:
    node, queue = new_node()
    node.send("x", delayed(500, properties={1 << 8: b"\x03100"}))
    node.clock.advance(500)
    assert queue.message_count == 1
    node.clock.advance(99)
    assert queue.message_count == 1
    node.clock.advance(1)
    assert queue.message_count == 0


def test_what_is_delayed_counts_as_not_routed_for_a_mandatory_publish() -> None:
    node, _ = new_node()
    assert not node.send("x", delayed(100)).reaches_queue()
    assert node.send("x", delayed(0)).reaches_queue()


def test_the_alternate_gets_what_nobody_wants_when_it_is_due() -> None:
    node, _ = new_node(alternate_exchange="amq.fanout")
    rest = node.declare("rest")
    node.vhost.bind_queue("rest", "amq.fanout", "", {}, owner=OWNER)
    node.send("x", delayed(100, key="k"))
    node.send("x", delayed(100, key="unbound"))
    assert rest.message_count == 0
    node.clock.advance(100)
    assert rest.message_count == 1


def test_it_delays_what_another_exchange_or_a_dead_letter_brings() -> None:
    node, queue = new_node()
    node.vhost.bind_exchange("x", "amq.fanout", "", {})
    node.send("amq.fanout", delayed(100))
    dying = node.declare("dying", dead_letter_exchange="x", dead_letter_routing_key="k")
    node.send("", delayed(200, key="dying"))
    taken = dying.get()
    assert taken is not None
    dying.reject(taken)
    assert (queue.message_count, pending_of(node).message_count) == (0, 2)
    node.clock.advance(100)
    assert queue.message_count == 1
    node.clock.advance(100)
    assert queue.message_count == 2


def test_a_second_delayed_exchange_does_not_delay_again() -> None:
    node, queue = new_node()
    node.vhost.declare_exchange("first", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    node.vhost.bind_exchange("x", "first", "", {})
    node.send("first", delayed(100))
    node.clock.advance(100)
    assert queue.message_count == 1


def test_persistent_messages_are_settled_as_they_go_on() -> None:
    node, _ = new_node()
    node.send("x", delayed(100, b"1", b"2", properties=PERSISTENT))
    assert (node.log.published, node.log.settled) == ([1, 2], [])
    node.clock.advance(100)
    assert (node.log.published, node.log.settled) == ([1, 2, 3, 4], [1, 2])


@pytest.mark.parametrize(("durable", "properties"), [(False, PERSISTENT), (True, {})])
def test_only_persistent_messages_in_durable_exchanges_are_logged(durable: bool, properties: dict[int, bytes]) -> None:
    node, queue = new_node(durable=durable)
    node.send("x", delayed(100, properties=properties))
    assert node.log.published == []
    node.clock.advance(100)
    assert queue.message_count == 1
    assert node.log.settled == []


def test_a_full_queue_refuses_what_is_due() -> None:
    node, _ = new_node()
    full = node.declare("full", max_length=2, overflow="reject-publish")
    node.vhost.bind_queue("full", "x", "f", {}, owner=OWNER)
    node.send("x", delayed(100, b"1", b"2", b"3", key="f"))
    node.clock.advance(100)
    assert bodies_of(full) == [b"1", b"2"]


def test_each_of_a_run_goes_its_own_way_where_chance_decides() -> None:
    node, _ = new_node("x-random")
    queues = [node.declare(name) for name in ("q1", "q2", "q3")]
    for queue in queues:
        node.vhost.bind_queue(queue.name, "x", "", {}, owner=OWNER)
    node.send("x", delayed(100, *[b"%02d" % number for number in range(90)]))
    node.clock.advance(100)
    assert all(queue.message_count > 5 for queue in queues)


def test_a_deleted_exchange_takes_along_what_waits() -> None:
    node, queue = new_node()
    pending = pending_of(node)
    node.send("x", delayed(100, properties=PERSISTENT))
    node.vhost.delete_exchange("x")
    assert pending.message_count == 0
    assert node.log.deleted == [pending.id]
    node.clock.advance(1000)
    assert queue.message_count == 0
    assert node.clock.timer_count == 0


def test_a_crowd_that_is_due_at_once_leaves_others_their_turns() -> None:
    node, queue = new_node()
    count = 3 * TURN_COUNT + 1
    node.send("x", delayed(100, *[b"%04d" % number for number in range(count)]))
    turns: list[int] = []

    def end_of_turn() -> None:
        node.drain()
        turns.append(queue.message_count)

    node.clock.after_calls = end_of_turn
    node.clock.advance(200)
    assert turns == [TURN_COUNT, 2 * TURN_COUNT, 3 * TURN_COUNT, count]
    assert bodies_of(queue) == [b"%04d" % number for number in range(count)]


def test_after_a_restart_what_is_left_of_the_delay_is_waited_for() -> None:
    node, queue = new_node()
    pending = pending_of(node)
    for age_ms, first_id, body in ((400, 7, b"was due second"), (450, 8, b"was due first"), (30, 9, b"waits")):
        delay = 100 if age_ms == 30 else 300
        message = delayed(delay, body, properties=PERSISTENT)
        pending.restore(Stretch(message.shape, range(first_id, first_id + 1), message.pieces), age_ms)
    assert pending.message_count == 3
    node.clock.advance(69)
    assert bodies_of(queue) == [b"was due first", b"was due second"]
    node.clock.advance(1)
    assert bodies_of(queue)[2:] == [b"waits"]
    assert node.log.settled == [8, 7, 9]


def test_a_clock_that_is_set_moves_nothing() -> None:
    node, queue = new_node()
    node.send("x", delayed(100))
    node.clock.set_wall_ms(node.clock.wall_ms() + 1_000_000_000)
    node.clock.advance(99)
    assert queue.message_count == 0
    node.clock.set_wall_ms(0)
    node.clock.advance(1)
    assert queue.message_count == 1


def test_a_hundred_thousand_wait_behind_one_timer_and_each_goes_in_its_millisecond() -> None:
    clock_log: list[tuple[int, int]] = []
    clock = ManualClock()
    context = new_context(RecordingLog(), clock)
    pending = DelayedMessages(
        "x", "/", 1, False, context, lambda shape, stretch: clock_log.append((stretch.ids[0], clock.monotonic_ms()))
    )
    random = Random(9)
    start_ms, due_ms = clock.monotonic_ms(), {}
    shapes = {delay: delayed(delay) for delay in range(1, 60_001)}
    began_s = process_time()
    for message_id in range(1, 100_001):
        delay = random.randint(1, 60_000)
        due_ms[message_id] = start_ms + delay
        message = shapes[delay]
        pending.publish(Stretch(message.shape, range(message_id, message_id + 1), message.pieces))
    assert pending.message_count == 100_000
    assert clock.timer_count == 1
    clock.advance(60_000)
    spent_s = process_time() - began_s
    assert pending.message_count == 0
    assert len(clock_log) == 100_000
    assert all(at_ms == due_ms[message_id] for message_id, at_ms in clock_log)
    assert clock_log == sorted(clock_log, key=lambda gone: (gone[1], gone[0]))
    assert spent_s < 20


def test_definitions_bring_it_back_with_the_id_that_the_log_knows() -> None:
    journal = Journal()
    node = Node()
    context = node.vhost._exchange_context
    first = new_vhost(journal, exchange_context=context)
    table: FieldTable = {"x-delayed-type": "topic"}
    exchange = first.declare_exchange("x", "x-delayed-message", durable=True, arguments=table)
    first.declare_exchange("gone", "x-delayed-message", arguments=table)
    assert exchange.kept_messages is not None
    again = new_vhost(journal, first_queue_id=100, exchange_context=context)
    assert again.restore(journal.definitions()) == []
    kept = again.exchanges["x"].kept_messages
    assert kept is not None
    assert kept.id == exchange.kept_messages.id
    assert "gone" not in again.exchanges
    assert list(again.logged_queues()) == [kept]


def test_a_route_is_never_kept() -> None:
    node, _ = new_node()
    assert node.vhost.looks_at(node.vhost.exchanges["x"]) is LooksAt.HEADER
    node, _ = new_node("x-random")
    assert node.vhost.looks_at(node.vhost.exchanges["x"]) is LooksAt.MESSAGE


@pytest.mark.parametrize("arguments", [{}, {"x-delayed-type": 5}, {"x-delayed-type": None}])
def test_a_missing_type_is_refused(arguments: FieldTable) -> None:
    text = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
    declare = Node().vhost.declare_exchange
    refused(PreconditionFailed, text, declare, "x", "x-delayed-message", arguments=arguments)


def test_a_type_that_cannot_be_is_refused() -> None:
    declare = Node().vhost.declare_exchange
    kind = "x-delayed-message"
    refused(CommandInvalid, "unknown exchange type 'no'", declare, "x", kind, arguments={"x-delayed-type": "no"})
    text = "Invalid argument, 'x-delayed-type' cannot be 'x-delayed-message' itself"
    refused(PreconditionFailed, text, declare, "x", kind, arguments={"x-delayed-type": kind})
    arguments: FieldTable = {"x-delayed-type": "x-consistent-hash", "hash-property": "no"}
    refused(PreconditionFailed, "Unsupported property: no", declare, "x", kind, arguments=arguments)


def test_bindings_are_checked_by_the_type_it_names() -> None:
    node = Node()
    node.vhost.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "x-consistent-hash"})
    node.declare("q")
    text = 'The binding key must be an integer: <<"k">>'
    refused(PreconditionFailed, text, node.vhost.bind_queue, "q", "x", "k", {}, owner=OWNER)


def test_the_stored_header_is_the_publishers() -> None:
    node, _ = new_node()
    node.send("x", delayed(100))
    _, _, stretch = pending_of(node)._heap[0]
    assert decode_headers(stretch.shape.header_payload(stretch.pieces[0])) == {"x-delay": 100}
