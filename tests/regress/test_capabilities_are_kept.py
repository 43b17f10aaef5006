"""lavinmq#2186, #2197: connection.blocked was announced and never sent. What is announced must be there."""

from pathlib import Path
from typing import Any, cast

from pamqp import commands

from tests.server.wired import running_node


def test_connection_blocked_is_announced_and_sent(tmp_path: Path) -> None:
    with running_node(tmp_path / "data") as node:
        client = node.connect("connection.blocked")
        capabilities = cast(dict[str, Any], client.start.server_properties)["capabilities"]
        assert capabilities["connection.blocked"] is True
        node.broker.raise_alarm("disk")
        client.publish(b"")
        (method,) = client.received()
        assert isinstance(method, commands.Connection.Blocked)
