"""rabbitmq-server#16847: a node that was interrupted in its very first start never started again.

The whole broker's first start, with definitions to import, loses its process or its power at every call that changes
the disk; after that it starts again by itself, knows what the definitions say, and takes a persistent message.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from pamqp import commands

from broker.server.boot_definitions import load_definitions
from storage.errors import StorageError
from storage.files import Disk
from storage.store import Store
from tests.protocol.octets import PERSISTENT, message
from tests.server.wired import Client, Node
from tests.storage.simulated_disk import PowerLoss, SimulatedDisk

DIRECTORY = Path("/data")
DEFINITIONS = {
    "vhosts": [{"name": "/"}],
    "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
    "permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    "exchanges": [{"name": "e", "vhost": "/", "type": "topic", "durable": True, "auto_delete": False, "arguments": {}}],
    "queues": [{"name": "q", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}],
    "bindings": [
        {
            "source": "e",
            "vhost": "/",
            "destination": "q",
            "destination_type": "queue",
            "routing_key": "#",
            "arguments": {},
        }
    ],
}


@pytest.fixture(params=["default user", "definitions"])
def definitions(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    if request.param == "default user":
        return None
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(DEFINITIONS))
    return file


def booted(disk: Disk, definitions: Path | None) -> Iterator[Node]:
    """Start; the node is ready when it is yielded, and stops in order behind that."""
    reports: SimpleQueue[Any] = SimpleQueue()
    store = Store.open(DIRECTORY, disk=disk, notify=reports.put)
    try:
        settings: dict[str, Any] = {} if definitions is None else {"load_definitions": definitions}
        node = Node(store, reports, **settings)
        if definitions is not None:
            load_definitions(node.broker, definitions)
        yield node
    finally:
        store.close()


def calls_of_a_first_boot(definitions: Path | None) -> int:
    disk = SimulatedDisk()
    for node in booted(disk, definitions):
        node.settle()
    return len(disk.calls)


def assert_works(disk: Disk, definitions: Path | None) -> None:
    for node in booted(disk, definitions):
        assert node.store.recovery.damage == []
        client: Client = node.connect()
        if definitions is None:
            client.send(commands.Queue.Declare, queue="q", durable=True)
        else:
            client.send(commands.Queue.Bind, queue="q", exchange="e", routing_key="again")
        client.send(commands.Confirm.Select)
        client.feed(message(b"first", b"q", PERSISTENT, exchange=b"e" if definitions is not None else b""))
        node.settle()
        assert client.names()[-1] == "Basic.Ack"
    for node in booted(disk, definitions):
        (queue,) = node.broker.vhosts["/"].queues.values()
        assert queue.message_count == 1


def test_a_first_start_that_ends_at_any_call_is_made_good_by_the_next(definitions: Path | None) -> None:
    calls = calls_of_a_first_boot(definitions)
    assert calls > 10
    for call in range(1, calls + 1):
        disk = SimulatedDisk()
        disk.fail_at = call
        with suppress(StorageError, PowerLoss):
            for node in booted(disk, definitions):
                node.store.promise(lambda ticket: None)
                node.store.flush()
        assert_works(disk.after_kill(), definitions)
        for names, content in (("durable", "durable"), ("all", "half"), ("odd", "all"), ("even", "zeros")):
            assert_works(disk.after_power_loss(names, content), definitions)  # type: ignore[arg-type]
