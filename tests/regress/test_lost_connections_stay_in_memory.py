"""A connection with heartbeats whose socket was lost was in a circle with them, and stayed in memory.

Young ones went with the next look for garbage. One that had lasted went with the next look through everything, which
comes after tens of millions of objects: clients that lose their connections now and then filled the memory.
"""

import gc
import weakref
from pathlib import Path

import pytest

from broker.server.connection import Connection
from broker.server.surging import SurgingConnection
from tests.server.wired import running_node

HANDSHAKE_MS = 10_000
"""Until when the one timer of all handshakes looks for some that are late."""


@pytest.mark.parametrize("make", [Connection, SurgingConnection])
def test_lost_connection_leaves_memory_without_a_look_for_garbage(tmp_path: Path, make: type[Connection]) -> None:
    with running_node(tmp_path) as node:
        client = node.connect(heartbeat_s=60, make=make)
        seen = weakref.ref(client.connection)
        gc.disable()
        try:
            client.disconnect()
            del client
            assert seen() is None
        finally:
            gc.enable()
        node.clock.advance(HANDSHAKE_MS)
        assert node.clock.timer_count == 0
