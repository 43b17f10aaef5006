"""Many clients that go at once: nobody else waits for all of them, and what they held comes back in order."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from pamqp import commands

from broker.server.departures import TURN_COUNT, Departures
from broker.server.surging import SurgingConnection
from tests.protocol.octets import message
from tests.server.wired import Turns, running_node

COUNT = 5 * TURN_COUNT + 3


class OneTurn(Turns):
    """Turns of the loop that are taken one by one."""

    def turn(self) -> None:
        now, self._waiting = self._waiting, []
        for call in now:
            call()


def test_a_few_are_given_up_at_each_turn_in_order() -> None:
    turns = OneTurn()
    departures = Departures(turns.call_soon)
    gone: list[int] = []
    for number in range(COUNT):
        departures.add(lambda number=number: gone.append(number))  # type: ignore[misc]
    seen = [len(gone)]
    while len(gone) < COUNT:
        turns.turn()
        seen.append(len(gone))
    assert seen == [*range(TURN_COUNT, COUNT, TURN_COUNT), COUNT]
    assert gone == list(range(COUNT))


def test_who_goes_while_others_wait_comes_after_them() -> None:
    turns = OneTurn()
    departures = Departures(turns.call_soon)
    gone: list[int] = []
    for number in range(TURN_COUNT + 1):
        departures.add(lambda number=number: gone.append(number))  # type: ignore[misc]
    turns.turn()
    departures.add(lambda: gone.append(-1))
    turns.run()
    departures.add(lambda: gone.append(-2))
    assert gone == [*range(TURN_COUNT + 1), -1, -2]


def test_an_error_of_one_leaves_the_others_to_be_given_up() -> None:
    turns = OneTurn()
    departures = Departures(turns.call_soon)
    gone: list[int] = []
    for number in range(TURN_COUNT):
        departures.add(lambda number=number: gone.append(number))  # type: ignore[misc]
    departures.add(lambda: gone.clear() or 1 / 0)  # type: ignore[func-returns-value]
    departures.add(lambda: gone.append(7))
    with pytest.raises(ZeroDivisionError):
        turns.turn()
    turns.run()
    assert gone == [7]


def test_nothing_is_delivered_to_who_has_gone_and_waits(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        node.turns = turns = OneTurn()
        node.broker.loop = cast(asyncio.AbstractEventLoop, turns)
        node.broker.departures = Departures(turns.call_soon)
        consumers = [node.connect(make=SurgingConnection) for _ in range(COUNT)]
        healthy = node.connect(make=SurgingConnection)
        healthy.declare("q")
        for consumer in consumers:
            consumer.send(commands.Basic.Consume, queue="q", no_ack=True)
            assert consumer.names() == ["Basic.ConsumeOk"]
        for consumer in consumers:
            consumer.wire.is_open = False
            consumer.connection.connection_lost(None)
        assert len(node.broker.connections) == COUNT - TURN_COUNT + 1
        healthy.connection.data_received(b"".join(message(b"%d" % number, b"q") for number in range(10)))
        turns.run()
        assert node.broker.connections == {healthy.connection}
        healthy.send(commands.Queue.Declare, queue="q", passive=True)
        (answer,) = healthy.received()
        assert cast(commands.Queue.DeclareOk, answer).message_count == 10
        assert not any(consumer.wire.written for consumer in consumers)
