"""lavinmq#2072: acks were sent late and with "multiple", nacks at once, so that an ack covered a tag already nacked.

Here a queue that refuses what is over its limit nacks between confirms that wait for the disk.
"""

from pathlib import Path

from pamqp import commands

from tests.protocol.octets import PERSISTENT, message
from tests.server.wired import running_node


def test_each_publish_is_acked_or_nacked_once(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect()
        client.send(commands.Queue.Declare, queue="open", durable=True)
        limited = {"x-max-length": 2, "x-overflow": "reject-publish"}
        client.send(commands.Queue.Declare, queue="full", durable=True, arguments=limited)
        node.settle()
        client.send(commands.Confirm.Select)
        client.received()
        keys = [b"open", b"full"] * 10
        client.feed(b"".join(message(b"x", key, PERSISTENT) for key in keys))
        node.settle()
        dispositions: dict[int, str] = {}
        acked_upto = 0
        for method in client.received():
            assert isinstance(method, commands.Basic.Ack | commands.Basic.Nack)
            tag = method.delivery_tag or 0
            tags = [each for each in range(acked_upto + 1, tag + 1) if each not in dispositions or each == tag]
            for each in tags if method.multiple else [tag]:
                assert each not in dispositions, f"{each} was settled twice"
                dispositions[each] = method.name
        assert sorted(dispositions) == list(range(1, 21))
        refused = [tag for tag, name in sorted(dispositions.items()) if name == "Basic.Nack"]
        assert refused == list(range(6, 21, 2)), "of the full queue all but the first two"
