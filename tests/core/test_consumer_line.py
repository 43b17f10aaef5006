"""ConsumerLine by way of a queue: priorities, the single active consumer, shared limits, order on one channel."""

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from tests.core.node import Node
from tests.core.recording import RecordingChannel


def subscribe(
    queue: ClassicQueue, channel: RecordingChannel, tag: str, priority: int = 0, prefetch: int = 0
) -> Consumer:
    arguments = {"x-priority": priority} if priority else {}
    consumer = Consumer(tag, queue, channel, no_ack=False, exclusive=False, prefetch=prefetch, arguments=arguments)
    queue.subscribe(consumer)
    return consumer


def tags_in_order(*channels: RecordingChannel) -> str:
    taken = sorted((message_id, tag) for channel in channels for tag, message_id, _ in channel.taken)
    return "".join(tag for _, tag in taken)


def test_higher_priority_is_filled_first() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q")
    for tag, priority in (("a", 0), ("b", 5), ("c", 5), ("d", -1)):
        subscribe(queue, channel, tag, priority, prefetch=2)
    node.publish(*(b"%d" % n for n in range(8)))
    assert tags_in_order(channel) == "bcbcaadd"


def test_priority_that_gets_credit_back_goes_first_again() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q")
    high = subscribe(queue, channel, "h", 9, prefetch=1)
    subscribe(queue, channel, "l")
    node.publish(b"1", b"2")
    assert tags_in_order(channel) == "hl"
    high.credit += 1
    queue.consumer_ready(high)
    node.publish(b"3")
    assert tags_in_order(channel) == "hlh"


def test_single_active_consumer_gets_all_and_hands_over_in_order() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q", single_active_consumer=True)
    first, second, third = (subscribe(queue, channel, tag) for tag in "abc")
    node.publish(b"1", b"2")
    queue.unsubscribe(second)
    node.publish(b"3")
    queue.unsubscribe(first)
    node.publish(b"4")
    assert tags_in_order(channel) == "aaac"
    assert queue.line.active is third


def test_single_active_consumer_without_credit_is_waited_for() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q", single_active_consumer=True)
    subscribe(queue, channel, "a", prefetch=1)
    subscribe(queue, channel, "b")
    node.publish(b"1", b"2")
    assert tags_in_order(channel) == "a"
    assert queue.message_count == 1


def test_consumers_of_one_channel_see_messages_in_order() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q")
    for tag in "abc":
        subscribe(queue, channel, tag)
    node.publish(*(b"%d" % n for n in range(9)))
    assert [(tag, message_id) for tag, message_id, _ in channel.taken] == list(
        zip("abcabcabc", range(1, 10), strict=True)
    )


def test_consumers_of_several_channels_share_a_run_in_strict_turn() -> None:
    node, channels = Node(), [RecordingChannel() for _ in range(3)]
    queue = node.declare("q")
    for tag, channel in zip("abc", channels, strict=True):
        subscribe(queue, channel, tag)
    node.publish(*(b"%d" % n for n in range(10)))
    node.publish(b"x")
    assert tags_in_order(*channels) == "abcabcabcab"


def test_consumers_that_paused_stand_in_line_again_as_they_left() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q")
    first, second = subscribe(queue, channel, "a"), subscribe(queue, channel, "b")
    node.publish(b"1")
    channel.can_deliver = False
    node.publish(b"2", b"3")
    channel.can_deliver = True
    for consumer in sorted((first, second), key=lambda each: each.left_at):
        queue.consumer_ready(consumer)
    node.drain()
    assert tags_in_order(channel) == "aba"


def test_consumers_of_one_channel_share_runs_as_far_as_their_prefetch_goes() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q")
    for tag, prefetch in (("a", 0), ("b", 2), ("c", 3)):
        subscribe(queue, channel, tag, prefetch=prefetch)
    node.publish(*(b"%d" % n for n in range(10)))
    assert tags_in_order(channel) == "abcabcacaa"
    assert [message_id for _, message_id, _ in channel.taken] == list(range(1, 11))


def test_turns_go_on_where_a_run_has_ended() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q")
    for tag in "abcd":
        subscribe(queue, channel, tag)
    for run in (b"123", b"45", b"6", b"789ABCDEF"):
        node.publish(*(bytes((octet,)) for octet in run))
    assert tags_in_order(channel) == "abcdabcdabcdabc"


def test_consumers_of_two_channels_take_strict_turns_and_each_channel_sees_its_order() -> None:
    node, first, second = Node(), RecordingChannel(), RecordingChannel()
    queue = node.declare("q")
    for tag, channel in (("a", first), ("b", second), ("c", first), ("d", second), ("e", first)):
        subscribe(queue, channel, tag, prefetch=3)
    node.publish(*(b"%d" % n for n in range(12)))
    assert tags_in_order(first, second) == "abcdeabcdeab"
    for channel in (first, second):
        ids = [message_id for _, message_id, _ in channel.taken]
        assert ids == sorted(ids)


def test_a_limit_that_consumers_of_a_channel_share_is_kept_while_they_take_turns() -> None:
    node, channel = Node(), RecordingChannel()
    channel.shared_credit = 3
    queue = node.declare("q")
    for tag in "ab":
        subscribe(queue, channel, tag)
    deliver = channel.deliver

    def deliver_and_count(consumer: Consumer, stretch: Stretch) -> None:
        channel.shared_credit -= len(stretch.pieces)
        deliver(consumer, stretch)

    channel.deliver = deliver_and_count  # type: ignore[method-assign]
    node.publish(*(b"%d" % n for n in range(8)))
    assert tags_in_order(channel) == "aba"
    assert queue.message_count == 5


def test_who_does_not_ack_leaves_nothing_open_beside_others_who_do() -> None:
    node, channel = Node(), RecordingChannel()
    queue = node.declare("q")
    for tag, no_ack in (("a", True), ("b", False), ("c", True)):
        queue.subscribe(Consumer(tag, queue, channel, no_ack=no_ack, exclusive=False, prefetch=0, arguments={}))
    node.publish(*(b"%d" % n for n in range(7)))
    assert tags_in_order(channel) == "abcabca"
    assert queue.unacked_count == 2
