"""Workloads K (connections opened and closed a second) and I (what an idle connection costs)."""

import resource
import socket
import time

from bench import processes
from bench.beside import Beside
from bench.client import Address
from bench.figures import Effort, Figure, cpu_figures, rate_figures
from bench.handshake import Handshake
from bench.meter import Meter
from bench.rounds import RoundFailed

OPENERS = 4
"""Processes that open and close at the same time."""

RESULT_LIMIT_S = 60.0
SETTLE_S = 2.0
"""Until memory is looked at: runtimes collect garbage after a burst."""

SPARE_DESCRIPTORS = 64


def measure_churn(address: Address, effort: Effort) -> list[Figure]:
    """K: with a channel each, in order, by four processes that do nothing else."""
    lasting_s = effort.warm_up_s + effort.window_s
    meter = Meter(address.port)
    openers = [Beside(open_and_close, address, lasting_s) for _ in range(OPENERS)]
    try:
        count = sum(opener.result(lasting_s + RESULT_LIMIT_S) for opener in openers)
        load = meter.load(*(opener.process for opener in openers))
    finally:
        for opener in openers:
            opener.close()
    figures = rate_figures("opened and closed", "connection", count, load)
    if count:
        generator_us = sum(load.generator_cpu_s) / count * 1e6
        figures.append(Figure(name="opened and closed: generator CPU a connection", value=generator_us, unit="us"))
    return figures


def open_and_close(address: Address, lasting_s: float) -> int:
    """How many connections, one after the other, in ``lasting_s``."""
    handshake = Handshake(address)
    until_s = time.monotonic() + lasting_s
    count = 0
    while time.monotonic() < until_s:
        handshake.open_and_close()
        count += 1
    return count


def measure_idle(address: Address, effort: Effort) -> list[Figure]:
    """I: memory of one of many idle connections with a channel; processor time of all of them in the window."""
    allow_descriptors(effort.connection_count)
    listener = processes.listening_process(address.port)
    if listener is None:
        raise RoundFailed("the broker's process is not visible here, so its memory is not known")
    handshake = Handshake(address)
    handshake.close(handshake.open())
    time.sleep(SETTLE_S)
    broker = processes.process_tree(listener)
    before_octets = processes.resident_octets(broker)
    opened: list[socket.socket] = []
    try:
        opening = Meter(address.port)
        for _ in range(effort.connection_count):
            opened.append(handshake.open())  # noqa: PERF401 - what is open must be closed if one fails
        load = opening.load()
        time.sleep(SETTLE_S)
        octets = processes.resident_octets(broker) - before_octets
        idle, woken_count = Meter(address.port), processes.wake_up_count(broker)
        time.sleep(effort.window_s)
        idle_load, woken_count = idle.load(), processes.wake_up_count(broker) - woken_count
    finally:
        for peer in opened:
            handshake.close(peer)
    idle_share = (idle_load.broker_cpu_s or 0.0) / idle_load.window_s
    count = effort.connection_count
    return [
        Figure(name=f"memory of each of {count:,}", value=octets / count / 1024, unit="KiB"),
        Figure(name=f"processor for {count:,} idle", value=idle_share * 100, unit="%"),
        Figure(name=f"wake-ups for {count:,} idle", value=woken_count / idle_load.window_s, unit="/s"),
        *cpu_figures("opened one by one", "connection", count, load),
    ]


def allow_descriptors(count: int) -> None:
    """Let this process open ``count`` sockets. Raises RoundFailed where the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RoundFailed(f"{wanted} descriptors are needed, and {hard} allowed (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
