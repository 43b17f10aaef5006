"""One round: a workload against one broker, from empty queues to empty queues.

Processes are forked and connect, publishing begins, after a warm-up the window is measured, publishing stops,
the queues drain, and every message published must have been delivered exactly so often as it should.
"""

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from bench import processes
from bench.board import Board, Phase, RoundAborted
from bench.client import Address, BrokerRefused, Client
from bench.consumer import run_consumer
from bench.meter import DISTURBED_SHARE, FULL_IDLE_SHARE, GENERATOR_BUSY_SHARE
from bench.producer import run_producer
from bench.workloads import Workload

LOOK_S = 0.01
CONNECT_LIMIT_S = 30.0
STALL_LIMIT_S = 20.0
"""A round fails when nothing has been delivered for so long although something is missing."""


class RoundFailed(Exception):
    """The round has no figure: a process of it failed, or messages are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one round measured."""

    workload: str
    messages_per_s: float
    """Deliveries a second in the window."""
    window_s: float
    delivered_count: int
    """Deliveries in the whole round, all accounted for."""
    broker_cpu_us: float | None
    """Processor microseconds of the broker for each delivery; None where /proc does not tell."""
    broker_cpu_share: float | None
    """Processors the broker kept busy."""
    generator_cpu_us: float
    generator_cpu_share: float
    """Processors the whole generator kept busy."""
    busiest_generator_share: float
    """The same of its busiest process, which can use one at most."""
    idle_share: float
    """Processors idle in the window."""
    others_share: float | None
    """Processors that anything else on the machine kept busy; None where /proc does not tell."""

    @property
    def is_disturbed(self) -> bool:
        """Something else had so much of the machine that the rate says little; the ratios say more."""
        return (self.others_share or 0.0) > DISTURBED_SHARE

    @property
    def is_limited_by_generator(self) -> bool:
        """The broker could have done more.

        Either a generator process had no time left, or the machine had none and the generator took
        the larger part.
        """
        is_full = self.idle_share < FULL_IDLE_SHARE and self.generator_cpu_share > (self.broker_cpu_share or 0.0)
        return is_full or self.busiest_generator_share >= GENERATOR_BUSY_SHARE


@dataclass(slots=True)
class _Sample:
    at_s: float
    delivered: int
    broker_cpu_s: float
    generator_cpu_s: list[float]
    idle_cpu_s: float


class Round:
    """The processes of one round and what they are doing."""

    __slots__ = ("_address", "_board", "_broker", "_children", "_workload")

    def __init__(self, address: Address, workload: Workload) -> None:
        self._address, self._workload = address, workload
        self._board = Board(workload.producer_processes, workload.consumer_processes)
        self._children: dict[int, str] = {}
        listener = processes.listening_process(address.port)
        self._broker = processes.process_tree(listener) if listener else []

    def run(self, window_s: float, warm_up_s: float) -> Result:
        """Raises RoundFailed; the processes are gone afterwards."""
        try:
            self._start_processes()
            self._wait(lambda: self._board.ready_count == len(self._children), CONNECT_LIMIT_S, "connect")
            self._board.phase = Phase.SEND
            self._wait(lambda: self._board.delivered > 0, CONNECT_LIMIT_S, "deliver anything")
            self._sleep(warm_up_s)
            before = self._sample()
            self._sleep(window_s)
            after = self._sample()
            self._board.phase = Phase.DRAIN
            self._drain()
            self._board.phase = Phase.FINISH
            self._wait(lambda: not self._children, CONNECT_LIMIT_S, "close")
            return self._result(before, after)
        finally:
            self._board.phase = Phase.ABORT
            self._end_processes()

    def _start_processes(self) -> None:
        for index in range(self._workload.consumer_processes):
            self._fork(f"consumer {index}", run_consumer, index)
        for index in range(self._workload.producer_processes):
            self._fork(f"producer {index}", run_producer, index)

    def _fork(self, name: str, role: Callable[[Address, Workload, Board, int], None], index: int) -> None:
        sys.stdout.flush()
        child = os.fork()
        if child:
            self._children[child] = name
            return
        code = 1
        try:
            role(self._address, self._workload, self._board, index)
            code = 0
        except (RoundAborted, KeyboardInterrupt):
            pass
        except BaseException:  # noqa: BLE001 - a forked child must never return into the parent's code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _end_processes(self) -> None:
        deadline = time.monotonic() + 2.0
        while self._children and time.monotonic() < deadline:
            self._reap(failing=False)
            time.sleep(LOOK_S)
        for child in self._children:
            os.kill(child, 9)
            os.waitpid(child, 0)
        self._children.clear()

    def _reap(self, *, failing: bool = True) -> None:
        for child, name in list(self._children.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del self._children[child]
                if failing and status:
                    raise RoundFailed(f"{name} failed")

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._reap()
            time.sleep(min(left, 0.1))

    def _wait(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            self._reap()
            if time.monotonic() > deadline:
                raise RoundFailed(f"did not {what} within {limit_s:.0f} s: {list(self._children.values())}")
            time.sleep(LOOK_S)

    def _drain(self) -> None:
        """Wait until the producers have ended and all they published has been delivered."""
        last, last_at = -1, time.monotonic()
        while True:
            self._reap()
            delivered, now = self._board.delivered, time.monotonic()
            if not any(name.startswith("producer") for name in self._children.values()):
                wanted = self._board.published * self._workload.copies
                if delivered == wanted:
                    return
                if delivered > wanted:
                    raise RoundFailed(f"{delivered} deliveries of {wanted}: some messages came twice")
            if delivered != last:
                last, last_at = delivered, now
            elif now - last_at > STALL_LIMIT_S:
                published = self._board.published * self._workload.copies
                raise RoundFailed(
                    f"only {delivered} of {published} deliveries came, none in the last {STALL_LIMIT_S} s"
                )
            time.sleep(LOOK_S)

    def _sample(self) -> _Sample:
        generator = [processes.cpu_s([child]) for child in self._children]
        broker, idle = processes.cpu_s(self._broker), processes.idle_cpu_s()
        return _Sample(time.monotonic(), self._board.delivered, broker, generator, idle)

    def _result(self, before: _Sample, after: _Sample) -> Result:
        window_s, delivered = after.at_s - before.at_s, after.delivered - before.delivered
        if not delivered:
            raise RoundFailed("nothing was delivered in the window")
        generator = [end - start for start, end in zip(before.generator_cpu_s, after.generator_cpu_s, strict=True)]
        broker_s = after.broker_cpu_s - before.broker_cpu_s
        idle_share = (after.idle_cpu_s - before.idle_cpu_s) / window_s
        others_share = max(0.0, (os.cpu_count() or 1) - idle_share - (sum(generator) + broker_s) / window_s)
        return Result(
            workload=self._workload.name,
            messages_per_s=delivered / window_s,
            window_s=window_s,
            delivered_count=self._board.delivered,
            broker_cpu_us=broker_s / delivered * 1e6 if self._broker else None,
            broker_cpu_share=broker_s / window_s if self._broker else None,
            generator_cpu_us=sum(generator) / delivered * 1e6,
            generator_cpu_share=sum(generator) / window_s,
            busiest_generator_share=max(generator) / window_s,
            idle_share=idle_share,
            others_share=others_share if self._broker else None,
        )


def run_round(address: Address, workload: Workload, *, window_s: float, warm_up_s: float) -> Result:
    """Declare, run, check that nothing is left, delete. Raises RoundFailed, OSError, BrokerRefused."""
    client = Client(address)
    try:
        workload.declare(client)
        result = Round(address, workload).run(window_s, warm_up_s)
        left = workload.waiting_count(client)
        if left:
            raise RoundFailed(f"{left} messages were left in the queues although all had been acknowledged")
        return result
    finally:
        # What failed above matters more than a broker that can no longer be tidied.
        with contextlib.suppress(OSError, BrokerRefused):
            workload.remove(client)
        with contextlib.suppress(OSError, BrokerRefused):
            client.close()
