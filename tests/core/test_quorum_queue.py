"""QuorumQueue: returns are counted, ordered and limited, everything is kept, and what it cannot be is refused."""

import pytest

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.quorum import DEFAULT_DELIVERY_LIMIT
from protocol.errors import NotImplementedFault, PreconditionFailed, ResourceLocked
from protocol.headers import decode_headers
from protocol.tables import FieldTable, encode_table
from tests.core.node import OWNER, Node, bodies_in, bodies_of, headers_of
from tests.core.recording import RecordingChannel
from tests.core.topology import refused

QUORUM: FieldTable = {"x-queue-type": "quorum"}


def quorum(node: Node, name: str = "q", **arguments: object) -> ClassicQueue:
    return node.declare(name, queue_type="quorum", **arguments)


def get(queue: ClassicQueue) -> Stretch:
    stretch = queue.get()
    assert stretch is not None
    return stretch


def count_of(stretch: Stretch) -> object:
    return decode_headers(stretch.shape.header_payload(stretch.pieces[0])).get("x-delivery-count")


def test_first_delivery_to_a_consumer_has_the_publishers_octets() -> None:
    node = Node()
    queue = quorum(node)
    node.publish(b"x")
    channel = node.consume(queue)
    (_, stretch) = channel.unacked[0]
    assert type(stretch) is Stretch
    assert not stretch.redelivered


def test_get_tells_the_count_from_0_on() -> None:
    node = Node()
    queue = quorum(node)
    node.publish(b"x")
    for count in range(3):
        stretch = get(queue)
        assert (count_of(stretch), stretch.redelivered, bodies_in(stretch)) == (count, count > 0, [b"x"])
        queue.requeue(stretch)


def test_count_stands_beside_the_publishers_own_headers() -> None:
    node = Node()
    queue = quorum(node)
    table = encode_table({"mine": "y", "x-delivery-count": "theirs"})
    node.publish(b"x", properties=b"\x20\x00" + table)
    queue.requeue(get(queue))
    assert headers_of(queue) == [{"mine": "y", "x-delivery-count": 1}]


def test_unreadable_headers_do_not_keep_a_message_from_coming_back() -> None:
    node = Node()
    queue = quorum(node)
    # A field of a type that no table has.
    node.publish(b"x", properties=b"\x20\x00" + b"\x00\x00\x00\x03\x01a\x00")
    queue.requeue(get(queue))
    assert queue.message_count == 1


def test_returns_go_to_the_tail_without_a_limit() -> None:
    node = Node()
    queue = quorum(node)
    node.publish(b"1", b"2", b"3", b"4")
    taken = [get(queue) for _ in range(3)]
    queue.requeue(taken[1])
    queue.requeue(taken[0])
    assert bodies_of(queue) == [b"4", b"2", b"1"]


def test_returns_go_first_in_the_order_of_their_return_with_a_limit() -> None:
    node = Node()
    queue = quorum(node, delivery_limit=5)
    node.publish(b"1", b"2", b"3", b"4")
    taken = [get(queue) for _ in range(3)]
    queue.requeue(taken[1])
    queue.requeue(taken[0])
    assert bodies_of(queue) == [b"2", b"1", b"4"]


def test_share_of_a_round_comes_back_whole() -> None:
    node = Node()
    queue = quorum(node)
    one = node.consume(queue, "a")
    other = node.consume(queue, "b")
    node.publish(*[b"%d" % n for n in range(6)])
    for consumer in list(queue.consumers):
        queue.unsubscribe(consumer)
    for channel in (one, other):
        for _, stretch in channel.unacked:
            queue.requeue(stretch)
    assert sorted(bodies_of(queue)) == [b"%d" % n for n in range(6)]
    assert {headers["x-delivery-count"] for headers in headers_of(queue)} == {1}


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_message_is_delivered_once_more_than_its_limit(limit: int) -> None:
    node = Node()
    dead = node.declare("dead")
    queue = quorum(node, delivery_limit=limit, dead_letter_exchange="", dead_letter_routing_key="dead")
    node.publish(b"x")
    for _ in range(limit + 1):
        queue.requeue(get(queue))
    assert queue.message_count == queue.unacked_count == 0
    (headers,) = headers_of(dead)
    assert headers["x-death"][0]["reason"] == "delivery_limit"
    assert "x-delivery-count" not in headers
    assert node.log.settled == [1]


def test_limit_is_20_where_none_is_set() -> None:
    node = Node()
    queue = quorum(node)
    node.publish(b"x")
    for _ in range(DEFAULT_DELIVERY_LIMIT):
        queue.requeue(get(queue))
    assert queue.message_count == 1
    queue.requeue(get(queue))
    assert queue.message_count == 0


@pytest.mark.parametrize("limit", [-1, "many"])
def test_negative_limit_or_none_that_is_a_number_is_no_limit(limit: object) -> None:
    node = Node()
    queue = quorum(node, delivery_limit=limit)
    node.publish(b"x")
    for _ in range(50):
        queue.requeue(get(queue))
    assert queue.message_count == 1


def test_rejected_after_a_return_dies_as_it_was_published() -> None:
    node = Node()
    dead = node.declare("dead")
    queue = quorum(node, dead_letter_exchange="", dead_letter_routing_key="dead")
    node.publish(b"x")
    queue.requeue(get(queue))
    queue.reject(get(queue))
    (headers,) = headers_of(dead)
    assert headers["x-death"][0]["reason"] == "rejected"
    assert "x-delivery-count" not in headers


def test_transient_messages_are_kept_too() -> None:
    node = Node()
    queue = quorum(node)
    node.publish(b"1", b"2", b"3")
    assert node.log.published == [1, 2, 3]
    queue.settle(get(queue))
    assert queue.purge() == 2
    assert node.log.settled == [1, 2, 3]


def test_transient_messages_are_kept_for_it_alone() -> None:
    node = Node()
    durable = node.declare("durable")
    quorum(node)
    for queue in ("durable", "q"):
        node.vhost.bind_queue(queue, "amq.fanout", "", {}, owner=OWNER)
    node.publish(b"1", exchange="amq.fanout")
    durable.settle(get(durable))
    assert (node.log.published, node.log.settled) == ([1], [])


def test_returns_are_told_to_the_log() -> None:
    node = Node()
    queue = quorum(node)
    node.publish(b"1", b"2")
    for _ in range(2):
        queue.requeue(get(queue))
    queue.requeue(get(queue))
    assert node.log.return_counts == {1: 2, 2: 1}


def test_restored_messages_go_on_counting() -> None:
    node = Node()
    queue = quorum(node)
    node.publish(b"1", b"2", b"3")
    taken = [get(queue).as_published() for _ in range(3)]
    again = quorum(Node())
    for stretch, redelivered, return_count in zip(taken, (True, True, False), (4, 0, 0), strict=True):
        again.restore(Stretch(stretch.shape, stretch.ids, stretch.pieces, redelivered), 0, return_count)
    assert [headers.get("x-delivery-count") for headers in headers_of(again)] == [4, 1, None]


def test_expired_and_overlong_messages_die_as_in_a_classic_queue() -> None:
    node = Node()
    dead = node.declare("dead")
    quorum(node, message_ttl=50, max_length=2, dead_letter_exchange="", dead_letter_routing_key="dead")
    node.publish(b"1", b"2", b"3")
    node.clock.advance(60)
    reasons = [headers["x-death"][0]["reason"] for headers in headers_of(dead)]
    assert (bodies_of(dead), reasons) == ([b"1", b"2", b"3"], ["maxlen", "expired", "expired"])


def test_overflow_reject_publish_dlx_drops_the_head() -> None:
    node = Node()
    queue = quorum(node, max_length=1, overflow="reject-publish-dlx")
    node.publish(b"1", b"2")
    assert not queue.refuses_publishes
    assert bodies_of(queue) == [b"2"]


def test_consumer_that_shares_its_prefetch_is_refused() -> None:
    node = Node()
    queue = quorum(node)
    consumer = Consumer("c", queue, RecordingChannel(), no_ack=False, exclusive=False, prefetch=0, arguments={})
    refused(
        NotImplementedFault, "queue 'q' in vhost '/' does not support global qos", queue.check_consumer, consumer, 3
    )


def test_get_beside_a_single_active_consumer_is_refused() -> None:
    node = Node()
    queue = quorum(node, single_active_consumer=True)
    text = (
        "cannot obtain access to locked queue 'q' in vhost '/'. "
        "basic.get operations are not supported by quorum queues with single active consumer"
    )
    refused(ResourceLocked, text, queue.get)


def test_exclusive_consumers_are_like_others() -> None:
    node = Node()
    queue = quorum(node)
    for tag in "ab":
        consumer = Consumer(tag, queue, RecordingChannel(), no_ack=False, exclusive=True, prefetch=0, arguments={})
        queue.check_consumer(consumer, 0)
        queue.subscribe(consumer)
    assert queue.consumer_count == 2


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_conditional_delete_is_refused(flag: str) -> None:
    node = Node()
    quorum(node)
    flag_text = flag.replace("_", "-")
    text = (
        "cannot delete queue 'q' in vhost '/'. queue.delete operations with "
        f"{flag_text} flag set are not supported by quorum queues"
    )
    refused(NotImplementedFault, text, node.vhost.delete_queue, "q", owner=OWNER, **{flag: True})


@pytest.mark.parametrize(
    ("properties", "wrong"),
    [
        ({"durable": False}, "non-durable"),
        ({"durable": True, "exclusive": True}, "exclusive-owner"),
        ({"durable": True, "exclusive": True, "auto_delete": True}, "auto-delete"),
    ],
)
def test_properties_that_do_not_last_are_refused(properties: dict[str, bool], wrong: str) -> None:
    node = Node()
    text = f"invalid property '{wrong}' for queue 'q' in vhost '/'"
    declare = node.vhost.declare_queue
    refused(PreconditionFailed, text, declare, "q", owner=OWNER, arguments=QUORUM, **properties)
    assert not node.vhost.queues


def test_server_does_not_name_it() -> None:
    node = Node()
    text = "Cannot declare a server-named queue for type rabbit_quorum_queue"
    refused(PreconditionFailed, text, node.vhost.declare_queue, "", owner=OWNER, durable=True, arguments=QUORUM)


@pytest.mark.parametrize("argument", ["x-max-priority", "x-queue-mode", "x-queue-version", "x-max-age"])
def test_arguments_of_other_kinds_are_refused(argument: str) -> None:
    node = Node()
    text = f"invalid arg '{argument}' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue"
    declare = node.vhost.declare_queue
    arguments = QUORUM | {argument: 1}
    refused(PreconditionFailed, text, declare, "q", owner=OWNER, durable=True, arguments=arguments)


def test_a_group_of_none_is_refused() -> None:
    node = Node()
    text = "invalid arg 'x-quorum-initial-group-size' for queue 'q' in vhost '/': {value_zero,0}"
    declare = node.vhost.declare_queue
    arguments = QUORUM | {"x-quorum-initial-group-size": 0}
    refused(PreconditionFailed, text, declare, "q", owner=OWNER, durable=True, arguments=arguments)
