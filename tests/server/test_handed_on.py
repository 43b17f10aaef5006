"""Messages by many keys that one read brings for consumers of one channel: each gets its queue's, and is held to it."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest
from pamqp import commands

from broker.server.limits import OUT_LIMIT_OCTETS
from protocol.delivery import write_each
from tests.protocol.octets import message, short
from tests.server.wired import Client, Node, Wire, running_node

QUEUES = [f"q{number}" for number in range(5)]
ROUNDS = 20
Tags = defaultdict[str | None, list[int]]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path) as node:
        yield node


@pytest.fixture
def publisher(node: Node) -> Client:
    client = node.connect()
    for queue in QUEUES:
        client.declare(queue)
    return client


def consume(node: Node, *, no_ack: bool = False, prefetch: int = 0, is_shared: bool = False) -> Client:
    client = node.connect()
    client.send(commands.Basic.Qos, prefetch_count=prefetch, global_=is_shared)
    for queue in QUEUES:
        client.send(commands.Basic.Consume, queue=queue, consumer_tag=queue, no_ack=no_ack)
    client.received()
    return client


def publish(client: Client) -> None:
    """Publish a message to each queue in turn, all in one read, often enough for the keys to be known."""
    for _ in range(3):
        client.feed(b"".join(message(b"%02d" % turn, name.encode()) for turn in range(ROUNDS) for name in QUEUES))


def got(client: Client, tags: Tags | None = None) -> dict[str | None, list[bytes]]:
    """Return what each consumer got; the delivery tags, which follow each other, go to ``tags``."""
    found: dict[str | None, list[bytes]] = defaultdict(list)
    delivers = [method for method in client.received() if isinstance(method, commands.Basic.Deliver)]
    numbers = [deliver.delivery_tag or 0 for deliver in delivers]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for deliver, number, body in zip(delivers, numbers, client.bodies, strict=True):
        assert deliver.routing_key == deliver.consumer_tag
        found[deliver.consumer_tag].append(body)
        if tags is not None:
            tags[deliver.consumer_tag].append(number)
    client.bodies.clear()
    return found


EXPECTED = [b"%02d" % turn for turn in range(ROUNDS)] * 3


def counts(node: Node) -> set[tuple[int, int]]:
    queues = node.broker.vhosts["/"].queues
    return {(queues[name].message_count, queues[name].unacked_count) for name in QUEUES}


@pytest.mark.parametrize("no_ack", [True, False], ids=["without acks", "with acks"])
def test_each_consumer_gets_its_queue_in_order(node: Node, publisher: Client, no_ack: bool) -> None:
    client = consume(node, no_ack=no_ack)
    with patch("broker.server.deliveries.write_each", wraps=write_each) as written:
        publish(publisher)
    assert written.called
    tags = Tags(list)
    assert got(client, tags) == dict.fromkeys(QUEUES, EXPECTED)
    assert counts(node) == {(0, 0 if no_ack else len(EXPECTED))}
    queues = node.broker.vhosts["/"].queues
    assert {consumer.delivered_count for name in QUEUES for consumer in queues[name].consumers} == {len(EXPECTED)}
    if not no_ack:
        for settled, queue in enumerate(QUEUES, 1):
            for tag in tags[queue]:
                client.send(commands.Basic.Ack, delivery_tag=tag)
            assert [queues[name].unacked_count for name in QUEUES] == [0] * settled + [len(EXPECTED)] * (5 - settled)


def test_what_was_handed_on_and_not_acked_comes_back_in_its_place(node: Node, publisher: Client) -> None:
    client = consume(node)
    publish(publisher)
    client.disconnect()
    assert counts(node) == {(len(EXPECTED), 0)}
    again = node.connect()
    for queue in QUEUES:
        again.send(commands.Basic.Consume, queue=queue, consumer_tag=queue)
    assert got(again) == dict.fromkeys(QUEUES, EXPECTED)


def test_a_prefetch_holds_each_consumer_to_it(node: Node, publisher: Client) -> None:
    client = consume(node, prefetch=7)
    publish(publisher)
    assert got(client) == dict.fromkeys(QUEUES, EXPECTED[:7])
    client.send(commands.Basic.Ack, delivery_tag=0, multiple=True)
    assert got(client) == dict.fromkeys(QUEUES, EXPECTED[7:14])


def test_a_prefetch_for_the_channel_holds_all_consumers_together_to_it(node: Node, publisher: Client) -> None:
    limit = ROUNDS + 7
    client = consume(node, prefetch=limit, is_shared=True)
    publish(publisher)
    assert sum(map(len, got(client).values())) == limit
    client.send(commands.Basic.Ack, delivery_tag=0, multiple=True)
    assert sum(map(len, got(client).values())) == limit


def test_consumers_of_several_channels_and_clients_get_theirs(node: Node, publisher: Client) -> None:
    clients = []
    for place in range(3):
        client = node.connect()
        for queue in QUEUES[place::3]:
            client.send(commands.Basic.Consume, queue=queue, consumer_tag=queue, no_ack=True)
        client.received()
        clients.append(client)
    publish(publisher)
    for place, client in enumerate(clients):
        assert got(client) == dict.fromkeys(QUEUES[place::3], EXPECTED)


class FullWire(Wire):
    """The wire to a client that reads nothing: what is written to it stays with the transport, which says so."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def write(self, octets: bytes) -> None:
        super().write(octets)
        self._client.connection.pause_writing()


def test_a_client_that_does_not_read_is_sent_no_more_than_a_write(node: Node, publisher: Client) -> None:
    client = consume(node, no_ack=True)
    wire = client.wire = FullWire(client)
    client.connection._transport = wire  # type: ignore[assignment]
    body = bytes(OUT_LIMIT_OCTETS // 20)
    publisher.feed(b"".join(message(b"%02d" % turn + body, name.encode()) for turn in range(20) for name in QUEUES))
    assert 0 < len(wire.written) < 2.5 * OUT_LIMIT_OCTETS
    queues = node.broker.vhosts["/"].queues
    left = sum(queues[name].message_count for name in QUEUES)
    assert left + len(wire.written) // len(body) == 20 * len(QUEUES)


@pytest.mark.parametrize("bodies", [(b"s", bytes(40_000)), (bytes(40_000), b"s")], ids=["begin small", "begin large"])
def test_neither_is_one_whose_messages_have_other_sizes(
    node: Node, publisher: Client, bodies: tuple[bytes, ...]
) -> None:
    client = consume(node, no_ack=True)
    numbers = count()

    def messages(body: bytes) -> bytes:
        """With ids of their own, so that messages of other sizes go on in the same run."""
        return b"".join(
            message(body, name.encode(), b"\x00\x80" + short(b"%08d" % next(numbers)))
            for _ in range(ROUNDS)
            for name in QUEUES
        )

    for _ in range(3):
        publisher.feed(messages(b"known"))
    client.received()
    wire = client.wire = FullWire(client)
    client.connection._transport = wire  # type: ignore[assignment]
    publisher.connection.data_received(messages(bodies[0]), list(map(messages, bodies[1:])))
    assert 0 < len(wire.written) < 2.5 * OUT_LIMIT_OCTETS


def test_a_write_is_no_larger_than_its_limit_however_many_queues_it_is_for(node: Node, publisher: Client) -> None:
    names = [f"many {number:02}" for number in range(60)]
    client = node.connect()
    for name in names:
        publisher.declare(name)
        client.send(commands.Basic.Consume, queue=name, consumer_tag=name, no_ack=True)
    octets = b"".join(message(b"body", name.encode()) for _ in range(200) for name in names)
    publisher.feed(octets)
    client.received()
    written: list[int] = []
    with patch.object(client.wire, "write", lambda octets: written.append(len(octets))):
        publisher.feed(octets)
    assert sum(written) > OUT_LIMIT_OCTETS
    assert max(written) < OUT_LIMIT_OCTETS
    assert len(written) < 5
