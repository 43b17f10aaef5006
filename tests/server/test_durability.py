"""What a confirm says is said to clients and in the log; with "memory" no message is written, with "os" none synced."""

import base64
import json
import urllib.request
from pathlib import Path
from typing import cast

import pika
import pytest

from broker.server.unlogged import UnloggedMessages
from storage.recovery import Recovery
from storage.store import Store
from tests.brokers import STOP_S, RunningBroker

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def publish_confirmed(broker: RunningBroker, count: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        for i in range(count):
            channel.basic_publish("", "q", b"secret body %d" % i, PERSISTENT)


def sync_count(port: int) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/nodes")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    with urllib.request.urlopen(request, timeout=STOP_S) as response:
        (node,) = json.load(response)
    count: int = node["io_sync_count"]
    return count


def message_count(broker: RunningBroker) -> int:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        count: int = connection.channel().queue_declare("q", durable=True, passive=True).method.message_count
        return count


def log_octets(broker: RunningBroker) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((broker.data_dir / "log").iterdir()))


@pytest.mark.parametrize("level", ["fsync", "os", "memory"])
def test_the_level_is_told_to_clients_and_logged(tmp_path: Path, level: str) -> None:
    with RunningBroker(tmp_path / "data", "--durability", level) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        assert connection._impl.server_properties["durability"] == level
        connection.close()
        assert broker.events("Leveret starts")[0]["durability"] == level
        assert [event["durability"] for event in broker.events("not for production")] == [level] * (level != "fsync")


@pytest.mark.parametrize("level", ["fsync", "memory"])
def test_the_level_is_among_the_metrics(tmp_path: Path, level: str) -> None:
    """By a number for each level, so that an alert can tell a production node that runs a test's setting."""
    with RunningBroker(tmp_path / "data", "--durability", level, "--metrics-port", "any") as broker:
        port = int(broker.wait_for_event("HTTP")["port"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=STOP_S) as response:
            lines = response.read().decode().splitlines()
    found = {line for line in lines if line.startswith("leveret_durability{")}
    assert found == {
        f'leveret_durability{{level="{each}"}} {float(each == level)}' for each in ("fsync", "os", "memory")
    }
    (build,) = [line for line in lines if line.startswith("rabbitmq_build_info{")]
    assert f'durability="{level}"' in build


@pytest.mark.parametrize("level", ["fsync", "os"])
def test_each_of_single_messages_is_confirmed_after_a_sync_of_its_own(tmp_path: Path, level: str) -> None:
    """Whoever does it: such syncs are the kernel's, where it takes them. With "os" there are none."""
    with RunningBroker(tmp_path / "data", "--durability", level, "--management-port", "any") as broker:
        port = int(broker.wait_for_event("HTTP")["port"])
        before = sync_count(port)
        publish_confirmed(broker, 20)
        assert (sync_count(port) - before >= 20) == (level == "fsync")
    assert level == "fsync" or before == 0


def test_os_keeps_messages_over_a_kill(tmp_path: Path) -> None:
    with RunningBroker(tmp_path / "data", "--durability", "os") as broker:
        publish_confirmed(broker, 3)
        broker.kill()
        broker.start()
        assert message_count(broker) == 3


def test_memory_writes_no_message_but_keeps_definitions(tmp_path: Path) -> None:
    with RunningBroker(tmp_path / "data", "--durability", "memory") as broker:
        publish_confirmed(broker, 3)
        assert message_count(broker) == 3
        broker.restart()
        assert message_count(broker) == 0
        assert b"secret body" not in log_octets(broker)


def test_memory_settles_for_good_what_an_earlier_run_has_written(tmp_path: Path) -> None:
    with RunningBroker(tmp_path / "data") as broker:
        publish_confirmed(broker, 3)
        broker.stop()
        broker.flags = ("--durability", "memory")
        broker.start()
        publish_confirmed(broker, 2)
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            for i in range(2):
                method, _, body = channel.basic_get("q")
                assert body == b"secret body %d" % i
                channel.basic_ack(method.delivery_tag)
            channel.basic_get("q")
            channel.basic_get("q")
        broker.restart()
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            method, _, body = connection.channel().basic_get("q", auto_ack=True)
            assert (body, method.redelivered, method.message_count) == (b"secret body 2", True, 0)


def test_memory_gives_back_what_had_to_leave_memory(tmp_path: Path) -> None:
    """Persistent messages that are in no log go to page files, as transient ones do."""
    with RunningBroker(tmp_path / "data", "--durability", "memory", "--resident-octets", "1048576") as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("deep", durable=True)
            for i in range(100):
                channel.basic_publish("", "deep", b"%d " % i + bytes(100_000), PERSISTENT)
            numbers = [int(channel.basic_get("deep", auto_ack=True)[2].split(b" ")[0]) for _ in range(100)]
        assert numbers == list(range(100))


class Settled:
    """A store that recovered ids 1 to 9, and what it was told."""

    recovery = Recovery(next_message_id=10)

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def settle(self, queue_id: int, ids: range) -> None:
        self.told.append(("settle", list(ids)))

    def delivered(self, queue_id: int, upto: int) -> None:
        self.told.append(("delivered", upto))


def test_only_recovered_ids_are_told_to_the_log() -> None:
    store = Settled()
    messages = UnloggedMessages(cast(Store, store))
    for ids in (range(10, 20), range(7, 13), range(4, 20, 3), range(2, 5), range(11, 30, 2)):
        messages.settle(1, ids)
    messages.delivered(1, 50)
    assert store.told == [("settle", [7, 8, 9]), ("settle", [4, 7]), ("settle", [2, 3, 4]), ("delivered", 9)]
