"""delayed-message-exchange#72: a timer for each message; with many of them, minutes became days.

Here messages that wait, expire or are unacked cost the clock one timer a queue or exchange, however many they are.
"""

from broker.server.clock import ManualClock
from tests.core.node import OWNER, Node
from tests.core.routing_messages import new_message

COUNT = 20_000


def timers(node: Node) -> int:
    assert isinstance(node.clock, ManualClock)
    return node.clock.timer_count


def test_delayed_messages_share_one_timer_an_exchange_and_each_is_in_time() -> None:
    node = Node()
    node.vhost.declare_exchange("x", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    queue = node.declare("q")
    node.vhost.bind_queue("q", "x", "k", {}, owner=OWNER)
    before = timers(node)
    hour_ms, quarter_ms = 3_600_000, 900_000
    for number in range(COUNT // 10):
        node.send("x", new_message("k", headers={"x-delay": hour_ms - number}))
    node.send("x", new_message("k", headers={"x-delay": quarter_ms}))
    assert timers(node) - before == 1
    node.clock.advance(quarter_ms - 1)
    assert queue.message_count == 0
    node.clock.advance(1)
    assert queue.message_count == 1, "fifteen minutes are fifteen minutes"
    node.clock.advance(hour_ms)
    assert queue.message_count == COUNT // 10 + 1
    assert timers(node) == before


def test_messages_that_expire_share_one_timer_a_queue() -> None:
    node = Node()
    queue = node.declare("q", message_ttl=60_000)
    before = timers(node)
    for number in range(COUNT // 4):
        if not number % 100:
            node.clock.advance(1)  # deadlines differ
        node.publish(b"x")
    assert timers(node) - before <= 1
    node.clock.advance(60_000)
    assert queue.message_count == 0
    assert timers(node) - before <= 1


def test_messages_with_expirations_of_their_own_share_one_timer_too() -> None:
    node = Node()
    queue = node.declare("q")
    before = timers(node)
    for number in range(COUNT // 10):
        expiration = b"%d" % (1000 + number)
        node.publish(b"x", properties=b"\x01\x00" + bytes((len(expiration),)) + expiration)
    assert timers(node) - before <= 1
    node.clock.advance(999)
    assert queue.message_count == COUNT // 10
    node.clock.advance(COUNT)
    assert queue.message_count == 0
