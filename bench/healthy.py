"""Workload H: one healthy client's rounds beside clients that misbehave, and what is left of these afterwards.

A round is a message published with a confirm, to a queue that the same client consumes: it ends when delivery and
confirm have both come. Messages are transient, so that no disk is in the figure. One round after the other, with a
pause of 2 ms: whatever keeps the broker from its clients for longer than that, a round has to wait for.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any, Final, TypeVar

from bench import misbehaviour, processes, wire
from bench.beside import Beside
from bench.client import Address, Client
from bench.connections import allow_descriptors
from bench.figures import Effort, Figure, percentile_of
from bench.handshake import Handshake
from bench.meter import Meter
from bench.rounds import RoundFailed

QUEUE: Final = "bench-H-0"
PAUSE_S: Final = 0.002
BODY: Final = bytes(128)
CONNECTS_A_SECOND: Final = 2_200
"""What the four that open and close try to reach together: more than 2,000, and not all that can be had."""
OPENERS: Final = 4
HALF_OPEN: Final = 1_000
SLOW: Final = 20
FLOODING: Final = 3
IDLE_TIMES: Final = 2
"""Idle connections, in multiples of the effort's: 10,000 by default."""
RESULT_LIMIT_S: Final = 120.0
GONE_LIMIT_S: Final = 30.0
SETTLED_S: Final = 12.0
"""Until memory is looked at after the last case: it is given back now and then."""
LOOK_S: Final = 0.05
PERCENTILES: Final = (50, 99)
HEALTHY_DESCRIPTORS: Final = 1
ROOM_OCTETS: Final = 16 << 20
"""Memory is not waited for when there is no more than this above what it was."""

Result = TypeVar("Result")


def take_rounds(address: Address, has_begun: Event, must_end: Event) -> list[float]:
    """Seconds of each round until ``must_end`` is set; ``has_begun`` is set before the first."""
    client = Client(address, timeout_s=RESULT_LIMIT_S)
    client.delete_queue(QUEUE)
    client.declare_queue(QUEUE)
    client.select_confirms()
    client.consume(QUEUE, "c", no_ack=True)
    message = wire.encode_publish("", QUEUE) + wire.encode_content(0, b"", BODY)
    client.socket.sendall(message)
    answer_octets = len(_read_answers(client))
    has_begun.set()
    lasted_s: list[float] = []
    while not must_end.is_set():
        began_s = time.perf_counter()
        client.socket.sendall(message)
        missing_octets = answer_octets
        while missing_octets > 0:
            octets = client.socket.recv(1 << 12)
            if not octets:
                raise RoundFailed("the healthy client's connection was lost")
            missing_octets -= len(octets)
        lasted_s.append(time.perf_counter() - began_s)
        time.sleep(PAUSE_S)
    client.delete_queue(QUEUE)
    client.close()
    return lasted_s


def _read_answers(client: Client) -> bytes:
    """The octets of a delivery and a confirm, in whatever order; those of every round are as many."""
    octets = b""
    missing = {wire.BASIC_DELIVER, wire.BASIC_ACK, wire.BODY_FRAME}
    at = 0
    while missing:
        while (frame := wire.find_frame(octets, at)) is None:
            more = client.socket.recv(1 << 12)
            if not more:
                raise RoundFailed("the healthy client's connection was lost")
            octets += more
        kind, _, payload, at = frame
        missing.discard(wire.method_of(payload) if kind == wire.METHOD_FRAME else kind)
    return octets


class Neighbourhood:
    """The broker's clients in a round of H: a healthy one in each case, and those that misbehave."""

    def __init__(self, address: Address, effort: Effort) -> None:
        listener = processes.listening_process(address.port)
        if listener is None:
            raise RoundFailed("the broker's process is not visible here, so what is left of bad clients is not known")
        self.address = address
        self.window_s = effort.window_s
        self.idle_count = IDLE_TIMES * effort.connection_count
        self.figures: list[Figure] = []
        self._broker = processes.process_tree(listener)
        self._misbehaving: list[Beside[Any]] = []
        handshake = Handshake(address)
        handshake.close(handshake.open())
        self.descriptors_before = self.descriptors()
        self.octets_before = processes.resident_set_octets(self._broker)

    def descriptors(self) -> int:
        """How many the broker has open."""
        return sum(processes.descriptor_count(process) for process in self._broker)

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """A healthy client works while the block lasts; its figures are added under ``name``."""
        context = multiprocessing.get_context("fork")
        has_begun, must_end = context.Event(), context.Event()
        meter = Meter(self.address.port)
        with Beside(take_rounds, self.address, has_begun, must_end) as healthy:
            if not has_begun.wait(RESULT_LIMIT_S):
                healthy.result(0.0)
            yield
            must_end.set()
            lasted_s = sorted(healthy.result(RESULT_LIMIT_S))
            load = meter.load(healthy.process, *(each.process for each in self._misbehaving))
        values = {f"p{percent}": percentile_of(lasted_s, percent) for percent in PERCENTILES}
        values["longest"] = lasted_s[-1]
        self.figures += [
            Figure(name=f"{name}: {which}", value=value * 1e3, unit="ms", is_disturbed=load.is_disturbed)
            for which, value in values.items()
        ]

    def start(self, work: Callable[..., Result], *arguments: object) -> Beside[Result]:
        """A client that misbehaves, from now on."""
        begun = Beside(work, self.address, *arguments)
        self._misbehaving.append(begun)
        return begun

    def end(self) -> None:
        """All that misbehave are cut off at once; return when the broker has closed their sockets.

        Raises RoundFailed where it does not.
        """
        for each in self._misbehaving:
            each.close()
        self._misbehaving.clear()
        until_s = time.monotonic() + GONE_LIMIT_S
        while self.descriptors() > self.descriptors_before + HEALTHY_DESCRIPTORS:
            if time.monotonic() > until_s:
                left = self.descriptors() - self.descriptors_before
                raise RoundFailed(f"{left} descriptors were left of clients that had gone for {GONE_LIMIT_S:.0f} s")
            time.sleep(LOOK_S)

    def add_rate(self, name: str, *works: Beside[int]) -> None:
        """Add what these, which have just begun, will have done together, a second."""
        limit_s = self.window_s + RESULT_LIMIT_S
        began_s = time.monotonic()
        count = sum(work.result(limit_s) for work in works)
        lasted_s = time.monotonic() - began_s
        self.figures.append(Figure(name=name, value=count / lasted_s, unit="/s", better="more"))

    def add_remains(self) -> None:
        """Add what the broker held before and holds now."""
        until_s = time.monotonic() + SETTLED_S
        while time.monotonic() < until_s and (
            self.descriptors() > self.descriptors_before
            or processes.resident_set_octets(self._broker) > self.octets_before + ROOM_OCTETS
        ):
            time.sleep(LOOK_S)
        octets = processes.resident_set_octets(self._broker)
        self.figures += [
            Figure(name="resident before", value=self.octets_before / (1 << 20), unit="MiB"),
            Figure(name="resident after all", value=octets / (1 << 20), unit="MiB"),
            Figure(name="descriptors before", value=self.descriptors_before, unit=""),
            Figure(name="descriptors after all", value=self.descriptors(), unit=""),
        ]


def measure_healthy(address: Address, effort: Effort) -> list[Figure]:
    """Round trips of a healthy client, alone and beside each kind of bad ones; what these leave in the broker."""
    allow_descriptors(IDLE_TIMES * effort.connection_count)
    around = Neighbourhood(address, effort)
    window_s, idle = around.window_s, around.idle_count
    try:
        with around.case("alone"):
            time.sleep(window_s)
        with around.case("beside garbage"):
            garbage = around.start(misbehaviour.send_garbage, window_s)
            around.add_rate("connections with garbage", garbage)
        around.end()
        with around.case(f"beside {HALF_OPEN:,} half-open sockets"):
            around.start(misbehaviour.open_half, HALF_OPEN).result(RESULT_LIMIT_S)
            time.sleep(window_s)
            around.end()
        with around.case(f"beside {SLOW} readers that do not read"):
            around.start(misbehaviour.consume_and_not_read, SLOW).result(RESULT_LIMIT_S)
            around.start(misbehaviour.publish_to_slow, window_s).result(window_s + RESULT_LIMIT_S)
            around.end()
        misbehaviour.forget_slow(address, SLOW)
        with around.case(f"beside {misbehaviour.CHANNELS:,} channels at once"):
            around.add_rate("channels opened", around.start(misbehaviour.fill_channels, window_s))
        around.end()
        with around.case(f"beside {misbehaviour.REQUESTS:,} requests at once"):
            around.add_rate("requests answered", around.start(misbehaviour.flood, window_s))
        around.end()
        with around.case(f"beside {FLOODING} that publish all they can"):
            flooding = [around.start(misbehaviour.publish_all_it_can, window_s) for _ in range(FLOODING)]
            around.add_rate("messages published", *flooding)
        around.end()
        misbehaviour.forget_full(address)
        with around.case("beside connections that come and go"):
            openers = [around.start(misbehaviour.churn, window_s, CONNECTS_A_SECOND / OPENERS) for _ in range(OPENERS)]
            around.add_rate("connections that came and went", *openers)
        around.end()
        with around.case(f"while {idle:,} connect"):
            lasted_s = around.start(misbehaviour.open_idle, idle).result(RESULT_LIMIT_S)
        around.figures.append(Figure(name=f"{idle:,} connected", value=idle / lasted_s, unit="/s", better="more"))
        with around.case(f"beside {idle:,} idle connections"):
            time.sleep(window_s)
        with around.case(f"while {idle:,} vanish at once"):
            around.end()
            time.sleep(window_s / 2)
        around.add_remains()
    finally:
        around.end()
    return around.figures
