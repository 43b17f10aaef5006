"""Every data directory that a version has left is opened, has in it what it had, and is gone on with. Promise P11."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest

from storage.datadir import FORMAT
from storage.log import segment_numbers, segment_path
from storage.records import decode_records
from storage.segment import scan
from tests.brokers import RunningBroker
from tests.formats.make import told
from tests.storage.driving import Driver
from tests.storage.sessions import SEGMENT_OCTETS
from tests.torture import ran

FORMATS = sorted(path for path in Path(__file__).parent.iterdir() if (path / "expected.json").exists())
ENDS = ("closed", "killed")
DEADLINE_S = 30.0


def left(directory: Path, name: str, tmp_path: Path) -> Path:
    """A copy of what was left, to be worked with."""
    shutil.copytree(directory / name, tmp_path / "data")
    return tmp_path / "data"


def expected(directory: Path, what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "expected.json").read_text())[what]
    return found


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("directory", FORMATS, ids=lambda path: path.name)
def test_a_store_of_an_earlier_version_is_read_whole(directory: Path, end: str, tmp_path: Path) -> None:
    data = left(directory, f"store-{end}", tmp_path)
    driver = Driver(data, segment_octets=SEGMENT_OCTETS)
    recovery = driver.store.recovery
    assert (recovery.damage, recovery.dropped_octets, recovery.clean) == ([], 0, end == "closed")
    assert told(driver.model) == expected(directory, "store")
    assert {count for run in recovery.messages for count in run.return_counts.values()} == {2}
    driver.publish((1,), [b"one more"])
    driver.wait_durable()
    driver.close()
    assert Driver(data, segment_octets=SEGMENT_OCTETS).model == driver.model
    ran("T19", 1, "data directories of stores opened")


@pytest.mark.parametrize("directory", FORMATS, ids=lambda path: path.name)
def test_every_kind_of_record_is_in_what_was_left(directory: Path) -> None:
    log = directory / "store-killed" / "log"
    salt = bytes.fromhex((directory / "store-killed" / "format").read_text().split()[2])
    kinds: set[str] = set()
    for number in segment_numbers(path.name for path in log.iterdir()):
        octets = segment_path(log, number).read_bytes()
        for batch in scan(octets, salt):
            kinds |= {type(record).__name__ for _, _, record in decode_records(octets, batch.body, batch.stop)}
    assert kinds == {"Published", "Copied", "Settled", "Delivered", "Returned", "QueueDeleted"}
    assert (directory / "store-closed" / "index").exists()


def get_all(channel: Any, queue: str, count: int) -> list[list[Any]]:
    """Body and whether it was delivered before of so many messages; some may not be there yet."""
    found: list[list[Any]] = []
    deadline_s = time.monotonic() + DEADLINE_S
    while len(found) < count and time.monotonic() < deadline_s:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is not None:
            found.append([body.decode(), method.redelivered])
            if queue == "by headers":
                assert properties.headers["list"] == [1, "2", None, {"deep": True}]
                assert (properties.content_type, properties.message_id) == ("text/plain", "m")
    assert channel.queue_declare(queue, passive=True).method.message_count == 0
    return found


def read_stream(channel: Any, queue: str, count: int) -> list[list[Any]]:
    """Body and offset of so many messages."""
    channel.basic_qos(prefetch_count=100)
    found: list[list[Any]] = []
    for method, properties, body in channel.consume(
        queue, arguments={"x-stream-offset": "first"}, inactivity_timeout=20
    ):
        assert method is not None, f"no more came after {len(found)}"
        found.append([body.decode(), properties.headers["x-stream-offset"]])
        channel.basic_ack(method.delivery_tag)
        if len(found) == count:
            break
    channel.cancel()
    return found


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("directory", FORMATS, ids=lambda path: path.name)
def test_a_broker_of_an_earlier_version_is_gone_on_with(
    directory: Path, end: str, tmp_path: Path, start_broker: Callable[..., RunningBroker]
) -> None:
    broker = start_broker(data_dir=left(directory, f"broker-{end}", tmp_path))
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel: Any = connection.channel()
        for queue, messages in expected(directory, "broker").items():
            read = read_stream if queue == "stream" else get_all
            assert (queue, read(channel, queue, len(messages))) == (queue, messages)
        # Exchanges and bindings are there, too.
        channel.basic_publish("a.fanout", "a.b", b"by way of two")
        assert get_all(channel, "by topic", 1) == [["by way of two", False]]
    ran("T19", 1, "data directories of brokers opened and drained")


def test_what_the_version_at_hand_writes_is_among_them() -> None:
    assert str(FORMAT) in {path.name for path in FORMATS}
