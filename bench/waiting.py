"""How much memory waiting messages take, by how they were published: ``python -m bench.waiting --count 10000000``.

Starts a broker of its own, fills its queues over raw sockets, looks at its memory, and drains them again. All messages
have a body of 100 octets; what differs is how long the runs are that the broker gets to see.
"""

import argparse
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from bench import processes, wire
from bench.beside import Beside
from bench.client import Address, Client
from bench.rounds import RoundFailed

BODY: Final = bytes(range(100))
CHUNK_MESSAGES: Final = 400
LOOK_S: Final = 0.1
LIMIT_S: Final = 1800.0
STALL_S: Final = 60.0
FIRST_SHARE: Final = 0.02
"""Of the messages, published first: what these take is what it takes to publish to a queue that is nearly empty."""
ACK_MESSAGES: Final = 500
MESSAGE_ID_FLAG: Final = 0x0080
EXCHANGES: Final = ("bench-waiting-x", "bench-waiting-y")
CONFIRM_SELECT: Final = (85, 10)
CONFIRM_SELECT_OK: Final = (85, 11)


@dataclass(frozen=True, slots=True)
class Kind:
    """How messages are published. ``run_messages`` in a row are alike; 0: every header differs from the next."""

    name: str
    run_messages: int
    publishers: int = 1
    queues: int = 1
    is_one_a_send: bool = False


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("runs", CHUNK_MESSAGES),
        Kind("batches", 10),
        Kind("singles", 1),
        Kind("headers", 0),
        Kind("several", 1, publishers=4, queues=4),
        Kind("confirmed", 1, is_one_a_send=True),
    )
}


def queue_name(index: int) -> str:
    """All are equally long, so that all deliveries are."""
    return f"bench-waiting-{index}"


def chunks_of(kind: Kind, *, persistent: bool, first_queue: int) -> list[bytes]:
    """A cycle of chunks of CHUNK_MESSAGES messages, or of one."""
    mode = b"\x02" if persistent else b"\x01"
    messages = []
    for number in range(CHUNK_MESSAGES):
        queue = queue_name((first_queue + number) % kind.queues)
        # Runs that follow each other come by two exchanges in turn: so each is a record of its own.
        flags, properties = 0x1800, mode + b"\0"
        if not kind.run_messages:
            flags, properties = flags | MESSAGE_ID_FLAG, properties + wire.encode_shortstr(f"{number:016x}")
        exchange = EXCHANGES[number // kind.run_messages % 2] if 0 < kind.run_messages < CHUNK_MESSAGES else ""
        messages.append(wire.encode_publish(exchange, queue) + wire.encode_content(flags, properties, BODY))
    return messages if kind.is_one_a_send else [b"".join(messages)]


def publish(address: Address, kind: Kind, count: int, persistent: bool, first_queue: int) -> float:
    """Seconds until ``count`` messages are confirmed."""
    client = Client(address)
    client.call(CONFIRM_SELECT, b"\x00", CONFIRM_SELECT_OK)
    chunks = cycle(chunks_of(kind, persistent=persistent, first_queue=first_queue))
    each = 1 if kind.is_one_a_send else CHUNK_MESSAGES
    client.socket.settimeout(STALL_S)
    began_s = time.monotonic()
    window = 64 * each
    sent = confirmed = 0
    while confirmed < count:
        while sent < count and sent - confirmed < window:
            client.socket.sendall(next(chunks))
            sent += each
        octets = client.socket.recv(1 << 16)
        if not octets:
            raise RoundFailed("connection lost while publishing")
        client.unread += octets
        whole = len(client.unread) // 21 * 21
        if whole:
            (confirmed,) = struct.unpack_from(">Q", client.unread, whole - 10)
            del client.unread[:whole]
    lasted_s = time.monotonic() - began_s
    client.close()
    return lasted_s


def drain(address: Address, kind: Kind, count: int) -> tuple[float, float]:
    """Seconds until the first delivery, and until all messages were delivered and acked."""
    client = Client(address)
    client.call((60, 10), struct.pack(">IHB", 0, 4 * ACK_MESSAGES, 0), (60, 11))
    client.socket.settimeout(STALL_S)
    began_s, first_s = time.monotonic(), 0.0
    for index in range(kind.queues):
        # No reply is waited for, so that only deliveries follow.
        name = wire.encode_shortstr(queue_name(index)) + wire.encode_shortstr(f"c{index}")
        client.socket.sendall(wire.encode_method(1, (60, 20), b"\x00\x00" + name + b"\x08" + wire.encode_table({})))
    buffer = bytearray()
    size = taken = acked = 0
    total = count
    while acked < total:
        octets = client.socket.recv(1 << 18)
        if not octets:
            raise RoundFailed("connection lost while draining")
        if not size:
            first_s = first_s or time.monotonic() - began_s
            buffer += octets
            size = _delivery_octets(buffer)
            octets = b""
            taken = len(buffer)
        taken += len(octets)
        if not size:
            continue
        delivered = taken // size
        if delivered - acked >= ACK_MESSAGES or delivered == total:
            client.socket.sendall(wire.encode_ack(delivered, multiple=True))
            acked = delivered
    lasted_s = time.monotonic() - began_s
    left = sum(client.declare_queue(queue_name(index), durable=True, passive=True) for index in range(kind.queues))
    if left:
        raise RoundFailed(f"{left} messages were left")
    client.close()
    return first_s, lasted_s


def _delivery_octets(octets: bytearray) -> int:
    """The octets of the first delivery, 0 while it is not whole."""
    at = 0
    for _ in range(3):
        frame = wire.find_frame(octets, at)
        if frame is None:
            return 0
        at = frame[3]
    return at


def measure(kind: Kind, count: int, *, persistent: bool, flags: list[str]) -> str:
    """One line of the table."""
    count = count // (CHUNK_MESSAGES * kind.publishers) * CHUNK_MESSAGES * kind.publishers
    with tempfile.TemporaryDirectory(prefix="leveret-waiting-") as directory:
        broker, port = _start(Path(directory), flags)
        try:
            address = Address(port=port)
            client = Client(address)
            for index in range(kind.queues):
                client.declare_queue(queue_name(index), durable=True)
                for exchange in EXCHANGES:
                    client.declare_exchange(exchange, "direct", durable=True)
                    client.bind_queue(queue_name(index), exchange, queue_name(index))
            tree = processes.process_tree(broker.pid)
            idle = processes.resident_set_octets(tree)
            early = max(CHUNK_MESSAGES, int(count * FIRST_SHARE) // kind.publishers // CHUNK_MESSAGES * CHUNK_MESSAGES)
            cpu_s = [processes.cpu_s(tree)]
            _fill(address, kind, early, persistent, tree)
            cpu_s.append(processes.cpu_s(tree))
            late = count // kind.publishers - early
            late_s, top = _fill(address, kind, late, persistent, tree)
            cpu_s.append(processes.cpu_s(tree))
            time.sleep(1.0)
            full = processes.resident_set_octets(tree)
            with Beside(drain, address, kind, count) as consumer:
                drain_top = _watch([consumer], tree)
                first_s, drained_s = consumer.result(1.0)
            cpu_s.append(processes.cpu_s(tree))
            time.sleep(12.0)  # freed memory is given back now and then
            empty = processes.resident_set_octets(tree)
            client.close()
        finally:
            broker.terminate()
            broker.wait(60)
    mib = 1 << 20
    way = "persistent" if persistent else "transient"
    counts = kind.publishers * early, kind.publishers * late, count
    early_us, late_us, drain_us = (
        (after - before) / each * 1e6 for before, after, each in zip(cpu_s, cpu_s[1:], counts, strict=False)
    )
    return (
        f"| {kind.name}, {way} | {count:,} | {idle / mib:.0f} | {top / mib:.0f} | {full / mib:.0f} "
        f"| {kind.publishers * late / late_s:,.0f} | {early_us:.1f} | {late_us:.1f} | {first_s * 1000:.0f} "
        f"| {count / drained_s:,.0f} | {drain_us:.1f} | {drain_top / mib:.0f} | {empty / mib:.0f} |"
    )


HEAD: Final = (
    "| published as | messages | idle, MiB | peak, MiB | waiting, MiB | published, /s | CPU of the first, us | of the "
    "others, us | first delivery, ms | drained, /s | CPU, us | peak then, MiB | empty again, MiB |\n|---|"
    + "---:|"
    * 12
)


def _fill(address: Address, kind: Kind, each: int, persistent: bool, tree: list[int]) -> tuple[float, int]:
    """Seconds until every publisher has published ``each`` messages, and the most resident memory meanwhile."""
    publishers = [Beside(publish, address, kind, each, persistent, index) for index in range(kind.publishers)]
    try:
        top = _watch(publishers, tree)
        return max(one.result(1.0) for one in publishers), top
    finally:
        for one in publishers:
            one.close()


def _watch(workers: "list[Beside[float]] | list[Beside[tuple[float, float]]]", tree: list[int]) -> int:
    """The most resident memory of the broker until all workers have their results."""
    top, until_s = 0, time.monotonic() + LIMIT_S
    while not all(worker.has_result(LOOK_S) for worker in workers):
        top = max(top, processes.resident_set_octets(tree))
        if time.monotonic() > until_s:
            raise RoundFailed(f"not ready within {LIMIT_S:.0f} s")
    return max(top, processes.resident_set_octets(tree))


def _start(directory: Path, flags: list[str]) -> tuple["subprocess.Popen[bytes]", int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "broker", "--host", "127.0.0.1", "--port", str(port), "--management-port", "none"]
    command += ["--metrics-port", "none", "--log-level", "warning", "--data-dir", str(directory / "data"), *flags]
    broker = subprocess.Popen(command)
    until_s = time.monotonic() + STALL_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return broker, port
        except OSError:
            if broker.poll() is not None or time.monotonic() > until_s:
                broker.kill()
                raise
            time.sleep(0.05)


def _lines(arguments: argparse.Namespace) -> Iterator[str]:
    yield HEAD
    for name in arguments.kinds.split(","):
        for way in arguments.ways.split(","):
            yield measure(KINDS[name], arguments.count, persistent=way == "persistent", flags=arguments.flag)


def main() -> None:
    """Print the table, a line as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="messages (default 1,000,000)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="how they are published (default: all)")
    parser.add_argument("--ways", default="persistent,transient")
    parser.add_argument("--flag", action="append", default=[], help="for the broker, as --flag=--resident-octets=...")
    for line in _lines(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
