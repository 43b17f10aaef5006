"""Dead letters faster than the disk: how much may wait for it, who waits meanwhile, what a crash in between leaves."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from pamqp import commands

from broker.core.policies.policies import Policy
from broker.core.queues import dying
from broker.core.queues.classic import ClassicQueue
from broker.server import backpressure
from broker.server.backpressure import Backpressure
from storage import snapshot, space
from storage.store import Store
from tests.protocol.octets import PERSISTENT, message
from tests.server.test_broker_machine import BrokerMachine, token_of
from tests.server.wired import Client, Node, running_node
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk
from tests.torture import share

DIRECTORY = Path("/data")
HIGH, LOW = 20_000, 5_000
BODY_OCTETS = 1000
TO_DEAD: dict[str, Any] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backpressure, "UNWRITTEN_HIGH_OCTETS", HIGH)
    monkeypatch.setattr(backpressure, "UNWRITTEN_LOW_OCTETS", LOW)
    monkeypatch.setattr(dying, "STEP_OCTETS", 2 * BODY_OCTETS)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path) as found:
        yield found


def body(number: int) -> bytes:
    return b"<%d>" % number + b"x" * BODY_OCTETS


def queue_of(node: Node, name: str) -> ClassicQueue:
    return node.broker.vhosts["/"].queues[name]


def fill(node: Node, client: Client, count: int, **arguments: Any) -> None:
    """Declare q, which dead-letters to the queue dead, and publish ``count`` messages to it."""
    client.send(commands.Queue.Declare, queue="q", durable=True, arguments={**TO_DEAD, **arguments})
    client.send(commands.Queue.Declare, queue="dead", durable=True)
    publisher = node.connect()
    for number in range(count):
        publisher.feed(message(body(number), b"q", PERSISTENT))
        if not publisher.wire.is_read:
            settle(node)
    settle(node)
    publisher.disconnect()
    client.received()


def get_all(client: Client, count: int) -> None:
    for _ in range(count):
        client.send(commands.Basic.Get, queue="q")
    client.received()


def is_behind(node: Node) -> bool:
    queues = node.broker.vhosts["/"].queues.values()
    return any(queue.enforcement is not None and queue.enforcement.is_burying for queue in queues) or bool(
        node.broker.backpressure._waiting or node.broker.backpressure._paused or node.broker.backpressure._behind
    )


def settle(node: Node) -> None:
    Node.settle(node)
    while is_behind(node):
        node.take_report()
        node.turns.run()
    Node.settle(node)


def tokens(node: Node, name: str) -> list[int]:
    client = node.connect()
    found: list[int] = []
    while True:
        client.bodies.clear()
        client.send(commands.Basic.Get, queue=name, no_ack=True)
        if client.names() == ["Basic.GetEmpty"]:
            return found
        found.append(token_of(b"".join(client.bodies)))


def unwritten_during(node: Node, until: Callable[[], bool]) -> int:
    """Take the disk's reports until ``until()``; return the most that was unwritten meanwhile."""
    most = node.store.unwritten_octets
    while not until():
        node.take_report()
        node.turns.run()
        most = max(most, node.store.unwritten_octets)
    return most


def test_a_nack_of_all_that_a_client_holds_is_no_more_than_the_disk_takes(node: Node) -> None:
    client = node.connect()
    fill(node, client, 300)
    get_all(client, 300)
    client.send(commands.Basic.Nack, delivery_tag=0, multiple=True, requeue=False)
    assert queue_of(node, "q").unacked_count == 0, "at once"
    assert client.connection.channels[1].unacked.count == 0
    dead = queue_of(node, "dead")
    assert 0 < dead.message_count < 300
    most = unwritten_during(node, lambda: dead.message_count == 300 and not is_behind(node))
    assert most <= HIGH // backpressure.DEAD_LETTERS_SHARE + 4 * BODY_OCTETS
    assert tokens(node, "dead") == list(range(300))
    assert tokens(node, "q") == []


def test_a_limit_by_a_policy_on_a_deep_queue_is_no_more_than_the_disk_takes(node: Node) -> None:
    client = node.connect()
    fill(node, client, 300)
    node.broker.vhosts["/"].policies.set(Policy("brief", "^q$", {"max-length": 1}))
    node.broker.finish_read()
    dead = queue_of(node, "dead")
    most = unwritten_during(node, lambda: queue_of(node, "q").message_count == 1 and not is_behind(node))
    assert most <= HIGH // backpressure.DEAD_LETTERS_SHARE + 4 * BODY_OCTETS
    assert dead.message_count == 299
    assert tokens(node, "dead") == list(range(299))


def test_all_that_expires_at_once_is_no_more_than_the_disk_takes(node: Node) -> None:
    client = node.connect()
    fill(node, client, 300, **{"x-message-ttl": 5000})
    node.clock.advance(6000)
    queue, dead = queue_of(node, "q"), queue_of(node, "dead")
    assert 0 < queue.message_count < 300
    client.send(commands.Basic.Get, queue="q")
    assert client.names() == ["Basic.GetEmpty"], "nobody gets what has expired"
    most = unwritten_during(node, lambda: dead.message_count == 300 and not is_behind(node))
    assert most <= HIGH // backpressure.DEAD_LETTERS_SHARE + 4 * BODY_OCTETS
    assert tokens(node, "dead") == list(range(300))


def test_a_publisher_to_a_queue_that_is_behind_waits_and_others_do_not(node: Node) -> None:
    client = node.connect()
    fill(node, client, 300)
    client.send(commands.Queue.Declare, queue="other", durable=True)
    node.settle()
    eager, other = node.connect(), node.connect()
    node.broker.vhosts["/"].policies.set(Policy("short", "^q$", {"max-length": 10}))
    node.broker.finish_read()
    queue = queue_of(node, "q")
    assert queue.message_count > 100
    most, published, waits = 0, 300, set[str]()
    while queue.message_count > 10 or is_behind(node):
        if eager.wire.is_read:
            eager.feed(message(body(published), b"q", PERSISTENT))
            published += 1
        if other.wire.is_read:
            other.feed(message(b"<1>", b"other", PERSISTENT))
        most = max(most, queue.message_count)
        assert "dead letters" not in other.connection._pauses
        if not eager.wire.is_read:
            waits.update(eager.connection._pauses)
            node.take_report()
            node.turns.run()
        assert published < 1000, "it catches up"
    assert most <= 301
    assert waits == {"dead letters"}
    settle(node)
    assert eager.wire.is_read
    assert other.wire.is_read
    assert tokens(node, "dead") == list(range(published - 10))
    assert tokens(node, "q") == list(range(published - 10, published))


def test_steady_publishers_to_a_full_queue_leave_it_within_its_limit(node: Node) -> None:
    """Each publish drops one: a queue that nobody consumes stays as long as it may be, give or take a read of each."""
    client = node.connect()
    fill(node, client, 10, **{"x-max-length": 10})
    publishers = [node.connect() for _ in range(5)]
    queue, published = queue_of(node, "q"), 10
    while published < 2000:
        for publisher in publishers:
            if publisher.wire.is_read:
                publisher.feed(b"".join(message(body(published + i), b"q", PERSISTENT) for i in range(4)))
                published += 4
                assert queue.message_count <= 10 + 2 * 4 * len(publishers)
        if not any(publisher.wire.is_read for publisher in publishers):
            node.take_report()
            node.turns.run()
    settle(node)
    assert queue.message_count == 10
    assert queue_of(node, "dead").message_count == published - 10


def test_a_commit_is_one_batch_however_much_it_rejects(node: Node) -> None:
    client = node.connect()
    fill(node, client, 100)
    get_all(client, 100)
    client.send(commands.Tx.Select)
    client.send(commands.Basic.Nack, delivery_tag=0, multiple=True, requeue=False)
    node.settle()
    client.received()
    assert queue_of(node, "dead").message_count == 0
    ticket = node.store.ticket
    client.send(commands.Tx.Commit)
    assert queue_of(node, "dead").message_count == 100
    assert node.store.ticket <= ticket + 1
    node.settle()
    assert client.names() == ["Tx.CommitOk"]


def test_a_queue_deleted_with_dead_letters_to_come_gives_them_all(node: Node) -> None:
    client = node.connect()
    fill(node, client, 200)
    get_all(client, 200)
    client.send(commands.Basic.Nack, delivery_tag=0, multiple=True, requeue=False)
    client.send(commands.Queue.Delete, queue="q")
    assert queue_of(node, "dead").message_count < 200
    dead = queue_of(node, "dead")
    unwritten_during(node, lambda: dead.message_count == 200)
    settle(node)
    assert tokens(node, "dead") == list(range(200))


def machine_node(disk: SimulatedDisk, segment_octets: int = 4000, notify: Any = None) -> Node:
    reports: SimpleQueue[Callable[[], None]] = SimpleQueue()
    store = Store.open(DIRECTORY, notify=reports.put, disk=disk, segment_octets=segment_octets)
    return Node(store, reports)


@pytest.mark.parametrize("how", ["nack", "expire", "limit"])
def test_power_lost_between_any_two_steps_leaves_each_message_in_one_place(how: str) -> None:
    disk = SimulatedDisk()
    node = machine_node(disk)
    client = node.connect()
    fill(node, client, 120, **({"x-message-ttl": 5000} if how == "expire" else {}))
    if how == "nack":
        get_all(client, 120)
        node.settle()
        client.send(commands.Basic.Nack, delivery_tag=0, multiple=True, requeue=False)
    elif how == "expire":
        node.clock.advance(6000)
    else:
        node.broker.vhosts["/"].policies.set(Policy("short", "^q$", {"max-length": 1}))
        node.broker.finish_read()
    ids = {name: queue_of(node, name).id for name in ("q", "dead")}
    shares = []
    while True:
        for cut in (disk.after_kill(), disk.after_power_loss("durable", "durable")):
            copy = Driver(DIRECTORY, cut, 4000)
            assert copy.store.recovery.damage == []
            found = {
                name: [token_of(piece) for _, (_, piece, _) in sorted(copy.model.queues.get(ids[name], {}).items())]
                for name in ids
            }
            copy.close()
            assert found["dead"] + found["q"] == list(range(120)), "each once, in order"
        shares.append(len(found["dead"]))
        if not is_behind(node):
            break
        node.take_report()
        node.turns.run()
    assert len({share for share in shares if share < 119}) > 2
    node.store.close()


def test_a_restart_in_order_keeps_what_waits_in_its_queue(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        fill(node, client, 200)
        get_all(client, 200)
        client.send(commands.Basic.Nack, delivery_tag=0, multiple=True, requeue=False)
        assert queue_of(node, "dead").message_count < 200
    with running_node(tmp_path) as node:
        node.broker.finish_read()
        dead = tokens(node, "dead")
        left = tokens(node, "q")
        assert left
        assert dead + left == list(range(200))


# A full disk


def fill_disk(disk: SimulatedDisk, node: Node, client: Client) -> int:
    """Publish to q until the disk is full; return how many."""
    publisher = node.connect()
    count = 0
    while not node.store.is_short:
        if publisher.wire.is_read:
            publisher.feed(message(body(count), b"q", PERSISTENT))
            count += 1
        else:
            node.take_report()
            node.turns.run()
        assert count < 3000
    client.received()
    return count


@pytest.fixture
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "RETRY_S", 0.005)


@pytest.mark.usefixtures("_short_wait")
def test_a_full_disk_keeps_room_for_settlements_and_all_goes_on_by_itself_when_consumers_have_made_more() -> None:
    """Everything in q has expired; what another queue's consumers take is what gives room."""
    disk = SimulatedDisk()
    disk.capacity = 400_000
    node = machine_node(disk, 20_000)
    client = node.connect()
    client.send(commands.Queue.Declare, queue="q", durable=True, arguments={**TO_DEAD, "x-message-ttl": 5000})
    client.send(commands.Queue.Declare, queue="dead", durable=True)
    client.send(commands.Queue.Declare, queue="other", durable=True)
    publisher = node.connect()
    for number in range(100):
        publisher.feed(message(body(number), b"other", PERSISTENT))
        if not publisher.wire.is_read:
            settle(node)
    settle(node)
    count = fill_disk(disk, node, client)
    while node.store._line_length:
        node.take_report()
    queue, dead = queue_of(node, "q"), queue_of(node, "dead")
    node.clock.advance(6000)
    until_stuck(node)
    assert node.store.is_short
    assert queue.message_count > 0
    least = node.store.space._octets - node.store.unwritten_limit_octets
    assert disk.free_octets(DIRECTORY) >= least - 4 * BODY_OCTETS, "a quarter of the reserve"
    other = node.connect()
    for _ in range(100):
        other.send(commands.Basic.Get, queue="other", no_ack=True)
    assert other.names() == ["Basic.GetOk"] * 100, "consumers are served"
    while dead.message_count < count or is_behind(node):
        node.store.look_for_room()
        node.broker.finish_read()
        node.clock.advance(backpressure.LOOK_MS)
        take_reports(node)
    assert tokens(node, "dead") == list(range(count))
    node.store.close()


def take_reports(node: Node) -> None:
    """Let the broker hear what the disk has said, and wait until the disk has nothing more to do."""
    done: list[None] = []
    node.store._committer.submit(lambda: None, done.append)
    while not done:
        node.take_report()
        node.turns.run()


def until_stuck(node: Node) -> None:
    """Let time and the disk go on until there are no more dead letters."""
    dead, before = queue_of(node, "dead"), -1
    while dead.message_count > before:
        before = dead.message_count
        for _ in range(5):
            node.clock.advance(backpressure.LOOK_MS)
            take_reports(node)


# Whatever happens


class NarrowMachine(BrokerMachine):
    """The whole broker where one dead letter fills what may be unwritten."""

    def start(self) -> None:
        super().start()
        self.node.settle = partial(settle, self.node)  # type: ignore[method-assign]

    @invariant()
    def queues_are_those_of_the_model(self) -> None:
        self.node.settle()
        super().queues_are_those_of_the_model()


def test_the_broker_behaves_as_its_model_where_each_dead_letter_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "LEAST_OCTETS", 0)
    monkeypatch.setattr(backpressure, "UNWRITTEN_HIGH_OCTETS", 32 << 20)  # nobody is paused for what is published
    monkeypatch.setattr(
        Backpressure, "is_open", lambda self: not self._waiting and self._store.unwritten_octets < BODY_OCTETS // 10
    )
    run_state_machine_as_test(
        NarrowMachine,
        settings=settings(
            max_examples=share(60, 2000),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
