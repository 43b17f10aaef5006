"""Rules of queues: what expires, what is dropped or refused, and when an unused queue goes."""

import pytest

from broker.core.queues.rules import NO_RULES, QueueRules
from protocol.content import Shape, address_of, header_facts
from protocol.headers import decode_headers
from tests.core.node import Node, bodies_of
from tests.protocol.octets import short


def expiring(milliseconds: int) -> bytes:
    return b"\x01\x00" + short(b"%d" % milliseconds)


def test_messages_expire_when_their_time_is_over_and_not_before() -> None:
    node = Node()
    queue = node.declare("q", message_ttl=100)
    node.publish(b"a")
    node.clock.advance(99)
    assert bodies_of(queue) == [b"a"]
    node.clock.advance(1)
    assert queue.message_count == 0
    assert node.clock.timer_count == 0


def test_lower_of_queue_ttl_and_expiration_counts() -> None:
    node = Node()
    queue = node.declare("q", message_ttl=100)
    node.publish(b"short", properties=expiring(50))
    node.clock.advance(50)
    assert queue.message_count == 0
    node.publish(b"long", properties=expiring(500))
    node.clock.advance(100)
    assert queue.message_count == 0


def test_expiration_works_in_a_queue_without_rules() -> None:
    node = Node()
    queue = node.declare("q")
    node.publish(b"a", properties=expiring(10))
    node.clock.advance(10)
    assert queue.message_count == 0


def test_message_with_a_longer_time_at_the_head_shields_those_behind() -> None:
    node = Node()
    queue = node.declare("q")
    node.publish(b"stays", properties=expiring(1000))
    node.publish(b"waits", properties=expiring(10))
    node.clock.advance(500)
    assert bodies_of(queue) == [b"stays", b"waits"]
    node.clock.advance(500)
    assert queue.message_count == 0


def test_expired_message_is_never_delivered() -> None:
    node = Node()
    queue = node.declare("q")
    node.publish(b"first", properties=expiring(1000))
    node.publish(b"expired", properties=expiring(10))
    node.publish(b"last")
    node.clock.advance(20)
    channel = node.consume(queue, no_ack=True)
    assert channel.ids_of("c") == [1, 3]


def test_no_time_to_live_means_at_once_or_never() -> None:
    node = Node()
    queue = node.declare("q", message_ttl=0)
    node.publish(b"lost")
    assert queue.message_count == 0
    channel = node.consume(queue, no_ack=True)
    node.publish(b"taken")
    assert channel.ids_of("c") == [2]


def test_time_that_passes_before_a_waiting_consumer_can_be_served_kills_nothing() -> None:
    node = Node()
    queue = node.declare("q", message_ttl=0)
    channel = node.consume(queue, no_ack=True)
    drain, node.drain = node.drain, lambda: None  # type: ignore[method-assign]
    node.publish(b"a")
    node.clock.advance(5)
    drain()
    assert channel.ids_of("c") == [1]


def test_get_does_not_count_what_has_expired_behind_its_message() -> None:
    node = Node()
    queue = node.declare("q")
    node.publish(b"a")
    node.publish(b"b", properties=expiring(0))
    assert queue.message_count == 2
    assert queue.get() is not None
    assert queue.message_count == 0


def test_requeued_message_keeps_its_deadline() -> None:
    node = Node()
    queue = node.declare("q", message_ttl=100)
    node.publish(b"a")
    taken = queue.get()
    assert taken is not None
    node.clock.advance(150)
    queue.requeue(taken)
    node.drain()
    assert queue.message_count == 0


def test_unused_queue_goes_when_its_time_is_over() -> None:
    node = Node()
    node.declare("q", expires=100)
    node.clock.advance(99)
    node.declare("q", expires=100)
    node.clock.advance(99)
    assert "q" in node.vhost.queues
    node.clock.advance(1)
    assert "q" not in node.vhost.queues


def test_queue_with_a_consumer_does_not_go() -> None:
    node = Node()
    queue = node.declare("q", expires=100)
    node.consume(queue)
    node.clock.advance(1000)
    assert "q" in node.vhost.queues
    queue.unsubscribe(next(iter(queue.consumers)))
    node.clock.advance(99)
    assert "q" in node.vhost.queues
    node.clock.advance(1)
    assert "q" not in node.vhost.queues


def test_get_counts_as_use() -> None:
    node = Node()
    queue = node.declare("q", expires=100)
    node.clock.advance(60)
    queue.get()
    node.clock.advance(60)
    assert "q" in node.vhost.queues


def test_full_queue_drops_its_head() -> None:
    node = Node()
    queue = node.declare("q", max_length=2)
    node.publish(b"a", b"b", b"c", b"d")
    assert bodies_of(queue) == [b"c", b"d"]


def test_limit_in_octets_counts_bodies_alone() -> None:
    node = Node()
    queue = node.declare("q", max_length_bytes=10)
    node.publish(b"12345", b"67890")
    assert queue.message_count == 2
    node.publish(b"x")
    assert bodies_of(queue) == [b"67890", b"x"]


def test_message_larger_than_the_limit_empties_the_queue() -> None:
    node = Node()
    queue = node.declare("q", max_length_bytes=10)
    node.publish(b"small", b"x" * 11)
    assert queue.message_count == 0


def test_unacked_messages_do_not_count_until_they_are_requeued() -> None:
    node = Node()
    queue = node.declare("q", max_length=1)
    node.publish(b"a")
    taken = queue.get()
    assert taken is not None
    node.publish(b"b")
    assert bodies_of(queue) == [b"b"]
    queue.requeue(taken)
    node.drain()
    assert bodies_of(queue) == [b"b"]


def test_length_of_none_hands_over_to_a_waiting_consumer() -> None:
    node = Node()
    queue = node.declare("q", max_length=0)
    channel = node.consume(queue, no_ack=True)
    node.publish(b"a")
    assert channel.ids_of("c") == [1]


def test_full_queue_refuses_when_it_is_to_do_so() -> None:
    node = Node()
    queue = node.declare("q", max_length=1, overflow="reject-publish")
    assert not queue.is_full()
    node.publish(b"a")
    assert queue.is_full()
    queue.get()
    assert not queue.is_full()


def test_message_that_is_too_much_and_may_not_wait_dies_as_too_much() -> None:
    node = Node()
    queue = node.declare("q", max_length=0, message_ttl=0, dead_letter_exchange="", dead_letter_routing_key="grave")
    grave = node.declare("grave")
    node.publish(b"a")
    assert queue.message_count == 0
    taken = grave.get()
    assert taken is not None
    assert decode_headers(taken.shape.header_payload(taken.pieces[0]))["x-first-death-reason"] == "maxlen"


def test_queue_limited_in_octets_refuses_what_would_be_too_much() -> None:
    node = Node()
    queue = node.declare("q", max_length_bytes=10, overflow="reject-publish")
    assert queue.is_full(11)
    assert not queue.is_full(10)
    node.publish(b"12345")
    assert queue.is_full(6)
    assert not queue.is_full(5)


def test_requeued_message_past_the_limit_dies_before_another_consumer_gets_it() -> None:
    node = Node()
    queue = node.declare("q", max_length=0)
    first = node.consume(queue, "first", prefetch=1)
    node.publish(b"a")
    second = node.consume(queue, "second")
    queue.requeue(first.unacked[0][1])
    node.drain()
    assert second.ids_of("second") == []


def test_changed_rules_hold_at_once_and_may_go_again() -> None:
    node = Node()
    queue = node.declare("q")
    node.publish(b"a", b"b", b"c")
    queue.set_rules(QueueRules(max_length=1))
    assert bodies_of(queue) == [b"c"]
    queue.set_rules(NO_RULES)
    node.publish(b"d", b"e")
    assert queue.message_count == 3


@pytest.mark.parametrize("names", [("a", "b", "c")])
def test_priorities_come_highest_first_and_in_order_within(names: tuple[str, ...]) -> None:
    node = Node()
    queue = node.declare("q", max_priority=5)
    for priority, body in ((1, b"one"), (9, b"nine"), (5, b"five"), (1, b"also one")):
        node.publish(body, properties=b"\x08\x00" + bytes((priority,)))
    node.publish(b"none")
    assert bodies_of(queue) == [b"nine", b"five", b"one", b"also one", b"none"]
    taken = queue.get()
    assert taken is not None
    queue.requeue(taken)
    assert bodies_of(queue)[0] == b"nine"


def test_facts_are_read_from_the_header_that_the_log_kept() -> None:
    payload = b"\x00\x3c\x00\x00" + bytes(8) + expiring(7)
    assert header_facts(payload).expiration == "7"
    assert Shape("", "q", address_of("", "q"), 1, 4096, header_facts(payload)).facts.is_plain is False
