"""How long a broker takes until its messages are back: after a kill -9, and after it was stopped in order.

Persistent messages, each confirmed, wait in durable queues. Neighbours go to different queues and have ids of their
own, so that no broker can treat many as one. A start lasts from the command until AMQP has told the right number of
messages in every queue.
"""

import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from bench import processes, wire
from bench.client import Address, BrokerRefused, Client
from bench.confirms import ConfirmCounter
from bench.startup import LocalBroker, Running

BODY_OCTETS = 1024
QUEUE_COUNT = 10
WINDOW = 20_000
BLOCK_COUNT = 1000
FLAGS = 0x1000 | 0x0080
"""delivery-mode and message-id."""
READ_OCTETS = 1 << 16
LIMIT_S = 900.0
COUNT_LIMIT_S = 900.0
"""From the first answer to the right count."""
ASK_PAUSE_S = 0.01


class MessagesMissing(Exception):
    """Not all that was confirmed is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """One broker's figures."""

    name: str
    message_count: int
    filled_s: float
    """Until all were confirmed."""
    after_kill_s: float
    """From the command to the right count."""
    after_kill_cpu_s: float
    """The broker's own processor time of that."""
    resident_octets: int
    """Proportional resident memory then."""
    stopped_s: float
    """How long stopping in order took, with all messages there."""
    after_stop_s: float
    after_stop_cpu_s: float


def measure_recovery(name: str, command: str, message_count: int, report: Callable[[str], None]) -> Recovered:
    """Fill, kill, start, stop, start. Raises StartFailed, BrokerRefused, MessagesMissing, OSError."""
    broker = LocalBroker(command)
    try:
        running = broker.start()
        report(f"{name}: publishing {message_count:,} messages")
        began_s = time.monotonic()
        _fill(Address(port=running.port), message_count)
        filled_s = time.monotonic() - began_s
        report(f"{name}: killed, starts again")
        broker.kill()
        running = broker.start(LIMIT_S)
        after_kill_s = _wait_all(running, message_count)
        tree = processes.process_tree(running.process)
        after_kill_cpu_s, resident_octets = processes.cpu_s(tree), processes.resident_octets(tree)
        report(f"{name}: stops, and starts again")
        stopped_s = broker.stop(LIMIT_S)
        running = broker.start(LIMIT_S)
        after_stop_s = _wait_all(running, message_count)
        after_stop_cpu_s = processes.cpu_s(processes.process_tree(running.process))
    finally:
        broker.remove()
    return Recovered(
        name=name,
        message_count=message_count,
        filled_s=filled_s,
        after_kill_s=after_kill_s,
        after_kill_cpu_s=after_kill_cpu_s,
        resident_octets=resident_octets,
        stopped_s=stopped_s,
        after_stop_s=after_stop_s,
        after_stop_cpu_s=after_stop_cpu_s,
    )


def _queue_name(number: int) -> str:
    return f"bench-recovery-{number}"


def _fill(address: Address, message_count: int) -> None:
    client = Client(address, timeout_s=LIMIT_S)
    try:
        for number in range(QUEUE_COUNT):
            client.declare_queue(_queue_name(number), durable=True)
        client.select_confirms()
        confirms = ConfirmCounter()
        published = 0
        while published < message_count:
            count = min(BLOCK_COUNT, message_count - published)
            client.socket.sendall(b"".join([_message(number) for number in range(published, published + count)]))
            published += count
            while published - confirms.confirmed > WINDOW:
                confirms.feed(_read(client))
        while confirms.confirmed < published:
            confirms.feed(_read(client))
    finally:
        client.socket.close()


def _message(number: int) -> bytes:
    """Persistent, with an id, and a body that begins with its number."""
    properties = b"\x02" + wire.encode_shortstr(f"message-{number:012}")
    body = struct.pack(">Q", number) * (BODY_OCTETS // 8)
    return wire.encode_publish("", _queue_name(number % QUEUE_COUNT)) + wire.encode_content(FLAGS, properties, body)


def _read(client: Client) -> bytes:
    octets = client.socket.recv(READ_OCTETS)
    if not octets:
        raise BrokerRefused("connection lost while publishing")
    return octets


def _wait_all(running: Running, message_count: int) -> float:
    """Seconds from the command until all messages are there, by the broker's own count."""
    deadline = time.monotonic() + COUNT_LIMIT_S
    client = Client(Address(port=running.port), timeout_s=LIMIT_S)
    names = [_queue_name(number) for number in range(QUEUE_COUNT)]
    try:
        while True:
            waiting = sum(client.declare_queue(name, durable=True, passive=True) for name in names)
            if waiting == message_count:
                return time.monotonic() - running.started_s
            if waiting > message_count or time.monotonic() > deadline:
                raise MessagesMissing(f"there are {waiting:,} messages, not {message_count:,}")
            time.sleep(ASK_PAUSE_S)
    finally:
        client.socket.close()


def render(results: list[Recovered], machine: str) -> str:
    """A table for people."""
    lines = [
        f"{results[0].message_count:,} persistent messages of {BODY_OCTETS:,} octets in {QUEUE_COUNT} durable queues; "
        f"{machine}",
        "",
        "| | confirmed, s | back after kill -9, s | of it broker CPU | resident then, MiB | stop in order, s "
        "| back after it, s | of it broker CPU |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_row(each) for each in results]
    return "\n".join(lines)


def _row(found: Recovered) -> str:
    columns = [
        found.name,
        f"{found.filled_s:.1f}",
        f"{found.after_kill_s:.1f}",
        f"{found.after_kill_cpu_s:.1f}",
        f"{found.resident_octets / (1 << 20):,.0f}",
        f"{found.stopped_s:.1f}",
        f"{found.after_stop_s:.1f}",
        f"{found.after_stop_cpu_s:.1f}",
    ]
    return f"| {' | '.join(columns)} |"


def as_json(results: list[Recovered]) -> list[dict[str, object]]:
    """The figures as measured."""
    return [asdict(each) for each in results]
