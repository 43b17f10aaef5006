"""Consumer timeout: which channels it closes and when, and that it never strikes what is settled."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pamqp import commands

from broker.core.policies.policies import Policy
from broker.server.consumer_timeouts import CHANNELS_KEPT, MARKS_KEPT
from broker.server.limits import OUT_LIMIT_OCTETS
from tests.protocol.octets import ack_frame, message
from tests.server.wired import Client, Node, running_node

TIMEOUT_MS = 8000
LATEST_MS = TIMEOUT_MS + 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path / "data") as node:
        yield node


def declare(client: Client, queue: str = "q", timeout_ms: int | None = TIMEOUT_MS, **fields: Any) -> None:
    arguments = {} if timeout_ms is None else {"x-consumer-timeout": timeout_ms}
    client.declare(queue, arguments=arguments, **fields)


def deliver(client: Client, count: int = 1, queue: str = "q") -> None:
    """Have ``count`` messages delivered to a new consumer of the client's."""
    client.send(commands.Basic.Consume, queue=queue, consumer_tag=f"consumer of {queue}")
    for _ in range(count):
        client.publish(b"m", queue)
    assert client.names() == ["Basic.ConsumeOk", *["Basic.Deliver"] * count]


def closed(client: Client) -> commands.Channel.Close:
    (close,) = client.received()
    assert isinstance(close, commands.Channel.Close)
    return close


def test_a_delivery_that_is_not_settled_closes_its_channel_with_rabbitmqs_text(node: Node) -> None:
    client = node.connect()
    declare(client)
    deliver(client)
    node.clock.advance(TIMEOUT_MS)
    assert client.names() == [], "never early"
    node.clock.advance(LATEST_MS - TIMEOUT_MS)
    close = closed(client)
    assert (close.reply_code, close.class_id, close.method_id) == (406, 0, 0)
    assert close.reply_text == (
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 8000 ms. "
        "This timeout value can be configured, see consumers doc guide to learn more"
    )


@pytest.mark.parametrize("timeout_ms", [150, TIMEOUT_MS, 1_800_000])
def test_each_is_closed_in_time_whenever_its_delivery_was(node: Node, timeout_ms: int) -> None:
    chance, clock = Random(3), node.clock
    given_ms: dict[Client, int] = {}
    for number in range(40):
        client = node.connect()
        declare(client, f"q{number}", timeout_ms)
        clock.advance(chance.randrange(timeout_ms // 45))
        deliver(client, queue=f"q{number}")
        given_ms[client] = clock.monotonic_ms()
        assert not any(other.names() for other in given_ms), "early"
    while given_ms:
        clock.advance(1)
        now_ms = clock.monotonic_ms()
        for client in [each for each in given_ms if each.names() == ["Channel.Close"]]:
            assert timeout_ms < now_ms - given_ms.pop(client) <= timeout_ms + 20
        assert all(now_ms <= given + timeout_ms + 20 for given in given_ms.values())
        if given_ms:
            clock.advance(max(0, min(given_ms.values()) + timeout_ms - now_ms - 1))


def test_a_delivery_that_is_written_at_once_for_its_size_is_noted(node: Node) -> None:
    client, publisher = node.connect(), node.connect()
    declare(client)
    client.send(commands.Basic.Consume, queue="q", consumer_tag="c")
    assert client.names() == ["Basic.ConsumeOk"]
    node.clock.advance(333)
    body, count = bytes(10_000), OUT_LIMIT_OCTETS // 10_000 + 1
    publisher.feed(message(body, b"q") * count)
    assert client.names() == ["Basic.Deliver"] * count
    node.clock.advance(TIMEOUT_MS)
    assert client.names() == [], "early"
    node.clock.advance(LATEST_MS - TIMEOUT_MS)
    assert closed(client).reply_code == 406


@pytest.mark.parametrize("is_acked", [True, False])
def test_few_marks_are_kept_and_the_oldest_delivery_is_struck_in_time(node: Node, is_acked: bool) -> None:
    client = node.connect()
    declare(client, timeout_ms=1_800_000)
    node.clock.advance(123)
    deliver(client)
    given_ms = node.clock.monotonic_ms()
    for tag in range(2, 3 * MARKS_KEPT):
        node.clock.advance(17)
        client.publish(b"m")
        assert client.names() == ["Basic.Deliver"]
        if is_acked:
            client.feed(ack_frame(tag))
    (marks,) = node.broker.consumer_timeouts._marks.values()
    assert len(marks) <= MARKS_KEPT
    node.clock.advance(given_ms + 1_800_000 - node.clock.monotonic_ms())
    assert client.names() == [], "early"
    node.clock.advance(20)
    assert closed(client).reply_code == 406


def test_channels_that_have_gone_are_forgotten(node: Node) -> None:
    client = node.connect()
    declare(client, timeout_ms=1_800_000)
    client.send(commands.Channel.Close, reply_code=200, class_id=0, method_id=0)
    for _ in range(2 * CHANNELS_KEPT):
        client.send(commands.Channel.Open)
        client.publish(b"m")
        client.send(commands.Basic.Get, queue="q")
        client.send(commands.Channel.Close, reply_code=200, class_id=0, method_id=0)
    client.received()
    assert len(node.broker.consumer_timeouts._marks) <= CHANNELS_KEPT + 1


def test_the_message_goes_back_to_its_queue_and_the_connection_stays(node: Node) -> None:
    client = node.connect()
    declare(client)
    deliver(client)
    node.clock.advance(LATEST_MS)
    closed(client)
    client.send(commands.Channel.CloseOk)
    client.send(commands.Channel.Open)
    client.send(commands.Basic.Get, queue="q", no_ack=True)
    open_ok, get_ok = client.received()
    assert isinstance(open_ok, commands.Channel.OpenOk)
    assert isinstance(get_ok, commands.Basic.GetOk)
    assert get_ok.redelivered


def test_without_a_timeout_nothing_is_watched(node: Node) -> None:
    client = node.connect()
    declare(client, timeout_ms=None)
    deliver(client)
    node.clock.advance(10_000)  # So that nothing was published for a while.
    timers = node.clock.timer_count
    node.clock.advance(24 * 3600 * 1000)
    assert client.names() == []
    assert node.clock.timer_count == timers == 0


def test_what_is_settled_in_time_is_never_struck(node: Node) -> None:
    client = node.connect()
    declare(client)
    deliver(client)
    for tag in range(1, 20):
        node.clock.advance(TIMEOUT_MS // 2)
        client.feed(ack_frame(tag))
        client.publish(b"m")
        node.clock.advance(TIMEOUT_MS // 4)
        assert client.names() == ["Basic.Deliver"]


def test_one_old_delivery_among_many_settled_ones_is_found(node: Node) -> None:
    client = node.connect()
    declare(client)
    deliver(client, count=10)
    for tag in (1, 2, 3, 5, 6, 7, 8, 9, 10):
        client.feed(ack_frame(tag))
    node.clock.advance(LATEST_MS)
    assert closed(client).reply_code == 406


def test_a_delivery_is_struck_even_while_others_come_and_go(node: Node) -> None:
    client = node.connect()
    declare(client)
    deliver(client)
    for tag in range(2, 2 + TIMEOUT_MS // 100):
        client.publish(b"m")
        client.feed(ack_frame(tag))
        assert client.names() == ["Basic.Deliver"]
        node.clock.advance(99)
    node.clock.advance(LATEST_MS - TIMEOUT_MS // 100 * 99)
    assert closed(client).reply_code == 406


def test_automatic_acknowledgement_has_no_timeout(node: Node) -> None:
    client = node.connect()
    declare(client)
    client.send(commands.Basic.Consume, queue="q", no_ack=True)
    client.publish(b"m")
    client.received()
    node.clock.advance(10 * TIMEOUT_MS)
    assert client.names() == []


def test_a_message_fetched_by_get_has_the_timeout_too(node: Node) -> None:
    client = node.connect()
    declare(client)
    client.publish(b"m")
    client.send(commands.Basic.Get, queue="q")
    assert client.names() == ["Basic.GetOk"]
    node.clock.advance(LATEST_MS)
    assert closed(client).reply_code == 406


def test_only_the_channel_that_holds_it_is_closed(node: Node) -> None:
    slow, quick = node.connect(), node.connect()
    declare(slow)
    declare(quick, "other", timeout_ms=None)
    deliver(slow)
    deliver(quick, queue="other")
    node.clock.advance(LATEST_MS)
    closed(slow)
    assert quick.names() == []


def test_a_policy_sets_it_for_deliveries_that_are_out_already(node: Node) -> None:
    client = node.connect()
    declare(client, timeout_ms=None)
    deliver(client)
    node.clock.advance(100 * TIMEOUT_MS)
    node.broker.vhosts["/"].policies.set(Policy("p", "^q$", {"consumer-timeout": TIMEOUT_MS}))
    node.clock.advance(TIMEOUT_MS)
    assert client.names() == [], "its time begins when somebody looks"
    node.clock.advance(LATEST_MS - TIMEOUT_MS)
    assert closed(client).reply_code == 406


def test_of_argument_and_policy_the_lower_counts(node: Node) -> None:
    client = node.connect()
    node.broker.vhosts["/"].policies.set(Policy("p", "^q$", {"consumer-timeout": 1000}))
    declare(client)
    deliver(client)
    node.clock.advance(1250)
    assert "Timeout value used: 1000 ms" in closed(client).reply_text


def test_a_cleared_policy_ends_it(node: Node) -> None:
    client = node.connect()
    policies = node.broker.vhosts["/"].policies
    policies.set(Policy("p", "^q$", {"consumer-timeout": TIMEOUT_MS}))
    declare(client, timeout_ms=None)
    deliver(client)
    policies.clear("policy", "p")
    node.clock.advance(10 * TIMEOUT_MS)
    assert client.names() == []


def test_the_setting_holds_for_queues_without_one_of_their_own(tmp_path: Path) -> None:
    with running_node(tmp_path / "data", consumer_timeout_ms=TIMEOUT_MS) as node:
        plain, longer, never = node.connect(), node.connect(), node.connect()
        declare(plain, "plain", timeout_ms=None)
        declare(longer, "longer", timeout_ms=10 * TIMEOUT_MS)
        declare(never, "never", timeout_ms=0)
        for client, queue in ((plain, "plain"), (longer, "longer"), (never, "never")):
            deliver(client, queue=queue)
        node.clock.advance(LATEST_MS)
        assert "Timeout value used: 8000 ms" in closed(plain).reply_text
        assert longer.names() == []
        node.clock.advance(10 * LATEST_MS)
        assert "Timeout value used: 80000 ms" in closed(longer).reply_text
        node.clock.advance(100 * LATEST_MS)
        assert never.names() == []


def test_a_shorter_timeout_is_kept_though_a_longer_one_was_there_before(node: Node) -> None:
    client = node.connect()
    declare(client, "long", timeout_ms=3_600_000)
    declare(client, "short", timeout_ms=2000)
    deliver(client, queue="short")
    node.clock.advance(2500)
    assert closed(client).reply_code == 406


def test_a_timeout_that_is_no_number_is_refused(node: Node) -> None:
    client = node.connect()
    client.send(commands.Queue.Declare, queue="q", arguments={"x-consumer-timeout": "1h"})
    assert closed(client).reply_text == (
        "PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/': "
        '"expected integer, got longstr"'
    )
