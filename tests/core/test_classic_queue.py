"""ClassicQueue: who gets what in which order, and what the log is told."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.core.recording import RecordingChannel, RecordingLog, new_consumer, new_queue, stretch_of


def test_messages_are_delivered_in_the_order_of_publishing() -> None:
    queue, channel = new_queue(), RecordingChannel()
    new_consumer(queue, channel, "a")
    queue.publish(stretch_of(1, 3))
    queue.publish(stretch_of(4, 2))
    queue.drain()
    assert channel.ids_of("a") == [1, 2, 3, 4, 5]


def test_three_consumers_take_strict_turns_across_runs() -> None:
    queue, channel = new_queue(), RecordingChannel()
    for tag in "abc":
        new_consumer(queue, channel, tag)
    for first, count in ((1, 1), (2, 7), (9, 2), (11, 1)):
        queue.publish(stretch_of(first, count))
        queue.drain()
    turns = sorted((message_id, tag) for tag, message_id, _ in channel.taken)
    assert [tag for _, tag in turns] == list("abcabcabcab")


def test_consumer_without_credit_is_left_out_of_turn() -> None:
    queue, channel = new_queue(), RecordingChannel()
    new_consumer(queue, channel, "a", prefetch=1)
    new_consumer(queue, channel, "b", prefetch=3)
    queue.publish(stretch_of(1, 6))
    queue.drain()
    assert channel.ids_of("a") == [1]
    assert channel.ids_of("b") == [2, 3, 4]
    assert queue.message_count == 2


def test_ack_gives_credit_and_a_place_at_the_end_of_the_line() -> None:
    queue, channel = new_queue(), RecordingChannel()
    consumer = new_consumer(queue, channel, "a", prefetch=1)
    queue.publish(stretch_of(1, 2))
    queue.drain()
    _, stretch = channel.unacked.pop(0)
    queue.settle(stretch)
    consumer.settled(1)
    assert queue.is_touched
    queue.drain()
    assert channel.ids_of("a") == [1, 2]


def test_consumer_of_a_congested_connection_gets_nothing_until_it_is_ready() -> None:
    queue, channel = new_queue(), RecordingChannel()
    consumer = new_consumer(queue, channel, "a")
    channel.can_deliver = False
    queue.publish(stretch_of(1, 2))
    queue.drain()
    assert channel.taken == []
    channel.can_deliver = True
    queue.consumer_ready(consumer)
    queue.drain()
    assert channel.ids_of("a") == [1, 2]


def test_requeued_messages_return_to_their_places_marked_redelivered() -> None:
    queue, channel = new_queue(), RecordingChannel()
    queue.publish(stretch_of(1, 4))
    taken = [queue.get() for _ in range(3)]
    for stretch in (taken[2], taken[0]):
        assert stretch is not None
        queue.requeue(stretch)
    new_consumer(queue, channel, "a")
    while queue.is_touched:
        queue.drain()
    assert channel.taken == [("a", 1, True), ("a", 3, True), ("a", 4, False)]


def test_share_of_a_round_returns_between_its_neighbours() -> None:
    queue, one, other = new_queue(), RecordingChannel(), RecordingChannel()
    new_consumer(queue, one, "a")
    new_consumer(queue, other, "b")
    queue.publish(stretch_of(1, 6))
    queue.drain()
    for consumer in list(queue.consumers):
        queue.unsubscribe(consumer)
    for channel in (other, one):
        for _, stretch in channel.unacked:
            queue.requeue(stretch)
    left = [queue.get() for _ in range(6)]
    assert [stretch.ids[0] for stretch in left if stretch is not None] == [1, 2, 3, 4, 5, 6]


def test_drain_stops_after_its_share_and_asks_for_another() -> None:
    queue, channel = new_queue(), RecordingChannel()
    for n in range(20):
        queue.publish(stretch_of(1 + n * 1000, 1000))
    new_consumer(queue, channel, "a", no_ack=True)
    queue.drain()
    assert queue.is_touched
    assert 0 < queue.message_count < 20_000


def test_purge_counts_and_settles_ready_messages_alone() -> None:
    log = RecordingLog()
    queue = new_queue(log)
    queue.publish(stretch_of(1, 3, persistent=True))
    queue.publish(stretch_of(4, 2))
    held = queue.get()
    assert held is not None
    assert queue.purge() == 4
    assert log.settled == [2, 3]
    assert queue.message_count == 0


def test_log_is_told_what_was_delivered_and_what_was_settled() -> None:
    log = RecordingLog()
    queue = new_queue(log)
    queue.publish(stretch_of(1, 3, persistent=True))
    first, second = queue.get(), queue.get()
    assert log.delivered_upto == 2
    assert first is not None
    assert second is not None
    queue.settle(first)
    queue.requeue(second)
    assert log.settled == [1]


def test_deleted_queue_forgets_its_messages_and_what_comes_back() -> None:
    log = RecordingLog()
    queue, channel = new_queue(log), RecordingChannel()
    consumer = new_consumer(queue, channel, "a", prefetch=1)
    queue.publish(stretch_of(1, 3, persistent=True))
    queue.drain()
    assert queue.stop() == [consumer]
    queue.requeue(channel.unacked[0][1])
    assert queue.message_count == 0
    assert log.deleted == [7]


class QueueAgainstList(RuleBasedStateMachine):
    """A queue beside a plain list of ids: same messages, same order, same flags, strict turns."""

    def __init__(self) -> None:
        super().__init__()
        self.log = RecordingLog()
        self.queue = new_queue(self.log)
        self.channel = RecordingChannel()
        self.next_id = 1
        self.next_tag = 0
        self.ready: list[int] = []
        self.delivered: set[int] = set()
        self.seen = 0

    def drain(self) -> None:
        """Drain, and check each delivery against the head of the list."""
        while self.queue.is_touched:
            self.queue.drain()
        new = sorted(self.channel.taken[self.seen :], key=lambda item: item[1])
        self.seen = len(self.channel.taken)
        for _, message_id, redelivered in new:
            assert message_id == self.ready.pop(0)
            assert redelivered == (message_id in self.delivered)
            self.delivered.add(message_id)

    @rule(count=st.integers(1, 9), persistent=st.booleans())
    def publish(self, count: int, persistent: bool) -> None:
        self.queue.publish(stretch_of(self.next_id, count, persistent=persistent))
        self.ready += range(self.next_id, self.next_id + count)
        self.next_id += count
        self.drain()

    @rule(prefetch=st.integers(0, 5), no_ack=st.booleans())
    def subscribe(self, prefetch: int, no_ack: bool) -> None:
        self.next_tag += 1
        new_consumer(self.queue, self.channel, f"c{self.next_tag}", prefetch=prefetch, no_ack=no_ack)
        self.drain()

    @precondition(lambda self: self.queue.consumers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.queue.unsubscribe(data.draw(st.sampled_from(list(self.queue.consumers))))
        self.drain()

    @rule()
    def get_and_hold(self) -> None:
        stretch = self.queue.get()
        assert (stretch is None) == (not self.ready)
        if stretch is not None:
            assert stretch.ids[0] == self.ready.pop(0)
            assert stretch.redelivered == (stretch.ids[0] in self.delivered)
            self.delivered.add(stretch.ids[0])
            self.channel.unacked.append((None, stretch))

    @precondition(lambda self: self.channel.unacked)
    @rule(data=st.data(), requeue=st.booleans())
    def settle_or_requeue(self, data: st.DataObject, requeue: bool) -> None:
        places = data.draw(st.sets(st.integers(0, len(self.channel.unacked) - 1), min_size=1))
        for place in sorted(places, reverse=True):
            consumer, stretch = self.channel.unacked.pop(place)
            if requeue:
                self.queue.requeue(stretch)
                self.ready = sorted([*self.ready, *stretch.ids])
            else:
                self.queue.settle(stretch)
            if consumer is not None:
                consumer.settled(1)
        self.drain()

    @rule()
    def purge(self) -> None:
        assert self.queue.purge() == len(self.ready)
        self.ready.clear()

    @invariant()
    def counts_agree(self) -> None:
        assert self.queue.message_count == len(self.ready)
        assert self.queue.unacked_count == len(self.channel.unacked)

    @invariant()
    def nothing_waits_beside_a_consumer_with_credit(self) -> None:
        if self.ready:
            assert not any(consumer.limit() for consumer in self.queue.consumers)

    @invariant()
    def nothing_is_settled_twice(self) -> None:
        assert len(set(self.log.settled)) == len(self.log.settled)


TestQueueAgainstList = QueueAgainstList.TestCase
TestQueueAgainstList.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_message_for_one_waiting_consumer_is_passed_on_without_a_drain() -> None:
    log, channel = RecordingLog(), RecordingChannel()
    queue = new_queue(log)
    consumer = new_consumer(queue, channel, "a", prefetch=3)
    queue.publish(stretch_of(1, 2, persistent=True))
    assert (channel.ids_of("a"), queue.message_count, queue.unacked_count, log.delivered_upto) == ([1, 2], 0, 2, 2)
    queue.publish(stretch_of(3, 2, persistent=True))  # More than its prefetch takes at once.
    queue.publish(stretch_of(5, 1, persistent=True))
    assert (channel.ids_of("a"), queue.message_count) == ([1, 2], 3)
    queue.drain()
    assert (channel.ids_of("a"), queue.message_count, log.delivered_upto) == ([1, 2, 3], 2, 3)
    consumer.credit += 10
    consumer.settled(0)
    queue.drain()
    assert channel.ids_of("a") == [1, 2, 3, 4, 5]


def test_single_messages_are_passed_on_in_turn_where_several_consumers_stand_in_line() -> None:
    queue, channel = new_queue(), RecordingChannel()
    for tag in "abc":
        new_consumer(queue, channel, tag, no_ack=True)
    queue.publish(stretch_of(1, 1))
    queue.publish(stretch_of(2, 1))
    assert [tag for tag, _, _ in channel.taken] == ["a", "b"]
    queue.publish(stretch_of(3, 4))  # Several at once are dealt out at the end of the read.
    queue.publish(stretch_of(7, 1))  # It does not go past them.
    assert queue.message_count == 5
    queue.drain()
    queue.publish(stretch_of(8, 1))
    assert [channel.ids_of(tag) for tag in "abc"] == [[1, 4, 7], [2, 5, 8], [3, 6]]
    assert (queue.message_count, queue.unacked_count) == (0, 0)


def test_single_message_is_not_passed_on_to_a_consumer_without_credit() -> None:
    queue, channel = new_queue(RecordingLog()), RecordingChannel()
    new_consumer(queue, channel, "a", prefetch=1)
    new_consumer(queue, channel, "b", prefetch=2)
    for first in (1, 2, 3, 4):
        queue.publish(stretch_of(first, 1, persistent=True))
    queue.drain()
    assert [channel.ids_of(tag) for tag in "ab"] == [[1], [2, 3]]
    assert (queue.message_count, queue.unacked_count) == (1, 3)
