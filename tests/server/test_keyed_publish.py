"""Publishes by many routing keys, or of many priorities, that go together come to the same end as one by one.

The same octets go to two brokers, of which one does not know such runs. Every octet that consumers get must be the same
then, in every kind of queue, and after a restart.
"""

import logging
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal
from unittest.mock import patch

import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pamqp import commands

from broker.server.clock import ManualClock
from protocol.keyed import KeyedCutter
from protocol.tables import FieldTable
from storage.store import Store
from tests.protocol.octets import content_frames, publish_frame, short
from tests.server.wired import Client, Node, running_node
from tests.storage.simulated_disk import SimulatedDisk
from tests.torture import count

DIRECTORY = Path("/data")

QUEUES: dict[str, FieldTable] = {
    "plain": {},
    "other": {},
    "kept": {},
    "also kept": {},
    "urgent": {"x-max-priority": 5},
    "full": {"x-max-length": 3, "x-overflow": "reject-publish"},
    "short": {"x-max-length": 2, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
    "passing on": {"x-max-length": 1, "x-dead-letter-exchange": "t"},
    "dead": {},
    "small": {"x-max-length-bytes": 40},
    "safe": {"x-queue-type": "quorum"},
    "stream": {"x-queue-type": "stream"},
}
DURABLE = {"kept", "urgent", "also kept", "safe", "stream", "passing on"}
EXCHANGES: dict[str, tuple[str, FieldTable]] = {
    "t": ("topic", {"alternate-exchange": "f"}),
    "t2": ("topic", {}),
    "d": ("direct", {}),
    "f": ("fanout", {}),
    "h": ("headers", {}),
    "c": ("x-consistent-hash", {}),
    "r": ("x-recent-history", {}),
}
FIXED = [
    ("f", "plain", ""),
    ("h", "other", ""),
    ("c", "plain", "1"),
    ("c", "other", "2"),
    ("r", "kept", ""),
    ("d", "plain", "a"),
    ("d", "kept", "a"),
    ("d", "kept", "b"),
    ("d", "full", "b"),
]
QUEUE_NAMES = st.sampled_from(sorted(QUEUES))
WORDS = st.sampled_from(["a", "b", "c"])
KEYS = st.one_of(
    st.lists(WORDS, max_size=3).map(".".join),
    st.integers(0, 1000).map(lambda number: f"a.{number}.b"),
    QUEUE_NAMES,
)
PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#"])), max_size=3).map(".".join)
HEADERS = st.sampled_from(
    [
        b"\x00\x00",
        b"\x00\x00",
        b"\x10\x00\x02",
        b"\x08\x00\x03",
        b"\x00\x80" + short(b"id"),
        b"\x10\x80\x02" + short(b"another id"),
        b"\x20\x00\0\0\0\x12\2CCA\0\0\0\x0aS\0\0\0\5plain",
        b"\x01\x00" + short(b"60000"),
    ]
)


def publish(exchange: str, key: str, header: bytes, body: bytes, bits: int) -> bytes:
    return publish_frame(exchange.encode(), key.encode(), 1, bits) + content_frames(body, header)


MESSAGES = st.lists(
    st.builds(
        publish,
        st.sampled_from(["t", "t", "t", "", "d", "f", "h", "c", "r", "t2"]),
        KEYS,
        HEADERS,
        st.sampled_from([b"same", b"same", b"", b"a longer body"]),
        st.sampled_from([0, 0, 0, 1]),
    ),
    min_size=1,
    max_size=25,
)


@st.composite
def runs(draw: st.DrawFn) -> list[bytes]:
    """Messages to one exchange, alike but for their keys."""
    exchange, header = draw(st.sampled_from(["t", "t", "", "d", "f", "h", "r"])), draw(HEADERS)
    ids = [b"\x18\x80\x02\x03" + short(b"%02d" % number) for number in range(40)]
    headers = draw(
        st.sampled_from([[header], ids, [header, b"\x08\x00\x01"], [b"\x08\x00\x05", b"\x08\x00\x00", header]])
    )
    bodies, bits = draw(st.sampled_from([[b"same"], [b"x", b"yy"]])), draw(st.sampled_from([0, 0, 1]))
    few = st.sampled_from(draw(st.lists(KEYS, min_size=2, max_size=4, unique=True)))
    alike = st.sampled_from(draw(st.sampled_from([["a.b.c", "a.c.b", "plain", "other", "small"], ["kept", "full"]])))
    many = st.lists(KEYS, min_size=2, max_size=30), KEYS.map(lambda key: [key] * 12)
    again = st.lists(few, min_size=18, max_size=40), st.lists(alike, min_size=18, max_size=40)
    keys = draw(st.one_of(*many, *again))
    return [
        publish(exchange, key, headers[n % len(headers)], bodies[n % len(bodies)], bits) for n, key in enumerate(keys)
    ]


@dataclass
class Plan:
    """What one side of the comparison goes through."""

    bindings: list[tuple[str, str, str]]
    feeds_exchange: bool
    mode: Literal["plain", "confirm", "tx"]
    topics_allowed: str
    consumes_first: bool
    restarts: bool
    messages: list[bytes]


plans = st.builds(
    Plan,
    bindings=st.lists(
        st.tuples(st.sampled_from(["t", "t", "t2"]), st.sampled_from(sorted(QUEUES)), PATTERNS), max_size=8
    ),
    feeds_exchange=st.booleans(),
    mode=st.sampled_from(["plain", "confirm", "tx"]),
    topics_allowed=st.sampled_from([".*", ".*", "^a"]),
    consumes_first=st.booleans(),
    restarts=st.booleans(),
    messages=st.lists(st.one_of(runs(), MESSAGES), min_size=1, max_size=3).map(lambda parts: list(chain(*parts))),
)


class Side:
    """A broker on a disk of its own, and clients."""

    def __init__(self) -> None:
        self.disk = SimulatedDisk()
        self.start()

    def start(self) -> None:
        self.reports: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.store = Store.open(DIRECTORY, notify=self.reports.put, disk=self.disk)
        self.node = Node(self.store, self.reports, clock=ManualClock(wall_ms=1_700_000_000_000))

    def declare(self, plan: Plan) -> None:
        client = self.node.connect()
        for name, (kind, arguments) in EXCHANGES.items():
            client.send(commands.Exchange.Declare, exchange=name, exchange_type=kind, durable=True, arguments=arguments)
        for name, arguments in QUEUES.items():
            client.send(commands.Queue.Declare, queue=name, durable=name in DURABLE, arguments=arguments)
        for exchange, queue, key in [*FIXED, *plan.bindings]:
            client.send(commands.Queue.Bind, queue=queue, exchange=exchange, routing_key=key)
        if plan.feeds_exchange:
            client.send(commands.Exchange.Bind, destination="t2", source="t", routing_key="a.#")
        self.node.settle()
        names = client.names()
        assert set(names) == {"Exchange.DeclareOk", "Queue.DeclareOk", "Queue.BindOk"} | (
            {"Exchange.BindOk"} if plan.feeds_exchange else set()
        )
        if plan.topics_allowed != ".*":
            control = self.node.broker.access_control
            control.set_topic_permission("/", "guest", "t", write=plan.topics_allowed, read=".*")

    def consume(self, queue: str) -> Client:
        client = self.node.connect()
        arguments: dict[str, Any] = {}
        if queue == "stream":
            arguments["x-stream-offset"] = "first"
        client.send(commands.Basic.Qos, prefetch_count=1000)
        client.send(commands.Basic.Consume, queue=queue, consumer_tag=queue, arguments=arguments)
        return client

    def run(self, plan: Plan) -> dict[str, object]:
        """Return what everybody has got, by name."""
        self.declare(plan)
        publisher = self.node.connect()
        if plan.mode == "confirm":
            publisher.send(commands.Confirm.Select)
        elif plan.mode == "tx":
            publisher.send(commands.Tx.Select)
        watched = ["plain", "kept", "safe"] if plan.consumes_first else []
        consumers = {name: self.consume(name) for name in watched}
        octets = b"".join(plan.messages)
        third = len(octets) // 3
        publisher.connection.data_received(octets[:third], (octets[third : 2 * third], octets[2 * third :]))
        if plan.mode == "tx" and not publisher.connection.channels[1].is_closing:
            publisher.send(commands.Tx.Commit)
        self.node.settle()
        found: dict[str, object] = {"publisher": said_to(publisher)}
        self.node.broker.counters.gather(self.node.broker)
        found["counts"] = self.node.broker.counters.node
        found["unroutable"] = [
            (each.exchange, each.routing_key, each.returned)
            for each in self.node.broker.counters.unroutable
            for _ in range(each.count)
        ]
        for name, consumer in consumers.items():
            found[f"first of {name}"] = bytes(consumer.wire.written)
            # What is not acked comes back, in its place.
            consumer.disconnect()
        if plan.restarts:
            self.node.settle()
            self.store.close()
            self.start()
        for name in sorted(set(QUEUES) & set(self.node.broker.vhosts["/"].queues)):
            consumer = self.consume(name)
            queue = self.node.broker.vhosts["/"].queues[name]
            while queue.message_count and name != "stream":
                # What was read back from the disk comes by and by.
                self.node.take_report()
            self.node.settle()
            found[name] = bytes(consumer.wire.written)
        self.store.close()
        return found


def said_to(publisher: Client) -> list[object]:
    """What the publisher was told: other methods in order, then which tags were confirmed."""
    settled: dict[int, str] = {}
    others: list[object] = []
    upto = 0
    for method in publisher.received():
        if isinstance(method, commands.Basic.Ack | commands.Basic.Nack):
            tag = method.delivery_tag or 0
            for each in range(upto + 1 if method.multiple else tag, tag + 1):
                assert each not in settled
                settled[each] = method.name
            upto = tag
        else:
            others.append((method.name, dict(method)))
    return [*others, publisher.bodies, settled]


@pytest.fixture(autouse=True, scope="module")
def quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


ALL_KEYS = [publish("t", f"a.{n}.b", b"\x00\x00", b"same", 0) for n in range(9)]
FEW = ["a", "b", "plain", "full", "no queue"]
FEW_KEYS = [publish("d", key, b"\x00\x80" + short(b"%02d" % n), b"same", 1) for n, key in enumerate(FEW * 9)]
TO_ALL = [("t", name, "a.#") for name in sorted(QUEUES)]


@settings(max_examples=count(60, 3000), deadline=None)
@given(plans)
@example(Plan(TO_ALL, True, "confirm", ".*", True, True, ALL_KEYS))
@example(Plan([("t", "plain", "a.#"), ("t", "other", "a.1.*")], False, "confirm", ".*", True, False, ALL_KEYS))
@example(Plan([("d", "plain", "a"), ("d", "kept", "b")], True, "confirm", ".*", True, True, FEW_KEYS))
@example(Plan([], True, "confirm", ".*", True, True, [publish("", key, b"\x00\x00", b"same", 1) for key in FEW * 9]))
@example(Plan([("t", "kept", "a.#"), ("t", "also kept", "a.1.*")], False, "plain", ".*", False, True, ALL_KEYS))
def test_what_is_read_together_ends_as_what_is_read_one_by_one(plan: Plan) -> None:
    with patch("protocol.keyed._SHORTEST_COLUMNS", 4):
        together = Side().run(plan)
    with ExitStack() as stack:
        stack.enter_context(patch.object(KeyedCutter, "cut", return_value=None))
        if plan.mode != "tx":  # A commit lets the dead go on after each run, so there the runs must be the same.
            stack.enter_context(patch("protocol.frames.common_facts", return_value=None))
        one_by_one = Side().run(plan)
    assert together == one_by_one


def test_messages_of_many_keys_are_one_stretch_in_each_queue(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        for name, pattern in (("all", "#"), ("some", "*.even")):
            client.declare(name)
            client.send(commands.Queue.Bind, queue=name, exchange="amq.topic", routing_key=pattern)
            assert client.names() == ["Queue.BindOk"]
        keys = [f"k{number}.{'odd' if number % 2 else 'even'}" for number in range(100)]
        client.feed(b"".join(publish("amq.topic", key, b"\x00\x00", b"same", 0) for key in ["teaches.", *keys]))
        queues = node.broker.vhosts["/"].queues
        assert [len(each.pieces) for each in queues["all"].backlog.stretches()] == [1, 100]
        assert [len(each.pieces) for each in queues["some"].backlog.stretches()] == [50]


def test_keys_that_lead_nowhere_are_remembered(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        keys = [f"nowhere.{number}" for number in range(2000)]
        client.feed(b"".join(publish("amq.topic", key, b"\x00\x00", b"same", 0) for key in keys))
        assert [each.routing_key for each in node.broker.counters.unroutable] == keys[-1000:]
        node.broker.counters.gather(node.broker)
        assert node.broker.counters.node.drop_unroutable == 2000


@pytest.mark.parametrize("header", [b"\x00\x00", b"\x10\x00\x02"])
def test_messages_of_many_keys_leave_memory_and_come_back(tmp_path: Path, header: bytes) -> None:
    with running_node(tmp_path, resident_octets=1 << 20) as node:
        publisher, consumer = node.connect(), node.connect()
        publisher.send(commands.Queue.Declare, queue="q", durable=True)
        publisher.send(commands.Queue.Bind, queue="q", exchange="amq.topic", routing_key="#")
        keys = [f"key.{number}" for number in range(16_000)]
        for at in range(0, len(keys), 1000):
            publisher.feed(b"".join(publish("amq.topic", key, header, b"x" * 200, 0) for key in keys[at : at + 1000]))
            node.settle()
        queue = node.broker.vhosts["/"].queues["q"]
        assert queue.backlog.resident_octets < 3 << 20
        consumer.send(commands.Basic.Consume, queue="q", consumer_tag="c", no_ack=True)
        while queue.message_count:
            node.take_report()
        assert re.findall(rb"amq\.topic.(key\.\d+)\xce", bytes(consumer.wire.written)) == [key.encode() for key in keys]
        assert consumer.wire.written.count(b"x" * 200 + b"\xce") == len(keys)
