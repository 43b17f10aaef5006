"""The whole broker against a list: any order of publishing, getting, settling, requeueing, purging, waiting, changing
a policy, deleting, restarting and losing power. After every step the queues are those of the model, and the log that is
on the disk folds to the same state; after every restart, which an index of the last end was read for, and after every
loss of power the whole log does.

Promises P3 to P5, P7 and P12. No socket, no clock and no disk but the test's own.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pamqp import commands

from broker.core.policies.policies import Policy
from broker.server.clock import ManualClock
from storage import snapshot
from storage.store import Store
from tests.protocol.octets import PERSISTENT, PLAIN, message
from tests.server.wired import Client, Node
from tests.storage.driving import Driver
from tests.storage.folded import FoldedLog
from tests.storage.simulated_disk import SimulatedDisk
from tests.torture import count, ran, share

DIRECTORY = Path("/data")
QUEUES = ("plain", "mortal", "dead")
TTL_MS = 1000
STEPS = count(50, 200)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mortal": {"x-message-ttl": TTL_MS, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
    "dead": {},
}
TOKEN = re.compile(rb"<(\d+)>")


@dataclass
class Message:
    token: int
    is_persistent: bool
    order: int
    deadline_ms: int | None = None
    redelivered: bool = False


@dataclass
class Queue:
    """Ready messages by place, and those that are with the client."""

    ready: list[Message] = field(default_factory=list)
    unacked: list[Message] = field(default_factory=list)

    def requeue(self, message: Message) -> None:
        """Back to the place that it had."""
        self.unacked.remove(message)
        self.ready.append(message)
        self.ready.sort(key=lambda each: each.order)


class BrokerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.wall_ms = 1_700_000_000_000
        self.model = {name: Queue() for name in QUEUES}
        self.unacked: dict[int, tuple[Queue, Message]] = {}  # by delivery tag
        self.max_length: int | None = None
        self.next_token = self.next_order = 0
        self.steps = 0
        self.start()
        for name in QUEUES:
            self.client.send(commands.Queue.Declare, queue=name, durable=True, arguments=ARGUMENTS[name])
        self.node.settle()
        assert self.client.names() == ["Queue.DeclareOk"] * len(QUEUES)

    def start(self) -> None:
        self.reports: SimpleQueue[Callable[[], None]] = SimpleQueue()
        store = Store.open(DIRECTORY, notify=self.reports.put, disk=self.disk, segment_octets=1500)
        assert store.recovery.damage == []
        self.node = Node(store, self.reports, clock=ManualClock(wall_ms=self.wall_ms))
        self.client: Client = self.node.connect()
        self.publisher = self.node.connect()
        self.publisher.send(commands.Confirm.Select)
        assert self.publisher.names() == ["Confirm.SelectOk"]
        self.published_tag = 0
        self.log = FoldedLog(DIRECTORY, store._directory.salt)

    # What a client does

    @rule(name=st.sampled_from(QUEUES), persistent=st.lists(st.booleans(), min_size=1, max_size=4))
    def publish(self, name: str, persistent: list[bool]) -> None:
        octets = b""
        for is_persistent in persistent:
            body = b"<%d>" % self.next_token + b"x" * (self.next_token * 7 % 50)
            octets += message(body, name.encode(), PERSISTENT if is_persistent else PLAIN)
            self.enqueue(name, self.next_token, is_persistent)
            self.next_token += 1
        self.publisher.feed(octets)
        self.tidy()
        self.node.settle()
        self.take_confirms(len(persistent))

    def take_confirms(self, published: int) -> None:
        """Each publish is confirmed once, in order."""
        upto = self.published_tag
        for method in self.publisher.received():
            assert isinstance(method, commands.Basic.Ack)
            tag = method.delivery_tag or 0
            assert tag > upto
            assert method.multiple or tag == upto + 1
            upto = tag
        self.published_tag += published
        assert upto == self.published_tag

    @rule(name=st.sampled_from(QUEUES), no_ack=st.booleans())
    def get(self, name: str, no_ack: bool) -> None:
        queue = self.model[name]
        found, tag = self.take(name, no_ack)
        if not queue.ready:
            assert found is None
            return
        expected = queue.ready.pop(0)
        assert found == (expected.token, expected.redelivered)
        expected.redelivered = True
        if not no_ack:
            queue.unacked.append(expected)
            self.unacked[tag] = (queue, expected)

    def take(self, name: str, no_ack: bool) -> tuple[tuple[int, bool] | None, int]:
        self.client.bodies.clear()
        self.client.send(commands.Basic.Get, queue=name, no_ack=no_ack)
        (method,) = self.client.received()
        if isinstance(method, commands.Basic.GetEmpty):
            return None, 0
        assert isinstance(method, commands.Basic.GetOk)
        return (token_of(self.client.bodies[0]), bool(method.redelivered)), method.delivery_tag or 0

    @precondition(lambda self: self.unacked)
    @rule(data=st.data(), multiple=st.booleans(), verb=st.sampled_from(["ack", "requeue", "reject", "reject all"]))
    def settle(self, data: st.DataObject, multiple: bool, verb: str) -> None:
        tag = data.draw(st.sampled_from(sorted(self.unacked)))
        tags = [each for each in sorted(self.unacked) if each <= tag] if multiple else [tag]
        if verb == "ack":
            self.client.send(commands.Basic.Ack, delivery_tag=tag, multiple=multiple)
        elif verb == "reject" and not multiple:
            self.client.send(commands.Basic.Reject, delivery_tag=tag, requeue=False)
        else:
            self.client.send(commands.Basic.Nack, delivery_tag=tag, multiple=multiple, requeue=verb == "requeue")
        assert self.client.received() == []
        gone = [self.unacked.pop(each) for each in tags]
        for queue, each in gone:
            if each not in queue.unacked:
                continue  # its queue was deleted
            if verb == "requeue":
                queue.requeue(each)
            else:
                queue.unacked.remove(each)
                if verb != "ack" and queue is self.model["mortal"]:
                    self.enqueue("dead", each.token, each.is_persistent)
        self.tidy()

    @rule(name=st.sampled_from(QUEUES))
    def purge(self, name: str) -> None:
        self.client.send(commands.Queue.Purge, queue=name)
        self.node.settle()
        (method,) = self.client.received()
        assert isinstance(method, commands.Queue.PurgeOk)
        assert method.message_count == len(self.model[name].ready)
        self.model[name].ready.clear()

    @rule(name=st.sampled_from(QUEUES))
    def delete_and_declare_again(self, name: str) -> None:
        self.client.send(commands.Queue.Delete, queue=name)
        self.client.send(commands.Queue.Declare, queue=name, durable=True, arguments=ARGUMENTS[name])
        self.node.settle()
        assert self.client.names() == ["Queue.DeleteOk", "Queue.DeclareOk"]
        self.model[name].ready.clear()
        self.model[name].unacked.clear()
        self.model[name] = Queue()

    # What happens to the broker

    @rule(ms=st.sampled_from([37, 333, 701, 2003]))
    def wait(self, ms: int) -> None:
        self.node.clock.advance(ms)
        self.wall_ms += ms
        self.wait_until_read_back()  # what follows something expired may have to be read first
        self.tidy()

    @rule(limit=st.sampled_from([None, 2, 5]))
    def change_policy(self, limit: int | None) -> None:
        policies = self.node.broker.vhosts["/"].policies
        if limit is None:
            if self.max_length is not None:
                policies.clear("policy", "short")
        else:
            policies.set(Policy("short", "^plain$", {"max-length": limit}))
        self.max_length = limit
        self.node.broker.finish_read()
        self.tidy()

    @rule(is_orderly=st.booleans())
    def end_and_start(self, is_orderly: bool) -> None:
        """In order, or by a loss of power: only what was synced is there then, which after settling is all."""
        self.node.settle()
        found = self.disk if is_orderly else self.disk.after_power_loss("durable", "durable")
        self.node.store.close()
        self.disk = found
        self.come_back()

    def come_back(self) -> None:
        for queue in self.model.values():
            for each in list(queue.unacked):
                queue.requeue(each)
            queue.ready = [each for each in queue.ready if each.is_persistent]
        self.unacked.clear()
        self.tidy()
        self.start()
        self.node.broker.finish_read()
        self.wait_until_read_back()

    def wait_until_read_back(self) -> None:
        """Take the reader's reports until each queue has its head, so that what has expired there is gone."""
        queues = self.node.broker.vhosts["/"].queues.values()
        while any(queue.message_count and not queue.backlog.is_at_hand for queue in queues):
            self.reports.get(timeout=5)()
            self.node.broker.finish_read()

    # The model's own rules

    def enqueue(self, name: str, token: int, is_persistent: bool) -> None:
        deadline_ms = self.wall_ms + TTL_MS if name == "mortal" else None
        self.model[name].ready.append(Message(token, is_persistent, self.next_order, deadline_ms))
        self.next_order += 1

    def tidy(self) -> None:
        """What is expired at a queue's head goes to the dead, what is too much at the other's is dropped."""
        mortal = self.model["mortal"].ready
        while mortal and mortal[0].deadline_ms is not None and mortal[0].deadline_ms <= self.wall_ms:
            gone = mortal.pop(0)
            self.enqueue("dead", gone.token, gone.is_persistent)
        if self.max_length is not None:
            plain = self.model["plain"].ready
            del plain[: max(0, len(plain) - self.max_length)]

    @invariant()
    def queues_are_those_of_the_model(self) -> None:
        queues = self.node.broker.vhosts["/"].queues
        assert set(queues) == set(QUEUES)
        for name, queue in self.model.items():
            assert (name, queues[name].message_count) == (name, len(queue.ready))
            assert (name, queues[name].unacked_count) == (name, len(queue.unacked))

    @invariant()
    def the_log_folds_to_the_same_state(self) -> None:
        self.steps += 1
        self.node.settle()
        self.log.read_on(self.disk)
        queues = self.node.broker.vhosts["/"].queues
        for name, kept in self.kept().items():
            found = [(token_of(piece), redelivered) for piece, redelivered in self.log.queue(queues[name].id)]
            assert (name, found) == (name, kept)
        if self.steps % count(12, 4) == 0:
            self.the_store_would_recover_the_same_state()

    def the_store_would_recover_the_same_state(self) -> None:
        copy = Driver(DIRECTORY, self.disk.after_kill(), 1500)
        assert copy.store.recovery.damage == []
        queues = self.node.broker.vhosts["/"].queues
        for name, kept in self.kept().items():
            messages = sorted(copy.model.queues.get(queues[name].id, {}).items())
            assert (name, [(token_of(piece), redelivered) for _, (_, piece, redelivered) in messages]) == (name, kept)
        copy.close()

    def kept(self) -> dict[str, list[tuple[int, bool]]]:
        """By queue: token, and whether it was delivered, of each message that is kept on disk, in order."""
        return {
            name: [
                (each.token, each.redelivered)
                for each in sorted(queue.ready + queue.unacked, key=lambda each: each.order)
                if each.is_persistent
            ]
            for name, queue in self.model.items()
        }

    def teardown(self) -> None:
        """Everything comes out, in order."""
        for name in QUEUES:
            while self.model[name].ready:
                self.get(name, no_ack=True)
            assert self.take(name, True)[0] is None
        self.node.store.close()
        ran("T9", 1, f"histories of {STEPS} steps")
        ran("T11", self.steps, "steps after which the log folded to the same state")


def token_of(octets: bytes) -> int:
    found = TOKEN.search(octets)
    assert found is not None
    return int(found[1])


@pytest.fixture(autouse=True)
def _errors_only() -> Iterator[None]:
    """The broker has a line for every start, and here it starts thousands of times."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


def test_the_broker_behaves_as_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "LEAST_OCTETS", 0)  # an orderly restart reads the index, a loss of power the log
    run_state_machine_as_test(
        BrokerMachine,
        settings=settings(
            max_examples=share(500, 20_000),
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
