"""Clients that send much take turns: others come between, each gets its share, and nothing is lost or out of order."""

import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.server.heavy import HEAVY_OCTETS, TURN_OCTETS, HeavySenders
from broker.server.surging import SurgingConnection
from tests.nodes import RunningNode
from tests.protocol.octets import message
from tests.server.wired import Turns, running_node


class Sender:
    """Counts what is read of it; a loop reads it while it is not held."""

    def __init__(self, octets: int) -> None:
        self.octets = octets
        self.is_held = False
        self.reads = 0

    def hold(self) -> None:
        assert not self.is_held
        self.is_held = True

    def go_on(self) -> None:
        assert self.is_held
        self.is_held = False


class Loop(Turns):
    """Reads in each turn all that may be read, in the same order, and returns how much that was."""

    def __init__(self, *senders: Sender) -> None:
        super().__init__()
        self.heavy = HeavySenders(self.call_soon)
        self.senders = senders

    def turn(self) -> int:
        now, self._waiting = self._waiting, []
        for call in now:
            call()
        octets = 0
        for sender in self.senders:
            if not sender.is_held:
                sender.reads += 1
                octets += sender.octets
                self.heavy.sent(sender, sender.octets)
        return octets


@given(st.lists(st.integers(HEAVY_OCTETS, TURN_OCTETS), min_size=2, max_size=30))
def test_each_gets_its_turn_and_no_turn_is_long(sizes: list[int]) -> None:
    senders = [Sender(octets) for octets in sizes]
    loop = Loop(*senders)
    loop.turn()  # Nobody is known to send much yet.
    for sender in senders:
        sender.reads = 0
    turns = 20 * len(sizes)
    octets = [loop.turn() for _ in range(turns)]
    assert max(octets) <= 2 * TURN_OCTETS
    reads = [sender.reads for sender in senders]
    assert min(reads) >= turns // len(sizes) // 2
    assert max(reads) <= 2 * min(reads) + 2


def test_who_sends_less_than_a_turn_is_never_held() -> None:
    senders = [Sender(HEAVY_OCTETS) for _ in range(TURN_OCTETS // HEAVY_OCTETS - 1)]
    loop = Loop(*senders)
    for _ in range(10):
        loop.turn()
    assert {sender.reads for sender in senders} == {10}


def test_one_that_has_gone_is_not_read_again() -> None:
    gone, other = Sender(TURN_OCTETS), Sender(TURN_OCTETS)
    loop = Loop(gone, other)
    loop.turn()
    assert gone.is_held
    loop.heavy.forget(gone)
    for _ in range(10):
        loop.turn()
    assert gone.is_held
    assert other.reads >= 5


def test_a_connection_that_waits_for_something_else_stays_unread(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect(make=SurgingConnection)
        flood = message(bytes(TURN_OCTETS), b"nowhere")
        client.connection.data_received(flood)
        assert not client.wire.is_read
        node.turns.run()
        assert client.wire.is_read
        client.connection.data_received(flood)
        client.connection.pause_reading("alarm")
        node.turns.run()
        assert not client.wire.is_read
        client.connection.resume_reading("alarm")
        assert client.wire.is_read


@pytest.mark.parametrize("publisher_count", [1, 3])
def test_what_clients_send_in_turns_arrives_whole_and_in_order(tmp_path: Path, publisher_count: int) -> None:
    count, padding = 200, bytes(50_000)
    with RunningNode(tmp_path) as node, node.connect() as reader:
        reading = reader.channel()
        reading.queue_declare("q")

        def publish(name: bytes) -> None:
            with node.connect() as writer:
                writing = writer.channel()
                for number in range(count):
                    writing.basic_publish("", "q", b"%s %d %s" % (name, number, padding))

        threads = [threading.Thread(target=publish, args=(b"%d" % each,)) for each in range(publisher_count)]
        for thread in threads:
            thread.start()
        seen: Counter[bytes] = Counter()
        for _, _, body in reading.consume("q", auto_ack=True):
            name, number, rest = body.split(b" ", 2)
            assert (int(number), rest) == (seen[name], padding)
            seen[name] += 1
            if sum(seen.values()) == count * publisher_count:
                break
        for thread in threads:
            thread.join()
