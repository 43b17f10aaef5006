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


def got(client: Client) -> dict[str | None, list[bytes]]:
    """Return what each consumer got; the delivery tags follow each other."""
    found: dict[str | None, list[bytes]] = defaultdict(list)
    delivers = [method for method in client.received() if isinstance(method, commands.Basic.Deliver)]
    tags = [deliver.delivery_tag or 0 for deliver in delivers]
    assert tags == list(range(tags[0], tags[0] + len(tags)))
    for deliver, body in zip(delivers, client.bodies, strict=True):
        assert deliver.routing_key == deliver.consumer_tag
        found[deliver.consumer_tag].append(body)
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
    assert got(client) == dict.fromkeys(QUEUES, EXPECTED)
    assert counts(node) == {(0, 0 if no_ack else len(EXPECTED))}
    if not no_ack:
        client.send(commands.Basic.Ack, delivery_tag=0, multiple=True)
        assert counts(node) == {(0, 0)}


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


def test_neither_is_one_whose_messages_begin_small(node: Node, publisher: Client) -> None:
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
    publisher.connection.data_received(messages(b"s"), [messages(bytes(40_000))])
    assert 0 < len(wire.written) < 2.5 * OUT_LIMIT_OCTETS
