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

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)


class Line:
    """Departures that note who goes, by number."""

    def __init__(self) -> None:
        self.gone: list[int] = []
        self.is_scheduled = False
        self.departures = Departures(self._schedule)

    def _schedule(self) -> None:
        self.is_scheduled = True

    def go(self, number: int) -> None:
        if self.departures.may_go():
            self.gone.append(number)
        else:
            self.departures.wait(lambda: self.gone.append(number))

    def turn(self) -> None:
        self.is_scheduled = False
        self.departures.turn()


def test_a_few_go_at_each_turn_in_order() -> None:
    line = Line()
    for number in range(COUNT):
        line.go(number)
    seen = [len(line.gone)]
    while line.is_scheduled:
        line.turn()
        seen.append(len(line.gone))
    assert seen == [*range(TURN_COUNT, COUNT, TURN_COUNT), COUNT, COUNT]
    assert line.gone == list(range(COUNT))


def test_who_goes_while_others_wait_comes_after_them() -> None:
    line = Line()
    for number in range(2 * TURN_COUNT + 1):
        line.go(number)
    line.turn()
    line.go(-1)
    while line.is_scheduled:
        line.turn()
    line.go(-2)
    assert line.gone == [*range(2 * TURN_COUNT + 1), -1, -2]


def test_an_error_of_one_leaves_the_others_to_go() -> None:
    line = Line()
    for number in range(TURN_COUNT):
        line.go(number)
    line.departures.wait(lambda: 1 / 0)
    line.go(7)
    with pytest.raises(ZeroDivisionError):
        line.turn()
    assert line.is_scheduled
    line.turn()
    assert line.gone[TURN_COUNT:] == [7]


@pytest.mark.parametrize("is_reset", [False, True])
def test_nothing_is_delivered_to_who_has_gone_and_waits(tmp_path: Path, is_reset: bool) -> None:
    with running_node(tmp_path) as node:
        node.turns = turns = OneTurn()
        node.broker.loop = cast(asyncio.AbstractEventLoop, turns)
        consumers = [node.connect(make=SurgingConnection) for _ in range(COUNT)]
        healthy = node.connect(make=SurgingConnection)
        healthy.declare("q")
        for consumer in consumers:
            consumer.send(commands.Basic.Consume, queue="q", no_ack=True)
            assert consumer.names() == ["Basic.ConsumeOk"]
        going = [consumer for consumer in consumers if is_reset or not consumer.connection.eof_received()]
        for consumer in going:
            consumer.wire.is_open = False
            consumer.connection.connection_lost(None)
        assert len(node.broker.connections) > COUNT - TURN_COUNT
        healthy.connection.data_received(b"".join(message(b"%d" % number, b"q") for number in range(10)))
        while turns.is_waiting:
            turns.turn()
            for consumer in consumers:
                if not consumer.wire.is_open and consumer not in going:
                    going.append(consumer)
                    consumer.connection.connection_lost(None)
        assert node.broker.connections == {healthy.connection}
        healthy.send(commands.Queue.Declare, queue="q", passive=True)
        (answer,) = healthy.received()
        assert cast(commands.Queue.DeclareOk, answer).message_count == 10
        assert not any(consumer.wire.written for consumer in consumers)
