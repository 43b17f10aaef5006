"""Workload R: a request to a queue, its reply by direct reply-to, one at a time.

Two processes: one answers, one asks again as soon as it has the answer. Each round trip is two messages.
Source: RabbitMQ, "Direct Reply-to".
"""

import time

from bench import wire
from bench.beside import Beside
from bench.client import Address, Client
from bench.figures import Effort, Figure, cpu_figures, percentile_of
from bench.meter import Meter
from bench.singles import read_delivery

QUEUE = "bench-R-0"
REPLY_TO = "amq.rabbitmq.reply-to"
REPLY_TO_FLAG = 0x0200
BODY = bytes(16)
RESULT_LIMIT_S = 60.0


def measure_round_trips(address: Address, effort: Effort) -> list[Figure]:
    """p50, p99, and how many a second that makes."""
    client = Client(address)
    client.delete_queue(QUEUE)
    client.declare_queue(QUEUE)
    try:
        meter = Meter(address.port)
        with Beside(answer_requests, address) as other, Beside(ask, address, effort) as asking:
            lasted_s, count = asking.result(effort.warm_up_s + effort.window_s + RESULT_LIMIT_S)
            load = meter.load(other.process, asking.process)
    finally:
        client.delete_queue(QUEUE)
        client.close()
    lasted_s.sort()
    figures = [
        Figure(
            name=f"round trip, p{percent}",
            value=percentile_of(lasted_s, percent) * 1e6,
            unit="us",
            is_disturbed=load.is_disturbed,
            is_limited=load.is_limited_by_generator,
        )
        for percent in (50, 99)
    ]
    return figures + cpu_figures("round trip", "round trip", count, load)


def ask(address: Address, effort: Effort) -> tuple[list[float], int]:
    """Seconds that each round trip in the window took, and how many there were with the warm-up."""
    client = Client(address)
    client.consume(REPLY_TO, "c", no_ack=True)
    properties = wire.encode_shortstr(REPLY_TO)
    request = wire.encode_publish("", QUEUE) + wire.encode_content(REPLY_TO_FLAG, properties, BODY)
    lasted_s: list[float] = []
    count = 0
    counted_from_s = time.perf_counter() + effort.warm_up_s
    until_s = counted_from_s + effort.window_s
    now_s = 0.0
    while now_s < until_s:
        began_s = time.perf_counter()
        client.socket.sendall(request)
        read_delivery(client)
        now_s = time.perf_counter()
        count += 1
        if began_s >= counted_from_s:
            lasted_s.append(now_s - began_s)
    return lasted_s, count


def answer_requests(address: Address) -> None:
    """Answer until this process is ended; the reply's octets are made once for each reply address."""
    client = Client(address)
    client.socket.settimeout(None)
    client.consume(QUEUE, "c", no_ack=True)
    replies: dict[bytes, bytes] = {}
    content = wire.encode_content(0, b"", BODY)
    while True:
        header, _ = read_delivery(client)
        reply = replies.get(header)
        if reply is None:
            reply_to = header[15 : 15 + header[14]].decode()
            reply = replies[header] = wire.encode_publish("", reply_to) + content
        client.socket.sendall(reply)
