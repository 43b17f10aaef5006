"""Messages by many keys that are published one by one after all were counted by size again, each by itself."""

from pathlib import Path

from pamqp import commands

from tests.protocol.octets import message
from tests.server.wired import running_node


def test_messages_that_a_full_queue_may_refuse_are_counted_once(tmp_path: Path) -> None:
    with running_node(tmp_path, message_sizes="on") as node:
        client = node.connect()
        for queue in ("one", "two"):
            arguments = {"x-max-length": 1000, "x-overflow": "reject-publish"}
            client.send(commands.Queue.Declare, queue=queue, arguments=arguments)
        client.send(commands.Tx.Select)
        client.feed(b"".join(message(b"body", key) for _ in range(100) for key in (b"one", b"two")))
        sizes = node.broker.message_sizes
        assert sizes is not None
        assert sizes.cumulated()[-1] == ("+Inf", 200.0)
