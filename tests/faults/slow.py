"""Clients that are slow, stalled or gone without a word, on a broker of their own, for as long as the test wants.

One is due 100 MB and reads none of it, one publishes a message octet by octet, one does not even send heartbeats.
"""

import socket
import threading
import time
from contextlib import ExitStack, closing
from typing import Any

import pika
from pamqp import commands

from protocol.methods import build, encode_method
from tests.brokers import RunningBroker
from tests.faults.clients import ROOM_OCTETS, Healthy, hello, log_in, resident_octets
from tests.protocol.octets import message
from tests.torture import count, measured, ran
from tests.waiting import DEADLINE_S, until

STALL_S = count(60, 1800)
MESSAGES = 100_000
BODY_OCTETS = 1000
RESIDENT_OCTETS = 32 << 20
SLOW_BODY = b"octet by octet" * 10


class SlowClients:
    """They begin when this is made. ``finish`` waits until they have been slow for STALL_S, and judges."""

    def __init__(self, broker: RunningBroker, ends: ExitStack) -> None:
        self.broker = broker
        self.resident_before_octets = resident_octets(broker)
        self.healthy = Healthy(broker.url)
        self.healthy.pause_s = 0.02
        self.healthy.start()
        self._connection = pika.BlockingConnection(pika.URLParameters(broker.url + "?heartbeat=0"))
        ends.callback(self._connection.close)
        self._channel: Any = self._connection.channel()
        self._channel.queue_declare("slow", auto_delete=False)
        self._channel.queue_declare("octets")
        self._reader = ends.enter_context(closing(log_in(broker)))
        self._reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._reader.sendall(
            encode_method(1, build(commands.Channel.Open))
            + encode_method(1, build(commands.Basic.Consume, queue="slow", no_ack=True))
        )
        for _ in range(MESSAGES):
            self._channel.basic_publish("", "slow", b"x" * BODY_OCTETS)
        self.waiting_count = self._count("slow")
        assert self.waiting_count > MESSAGES * 0.9, f"{self.waiting_count} wait: what was sent to it is held somewhere"
        self._silent = ends.enter_context(closing(log_in(broker, hello(heartbeat_s=2))))
        self._publisher = ends.enter_context(closing(log_in(broker)))
        self._publisher.sendall(encode_method(1, build(commands.Channel.Open)))
        self._began_s = time.monotonic()
        self._ending = threading.Event()
        ends.callback(self._ending.set)
        self._dripping = threading.Thread(target=self._drip, daemon=True)
        self._dripping.start()

    def _drip(self) -> None:
        octets = message(SLOW_BODY, b"octets")
        for i in range(len(octets)):
            self._publisher.sendall(octets[i : i + 1])
            if self._ending.wait(STALL_S / len(octets) * 0.9):
                return

    def _count(self, queue: str) -> int:
        return int(self._channel.queue_declare(queue, passive=True).method.message_count)

    def finish(self) -> None:
        """Nothing has changed, memory has stayed within bounds, and now all that is due comes."""
        left_s = self._began_s + STALL_S - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)  # what is shown is that nothing happens for that long
        grown = resident_octets(self.broker) - self.resident_before_octets
        assert grown < RESIDENT_OCTETS + ROOM_OCTETS
        assert self._count("slow") == self.waiting_count
        until(lambda: self._count("octets") == 1, "what was published octet by octet does not arrive")
        assert self._channel.basic_get("octets", auto_ack=True)[2] == SLOW_BODY
        self._silent.settimeout(DEADLINE_S)
        while self._silent.recv(4096):  # heartbeats, and then the end: it is not waited for for ever
            pass
        received = 0
        while received < MESSAGES * (BODY_OCTETS + 8):
            received += len(self._reader.recv(1 << 20))
        self._channel.queue_delete("slow")
        self.healthy.finish()
        ran("T14", STALL_S, "seconds of a stalled reader, a slow publisher and a silent client")
        measured("T14", f"{grown >> 20} MiB more resident while {MESSAGES * BODY_OCTETS // 1_000_000} MB were due")
        measured("T14", self.healthy.told())
