"""Policies on a whole broker: what clients notice at once, and what is there after a restart."""

from pathlib import Path

from pamqp import commands

from broker.core.policies.policies import Policy
from tests.protocol.octets import PERSISTENT, message
from tests.server.wired import Node, running_node


def set_policy(node: Node, policy: Policy) -> None:
    """Set a policy as somebody outside a client's read does: what it changes is finished in the next turn."""
    node.broker.vhosts["/"].policies.set(policy)
    node.broker.schedule_finish()
    node.turns.run()


def test_a_publisher_whose_route_is_kept_is_refused_once_a_policy_says_so(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect()
        client.declare("q")
        client.send(commands.Confirm.Select)
        client.publish(b"1")
        client.publish(b"2")
        assert client.names() == ["Confirm.SelectOk", "Basic.Ack", "Basic.Ack"]
        set_policy(node, Policy("p", "^q$", {"max-length": 2, "overflow": "reject-publish"}))
        client.publish(b"3")
        assert client.names() == ["Basic.Nack"]
        node.broker.vhosts["/"].policies.clear("policy", "p")
        client.publish(b"4")
        assert client.names() == ["Basic.Ack"]


def test_heads_that_a_policy_drops_are_dead_lettered(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect()
        client.declare("q")
        client.declare("dead")
        for body in (b"1", b"2", b"3"):
            client.publish(body)
        set_policy(
            node,
            Policy("p", "^q$", {"max-length": 1, "dead-letter-exchange": "", "dead-letter-routing-key": "dead"}),
        )
        for _ in range(2):
            client.send(commands.Basic.Get, queue="dead", no_ack=True)
        assert client.names() == ["Basic.GetOk", "Basic.GetOk"]
        assert client.bodies == [b"1", b"2"]


def test_a_time_to_live_by_policy_is_for_what_comes_after_it(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect()
        client.declare("q")
        set_policy(node, Policy("p", "^q$", {"message-ttl": 500}))
        client.publish(b"short-lived")
        node.clock.advance(501)
        client.send(commands.Basic.Get, queue="q")
        assert client.names() == ["Basic.GetEmpty"]


def test_after_a_restart_policies_hold_for_the_messages_that_come_back(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect()
        client.send(commands.Queue.Declare, queue="q", durable=True)
        for body in (b"1", b"2", b"3"):
            client.feed(message(body, b"q", PERSISTENT))
        set_policy(node, Policy("p", "^q$", {"max-length": 2}, priority=3, apply_to="queues"))
        node.settle()
    with running_node(tmp_path / "data") as node:
        policies = node.broker.vhosts["/"].policies
        assert policies.listed("policy") == [Policy("p", "^q$", {"max-length": 2}, 3, "queues")]
        client = node.connect()
        client.feed(message(b"4", b"q", PERSISTENT))
        for _ in range(3):
            client.send(commands.Basic.Get, queue="q", no_ack=True)
        assert client.names() == ["Basic.GetOk", "Basic.GetOk", "Basic.GetEmpty"]
        assert client.bodies == [b"3", b"4"]
