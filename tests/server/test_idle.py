"""What is idle costs nothing: no timers but heartbeats, and not one call more for a message beside idle queues."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from pamqp import commands

from tests.protocol.octets import PERSISTENT, ack_frame, message
from tests.server.wired import Client, Node, running_node

IDLE_QUEUES = 10_000
HANDSHAKE_MS = 10_000
"""Until when the one timer of all handshakes looks for some that are late."""


def calls_made(action: Callable[[], object]) -> int:
    """How many calls, of Python's functions and of C's, an action makes."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_idle_broker_has_nothing_to_wake_up_for(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        clients = [node.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            client.declare(f"q{number}")
            client.send(commands.Basic.Consume, queue=f"q{number}", consumer_tag="c")
        assert node.clock.timer_count == 1
        node.clock.advance(HANDSHAKE_MS)
        assert node.clock.timer_count == 0
        client = node.connect(heartbeat_s=60)
        node.clock.advance(HANDSHAKE_MS)
        assert node.clock.timer_count == 2
        node.clock.advance(61_000 - HANDSHAKE_MS)
        assert (client.names(), client.heartbeat_count, node.clock.timer_count) == ([], 1, 2)


def test_ten_thousand_idle_queues_add_no_call_to_a_message(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        publisher, consumer = node.connect(), node.connect()
        publisher.send(commands.Queue.Declare, queue="q", durable=True)
        publisher.send(commands.Confirm.Select)
        node.settle()
        consumer.send(commands.Basic.Consume, queue="q", consumer_tag="c")
        tags = iter(range(1, 1000))
        alone = [calls_of_a_message(node, publisher, consumer, next(tags)) for _ in range(5)]
        look_alone = calls_made(node.broker.residency.relieve)
        timers_alone = node.clock.timer_count
        vhost = node.broker.vhosts["/"]
        for number in range(IDLE_QUEUES):
            vhost.declare_queue(f"idle-{number}", owner=None, durable=bool(number % 2), arguments={})
        node.settle()
        beside = [calls_of_a_message(node, publisher, consumer, next(tags)) for _ in range(5)]
        assert beside[-1] == alone[-1]
        assert calls_made(node.broker.residency.relieve) == look_alone, "a look at what is in memory asks empty queues"
        assert node.clock.timer_count == timers_alone


def test_idle_channels_are_not_asked_what_they_keep_in_memory(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        consumer = node.connect()
        consumer.declare("q")
        consumer.send(commands.Basic.Consume, queue="q", consumer_tag="c")
        relieve = node.broker.residency.relieve
        alone = calls_made(relieve)
        clients = [node.connect() for _ in range(200)]
        assert calls_made(relieve) == alone
        clients[0].publish(b"body")
        node.settle()
        assert node.broker.residency.resident_octets > len(b"body")
        consumer.connection.data_received(ack_frame(1))
        node.settle()
        assert node.broker.residency.resident_octets == 0
        assert calls_made(relieve) == alone


def calls_of_a_message(node: Node, publisher: Client, consumer: Client, tag: int) -> int:
    """Publish, deliver, confirm and ack one message; return the calls of the loop's part of it."""
    octets = message(b"body", properties=PERSISTENT)
    count = calls_made(lambda: publisher.connection.data_received(octets))
    node.settle()
    count += calls_made(lambda: consumer.connection.data_received(ack_frame(tag)))
    node.settle()
    return count
