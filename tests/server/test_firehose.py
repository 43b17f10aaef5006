"""What the firehose leaves in the way of messages while it is off: nothing."""

from pathlib import Path

from pamqp import commands

from broker.server.firehose import CopyingWriter
from protocol.delivery import DeliveryWriter
from tests.server.wired import running_node


def test_firehose_leaves_nothing_in_the_way_when_it_is_off(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client, vhost = node.connect(), node.broker.vhosts["/"]
        client.declare("q")
        client.send(commands.Basic.Consume, queue="q", consumer_tag="c", no_ack=True)
        channel = client.connection.channels[1]
        consumer = channel.consumers["c"]

        assert type(consumer.writer) is DeliveryWriter
        client.publish(b"x")
        assert len(channel.routes) == 1
        node.broker.firehose.start(vhost)
        assert type(consumer.writer) is CopyingWriter
        kept = dict(channel.routes)
        client.publish(b"x")
        assert channel.routes == kept
        node.broker.firehose.stop(vhost)
        assert type(consumer.writer) is DeliveryWriter
        client.publish(b"x")
        assert channel.routes[next(iter(kept))].route.topology_version == vhost.topology_version
        assert client.received()
        assert client.bodies == [b"x"] * 3


def test_copies_of_a_vhost_that_is_gone_are_dropped(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client, broker = node.connect(), node.broker
        vhost = broker.access_control.add_vhost("gone")
        broker.firehose.start(vhost)
        client.declare("q")
        assert broker.firehose.is_on(vhost)
        broker.access_control.delete_vhost("gone")
        assert not broker.firehose.is_on(vhost)
