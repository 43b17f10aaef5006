"""Clients that stream single messages, as ``make soak ARGS="--streams 4"`` has them beside its load.

Each sends one message a send and waits for nothing, so a broker that has much to do lets the kernel gather what they
send. They come and go: a quarter is reset, the others close in order; frames come in pieces, bodies have any size. What
comes of each must be all that it sent, in order; of one that was reset, all up to some message. Not logged, not acked.
"""

import argparse
import itertools
import multiprocessing
import os
import random
import re
import socket
import struct
import sys
import threading
import time
from contextlib import closing
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from typing import Final, NamedTuple

from pamqp import commands

from protocol.methods import build, encode_method
from tests.faults.clients import log_in_at, read_until
from tests.protocol.octets import message
from tests.waiting import DEADLINE_S, until

QUEUE: Final = "streams"
LIFE_S: Final = (1.0, 20.0)
NICENESS: Final = 10
"""Senders run when the broker does not, so that it reads what they send at once, until that is too much for it."""
RESET_SHARE: Final = 0.25
BURST: Final = 200
IDS: Final = 10_000
"""Of each process."""
PAUSE_S: Final = 0.05
USUAL_OCTETS: Final = 100
LARGEST_OCTETS: Final = 300_000
NUMBER: Final = re.compile(rb"<(\d{6}) (\d{12})>")
NUMBER_OCTETS: Final = 21
CHANNEL_OPEN_OK: Final = struct.pack(">HH", 20, 11)
CLOSE_OK: Final = struct.pack(">HH", 10, 51)


def connected(port: int) -> socket.socket:
    """A socket on which channel 1 is open."""
    client = log_in_at(port)
    client.sendall(encode_method(1, build(commands.Channel.Open)))
    read_until(client, CHANNEL_OPEN_OK)
    return client


class Sender(NamedTuple):
    """One process that is one client after another, with ids of its own."""

    port: int
    number: int
    seed: int

    def run(self, ends: Event, sent: "SimpleQueue[tuple[int, int]]") -> None:
        """Until ``ends`` is set. Tells of each client how many messages it sent, -1 if it was reset."""
        os.nice(NICENESS)
        chance = random.Random(f"{self.seed} {self.number}")
        for client_id in itertools.count(self.number * IDS):
            until_s = time.monotonic() + chance.uniform(*LIFE_S)
            with closing(connected(self.port)) as client:
                count = 0
                while time.monotonic() < until_s and not ends.is_set():
                    self._burst(client, client_id, range(count, count + BURST), chance)
                    count += BURST
                if chance.random() < RESET_SHARE:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    count = -1
                else:
                    client.sendall(encode_method(0, build(commands.Connection.Close, reply_code=200)))
                    read_until(client, CLOSE_OK)
            sent.put((client_id, count))
            if ends.is_set():
                return

    @staticmethod
    def _burst(client: socket.socket, client_id: int, numbers: range, chance: random.Random) -> None:
        sizes = [chance.randrange(LARGEST_OCTETS) if chance.random() < 0.0005 else USUAL_OCTETS for _ in numbers]
        for number, size in zip(numbers, sizes, strict=True):
            octets = message(b"<%06d %012d>" % (client_id, number) + b"x" * size, QUEUE.encode())
            cut = chance.randrange(len(octets)) if number % 100 == 0 else 0
            if cut:
                client.sendall(octets[:cut])
            client.sendall(octets[cut:])
        if chance.random() < 0.05:
            time.sleep(chance.uniform(0, PAUSE_S))


class Reader:
    """What has come: of each client the last number."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.last: dict[int, int] = {}
        self.wrong: list[str] = []

    def run(self) -> None:
        """Read deliveries, and compare, until the socket is shut down."""
        tail = b""
        while octets := self.client.recv(1 << 20):
            octets = tail + octets
            stop = 0
            for each in NUMBER.finditer(octets):
                stop = each.end()
                client_id, number = int(each[1]), int(each[2])
                expected = self.last.get(client_id, -1) + 1
                if number != expected:
                    self.wrong.append(f"client {client_id}: {number} came, not {expected}")
                self.last[client_id] = number
            tail = octets[max(stop, len(octets) - NUMBER_OCTETS + 1) :]

    def has_all(self, sent: dict[int, int]) -> bool:
        """Whether all has come of those who closed in order."""
        return all(self.last.get(client_id, -1) == count - 1 for client_id, count in sent.items() if count >= 0)


def told(sent_by: "SimpleQueue[tuple[int, int]]") -> dict[int, int]:
    """What senders have told since the last time: of each client how many messages it sent."""
    found = {}
    while not sent_by.empty():
        client_id, count = sent_by.get()
        found[client_id] = count
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.streams", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--clients", type=int, default=4, help="how many send at a time")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    ends, sent_by = processes.Event(), processes.SimpleQueue()
    with closing(connected(chosen.port)) as client:
        client.sendall(
            encode_method(1, build(commands.Queue.Declare, queue=QUEUE, exclusive=False))
            + encode_method(1, build(commands.Basic.Consume, queue=QUEUE, no_ack=True))
        )
        client.settimeout(None)
        reader = Reader(client)
        reading = threading.Thread(target=reader.run, daemon=True)
        reading.start()
        senders = [
            processes.Process(target=Sender(chosen.port, number, chosen.seed).run, args=(ends, sent_by), daemon=True)
            for number in range(chosen.clients)
        ]
        for sender in senders:
            sender.start()
        sent: dict[int, int] = {}
        until_s = time.monotonic() + chosen.seconds

        def have_ended() -> bool:
            if time.monotonic() >= until_s:
                ends.set()
            sent.update(told(sent_by))
            return not any(sender.is_alive() for sender in senders)

        wrong: list[str] = []
        try:
            until(have_ended, "some senders never ended", chosen.seconds + DEADLINE_S)
            sent.update(told(sent_by))
            until(lambda: reader.has_all(sent), "not all has come of those who closed in order")
        except AssertionError as problem:
            wrong.append(str(problem))
        client.shutdown(socket.SHUT_RDWR)
        reading.join(DEADLINE_S)
    wrong += reader.wrong[:10]
    wrong += [
        f"sender {number} ended with {sender.exitcode}" for number, sender in enumerate(senders) if sender.exitcode != 0
    ]
    reset_count = list(sent.values()).count(-1)
    came = sum(number + 1 for number in reader.last.values())
    sys.stdout.write(
        f"streams: {came:,} messages came, of {len(sent) - reset_count:,} clients that closed in order and "
        f"{reset_count:,} that were reset\n"
    )
    for line in wrong:
        sys.stdout.write(f"streams: WRONG: {line}\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
