"""Version profiles as a client sees them: properties, limits, and what global prefetch means."""

from pathlib import Path
from typing import Any

import pytest
from pamqp import commands

import broker
from tests.server.wired import Client, Node, running_node

VERSIONS = {"3": "3.13.", "4.0": "4.0.", "4.3": "4.3."}


def properties_of(node: Node) -> dict[str, Any]:
    return dict(node.connect().start.server_properties)


@pytest.mark.parametrize("compat", VERSIONS)
def test_the_server_says_it_is_rabbitmq_of_that_version_and_what_it_is_in_truth(tmp_path: Path, compat: str) -> None:
    with running_node(tmp_path / "data", compat=compat) as node:
        properties = properties_of(node)
    assert properties["product"] == "RabbitMQ"
    assert properties["version"].startswith(VERSIONS[compat])
    assert properties["implementation"] == "Leveret"
    assert properties["implementation_version"] == broker.__version__


def test_product_and_version_can_be_set(tmp_path: Path) -> None:
    with running_node(tmp_path / "data", product="Hare", product_version="9.9") as node:
        properties = properties_of(node)
    assert (properties["product"], properties["version"]) == ("Hare", "9.9")


def test_global_prefetch_is_one_window_up_to_4_0_and_one_each_in_4_3(tmp_path: Path) -> None:
    delivered = {}
    for compat in VERSIONS:
        with running_node(tmp_path / compat, compat=compat) as node:
            client = node.connect()
            client.declare("q", exclusive=True)
            client.send(commands.Basic.Qos, prefetch_count=1, global_=True)
            for tag in ("a", "b"):
                client.send(commands.Basic.Consume, queue="q", consumer_tag=tag)
            assert client.names() == ["Basic.QosOk", "Basic.ConsumeOk", "Basic.ConsumeOk"]
            for _ in range(4):
                client.publish(b"m")
            delivered[compat] = client.names().count("Basic.Deliver")
    assert delivered == {"3": 1, "4.0": 1, "4.3": 2}


def test_a_transient_shared_queue_ends_the_connection_in_4_3(tmp_path: Path) -> None:
    with running_node(tmp_path / "data", compat="4.3") as node:
        client = node.connect()
        client.send(commands.Queue.Declare, queue="q")
        close = client.received()[0]
        assert isinstance(close, commands.Connection.Close)
        assert (close.reply_code, close.class_id, close.method_id) == (541, 50, 10)
        assert close.reply_text.startswith("INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\n")


def test_small_frames_are_refused_from_4_3_on(tmp_path: Path) -> None:
    replies = {}
    for compat in VERSIONS:
        with running_node(tmp_path / compat, compat=compat) as node:
            client = Client(node)
            client.log_in(frame_max=4096)
            replies[compat] = client.names()[-1:]
    assert replies == {
        "3": ["Connection.OpenOk"],
        "4.0": ["Connection.OpenOk"],
        "4.3": ["Connection.Close"],
    }


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"compat": "3"}, 128 << 20),
        ({"compat": "4.0"}, 16 << 20),
        ({"compat": "4.3", "max_message_octets": 20 << 20}, 20 << 20),
    ],
)
def test_the_largest_message_is_the_versions_unless_it_is_set(
    tmp_path: Path, settings: dict[str, Any], limit: int
) -> None:
    with running_node(tmp_path / "data", **settings) as node:
        assert node.broker.max_message_octets == limit


def test_first_uses_are_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect()
        for queue in ("a", "b"):
            client.declare(queue)
        client.send(commands.Basic.Qos, prefetch_count=1, global_=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if "refused_from" in line]
    assert len(lines) == 2
    assert "transient_nonexcl_queues" in lines[0]
    assert "4.3" in lines[0]
    assert "global_qos" in lines[1]
