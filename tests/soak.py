"""``make soak HOURS=8``: a broker under 60 % of the load it can take, a fault every 30 s, and what grows meanwhile.

Durable messages with confirms and acks, by one publisher and one consumer on raw sockets. The faults: a connection cut,
a client that talks garbage, a consumer that stalls, queues made and deleted, the process stopped for a second. What was
confirmed must come, in order; the slope of the broker's resident memory is told, and whether its disk returns to where
it was. With ``--streams`` that many clients beside them send single messages (streams.py).
Exit code 1 if something is wrong.
"""

import argparse
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, NamedTuple

from pamqp import commands

from protocol.methods import build, encode_method
from tests.brokers import RunningBroker
from tests.faults.clients import descriptors, log_in, read_until, resident_octets
from tests.protocol.octets import PERSISTENT, ack_frame, message

FAULT_S: Final = 30.0
PEAK_S: Final = 10.0
LOAD: Final = 0.6
CHUNK: Final = 50
OPEN_MAX: Final = 5000
WARMUP: Final = 0.2  # of the samples are left out of the slope
SLOPE_MIB_A_HOUR: Final = 1.0
SAMPLE_S: Final = 5.0
BODY_OCTETS: Final = 200
NUMBER: Final = re.compile(rb"<(\d{12})>")
ACK: Final = struct.pack(">HH", 60, 80)


class Sample(NamedTuple):
    """At a time: the broker's resident memory, its log, how many descriptors it holds."""

    at_s: float
    resident_octets: int
    log_octets: int
    descriptors: int


class Party(threading.Thread):
    """Works on a connection; after it was cut, on another."""

    def __init__(self, broker: RunningBroker) -> None:
        super().__init__(daemon=True)
        self.broker = broker
        self.client: socket.socket | None = None
        self.ends = threading.Event()
        self.failure: str | None = None

    def run(self) -> None:
        while not self.ends.is_set() and self.failure is None:
            try:
                with closing(log_in(self.broker)) as self.client:
                    self.client.sendall(encode_method(1, build(commands.Channel.Open)))
                    self.work(self.client)
            except OSError:
                continue  # it was cut
            except AssertionError as failure:
                self.failure = f"{type(self).__name__}: {failure}"

    def cut(self) -> None:
        """Take the connection away, in the middle of whatever comes."""
        client = self.client
        if client is not None:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def work(self, client: socket.socket) -> None:
        raise NotImplementedError


class Publisher(Party):
    """Publishes numbers in order; ``rate`` a second, or as many as go. ``unsure`` are those never confirmed."""

    def __init__(self, broker: RunningBroker) -> None:
        super().__init__(broker)
        self.rate: float | None = None
        self.next_number = 0
        self.confirmed_count = 0
        self.unsure: set[int] = set()

    def work(self, client: socket.socket) -> None:
        client.sendall(encode_method(1, build(commands.Confirm.Select)))
        read_until(client, struct.pack(">HH", 85, 11))
        first = self.next_number
        confirmed = 0
        tail = b""
        due_s = time.monotonic()
        try:
            while not self.ends.is_set():
                while self.next_number - first - confirmed < OPEN_MAX and time.monotonic() >= due_s:
                    numbers = range(self.next_number, self.next_number + CHUNK)
                    self.next_number = numbers.stop
                    client.sendall(b"".join(message(body_of(i), b"soak", PERSISTENT) for i in numbers))
                    due_s = max(due_s + CHUNK / self.rate, time.monotonic() - 1) if self.rate else 0.0
                octets, confirmed_now = self._confirms(client, tail, due_s)
                tail = octets[-24:]
                if confirmed_now is not None:
                    self.confirmed_count += confirmed_now - confirmed
                    confirmed = confirmed_now
            while confirmed < self.next_number - first:
                octets, confirmed_now = self._confirms(client, tail, time.monotonic() + 60)
                tail = octets[-24:]
                self.confirmed_count += (confirmed_now or confirmed) - confirmed
                confirmed = confirmed_now or confirmed
        finally:
            self.unsure |= set(range(first + confirmed, self.next_number))

    def _confirms(self, client: socket.socket, tail: bytes, until_s: float) -> tuple[bytes, int | None]:
        """What was read until then at the longest, and the last tag that is confirmed in it."""
        client.settimeout(max(0.001, min(60.0, until_s - time.monotonic())))
        try:
            octets = client.recv(1 << 16)
        except TimeoutError:
            return tail, None
        if not octets:
            raise ConnectionResetError
        octets = tail + octets
        at = octets.rfind(ACK)
        whole = at >= 0 and at + 12 <= len(octets)
        return octets, int.from_bytes(octets[at + 4 : at + 12]) if whole else None


class Consumer(Party):
    """Acks all that comes, and compares the numbers."""

    def __init__(self, broker: RunningBroker, publisher: Publisher) -> None:
        super().__init__(broker)
        self.publisher = publisher
        self.next_number = 0  # of those never delivered before
        self.missing: set[int] = set()  # jumped over
        self.taken_count = 0
        self.stalls = threading.Event()

    def work(self, client: socket.socket) -> None:
        client.sendall(
            encode_method(1, build(commands.Basic.Qos, prefetch_count=2000))
            + encode_method(1, build(commands.Basic.Consume, queue="soak"))
        )
        tag, last, tail = 0, -1, b""
        client.settimeout(1.0)
        while not self.ends.is_set():
            if self.stalls.is_set():
                time.sleep(0.1)
                continue
            try:
                octets = client.recv(1 << 18)
            except TimeoutError:
                continue
            if not octets:
                raise ConnectionResetError
            octets = tail + octets
            found = list(NUMBER.finditer(octets))
            tail = octets[found[-1].end() :][-14:] if found else octets[-14:]
            for each in found:
                number = int(each[1])
                assert number > last, f"{number} came after {last}"
                last = number
                if number >= self.next_number:
                    self.missing.update(range(self.next_number, number))
                    self.next_number = number + 1
            if found:
                tag += len(found)
                self.taken_count += len(found)
                client.sendall(ack_frame(tag, True))


def body_of(number: int) -> bytes:
    return b"<%012d>" % number + b"x" * (BODY_OCTETS - 14)


def log_octets(broker: RunningBroker) -> int:
    found = 0
    for path in (broker.data_dir / "log").glob("*.segment"):
        try:
            found += path.stat().st_size
        except FileNotFoundError:
            continue  # it was trimmed meanwhile
    return found


def sample(broker: RunningBroker) -> Sample:
    return Sample(time.monotonic(), resident_octets(broker), log_octets(broker), descriptors(broker))


def slope_mib_an_hour(samples: list[Sample]) -> float:
    """By least squares, without the first ones."""
    used = samples[int(len(samples) * WARMUP) :]
    mean_s = sum(each.at_s for each in used) / len(used)
    mean_octets = sum(each.resident_octets for each in used) / len(used)
    over = sum((each.at_s - mean_s) * (each.resident_octets - mean_octets) for each in used)
    under = sum((each.at_s - mean_s) ** 2 for each in used)
    return over / under * 3600 / (1 << 20) if under else 0.0


def garbage(broker: RunningBroker) -> None:
    with closing(log_in(broker)) as client:
        client.sendall(bytes(range(256)) * 10)


def churn(broker: RunningBroker) -> None:
    with closing(log_in(broker)) as client:
        client.sendall(encode_method(1, build(commands.Channel.Open)))
        for i in range(50):
            client.sendall(encode_method(1, build(commands.Queue.Declare, queue=f"churn {i}", durable=True)))
            client.sendall(message(b"gone with its queue", b"churn %d" % i, PERSISTENT))
            client.sendall(encode_method(1, build(commands.Queue.Delete, queue=f"churn {i}")))
        client.sendall(encode_method(1, build(commands.Channel.Close, reply_code=200, class_id=0, method_id=0)))
        read_until(client, struct.pack(">HH", 20, 41))


def stall(consumer: Consumer) -> None:
    consumer.stalls.set()
    time.sleep(5)
    consumer.stalls.clear()


def pause(broker: RunningBroker) -> None:
    broker.process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    broker.process.send_signal(signal.SIGCONT)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def soak(broker: RunningBroker, seconds: float, chance: random.Random) -> list[str]:
    """Run it; return what is wrong."""
    with closing(log_in(broker)) as client:
        client.sendall(encode_method(1, build(commands.Channel.Open)))
        client.sendall(encode_method(1, build(commands.Queue.Declare, queue="soak", durable=True)))
        read_until(client, struct.pack(">HH", 50, 11))
    floor = sample(broker)
    publisher = Publisher(broker)
    consumer = Consumer(broker, publisher)
    parties: list[Party] = [publisher, consumer]
    for party in parties:
        party.start()
    time.sleep(PEAK_S)
    peak = consumer.taken_count / PEAK_S
    publisher.rate = LOAD * peak
    say(
        f"peak {peak:,.0f} messages a second, {BODY_OCTETS} octets, confirmed and acked; going on with {LOAD:.0%} of it"
    )
    faults: dict[str, Callable[[], None]] = {
        "publisher cut": publisher.cut,
        "consumer cut": consumer.cut,
        "garbage": lambda: garbage(broker),
        "queues made and deleted": lambda: churn(broker),
        "consumer stalls": lambda: stall(consumer),
        "process stopped": lambda: pause(broker),
    }
    samples: list[Sample] = []
    began_s = time.monotonic()
    next_fault_s = began_s + FAULT_S
    fault_count = 0
    while time.monotonic() < began_s + seconds and not any(party.failure for party in parties):
        time.sleep(SAMPLE_S)
        samples.append(sample(broker))
        if time.monotonic() > next_fault_s:
            next_fault_s += FAULT_S
            fault_count += 1
            name = chance.choice(list(faults))
            faults[name]()
            now = samples[-1]
            say(
                f"{now.at_s - began_s:7.0f} s  {now.resident_octets / (1 << 20):6.1f} MiB  log "
                f"{now.log_octets / (1 << 20):6.1f} MiB  {consumer.taken_count:,} taken  {name}"
            )
    publisher.ends.set()
    publisher.join(90)
    deadline_s = time.monotonic() + 90
    while consumer.next_number < publisher.next_number and time.monotonic() < deadline_s:
        if set(range(consumer.next_number, publisher.next_number)) <= publisher.unsure:
            break
        time.sleep(0.1)
    consumer.ends.set()
    consumer.join(90)
    lost = (consumer.missing | set(range(consumer.next_number, publisher.next_number))) - publisher.unsure
    while sample(broker).log_octets > floor.log_octets + 3 * (64 << 20) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    end = sample(broker)
    slope = slope_mib_an_hour(samples)
    confirmed, taken = publisher.confirmed_count, consumer.taken_count
    say(f"{confirmed:,} confirmed, {taken:,} taken, {len(lost)} lost, {fault_count} faults")
    say(f"resident memory: slope {slope:+.2f} MiB an hour over {seconds / 3600:.2f} h, {end.resident_octets >> 20} MiB")
    say(f"log: {floor.log_octets >> 20} MiB before, {end.log_octets >> 20} MiB after")
    say(f"descriptors: {floor.descriptors} before, {end.descriptors} after")
    wrong = [party.failure for party in parties if party.failure is not None]
    if lost:
        wrong.append(f"{len(lost)} confirmed messages are lost, such as {min(lost)}")
    if seconds >= 3600 and slope > SLOPE_MIB_A_HOUR:  # in less time the slope says nothing
        wrong.append(f"memory grows by {slope:.1f} MiB an hour")
    if end.log_octets > floor.log_octets + 3 * (64 << 20):
        wrong.append("the disk does not return to where it was")
    wrong += [line for line in broker.output if '"level": "error"' in line or "Traceback" in line]
    return wrong


def stream_beside(broker: RunningBroker, count: int, seconds: float, seed: int) -> subprocess.Popen[bytes]:
    """So many clients that send single messages, in processes of their own."""
    options = "--clients", str(count), "--seconds", str(PEAK_S + seconds), "--seed", str(seed)
    return subprocess.Popen([sys.executable, "-m", "tests.streams", str(broker.port), *options])


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--streams", type=int, default=0)
    chosen = parser.parse_args()
    seconds = chosen.hours * 3600
    with ExitStack() as ends:
        directory = ends.enter_context(tempfile.TemporaryDirectory())
        broker = ends.enter_context(RunningBroker(Path(directory) / "data"))
        streaming = stream_beside(broker, chosen.streams, seconds, chosen.seed) if chosen.streams else None
        wrong = soak(broker, seconds, random.Random(chosen.seed))
        if streaming is not None and streaming.wait() != 0:
            wrong.append("streams: see above")
    for line in wrong:
        say(f"WRONG: {line}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
