"""A queue is deleted over HTTP while its dead letters wait: others are answered meanwhile, and nothing is lost."""

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from tests.brokers import RunningBroker
from tests.management.client import Api
from tests.management.conftest import MANAGED, Node
from tests.management.test_browsing import settled
from tests.small_disk import mounted_at
from tests.waiting import until

BODY = b"." * 1500
LARGE = b"." * 30_000
FIRST_COUNT = 350
WAIT_S = 60.0
PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Behind:
    """A broker on a full disk. The queue ``full`` fills it; what was rejected in ``dying`` has no room for its letters.

    ``count`` messages were rejected.
    """

    def __init__(self, node: Node) -> None:
        self.node, self.api = node, Api(node.http_port, timeout_s=WAIT_S)
        self.connection = pika.BlockingConnection(pika.URLParameters(node.broker.url))
        channel = self.channel = self.connection.channel()
        to_dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        channel.queue_declare("dying", durable=True, arguments=to_dead)
        channel.queue_declare("dead", durable=True)
        channel.queue_declare("full", durable=True)
        self.count = 4000
        for _ in range(FIRST_COUNT):  # The log goes oldest first: what is to give room must be its beginning.
            channel.basic_publish("", "full", LARGE, PERSISTENT)
        for number in range(self.count):
            channel.basic_publish("", "dying", b"%06d" % number + BODY, PERSISTENT)
        settled(self.api, "dying", self.count)
        self._fill()
        for method, _, _ in channel.consume("dying"):
            if method.delivery_tag == self.count:
                channel.basic_nack(method.delivery_tag, multiple=True, requeue=False)
                break
        channel.cancel()
        until(lambda: self.shown("dying")["messages"] == 0, "they are rejected")

    def _fill(self) -> None:
        """Publish one after the other until the broker takes no more: nothing else is on its way then."""
        message = {
            "properties": {"delivery_mode": 2},
            "routing_key": "full",
            "payload": "." * 200_000,
            "payload_encoding": "string",
        }
        for _ in range(1000):
            status = self.api.post("exchanges/%2F/amq.default/publish", message).status
            if status == 503:
                return
            assert status == 200
        raise AssertionError("the disk is not full")

    def shown(self, queue: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"queues/%2F/{queue}?disable_stats=true&enable_queue_totals=true")
        return found

    def make_room(self) -> None:
        assert self.api.delete("queues/%2F/full/contents") == 204

    def dead(self) -> list[int]:
        """Return the numbers of the letters."""
        numbers: list[int] = []
        while (got := self.channel.basic_get("dead", auto_ack=True))[0] is not None:
            numbers.append(int(got[2][:6]))
        return numbers


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """For requests that are not answered at once."""
    with ThreadPoolExecutor(3) as made:
        yield made


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    with mounted_at(tmp_path / "small", mib=32) as place:
        flags = ("--disk-free-limit", "0", "--segment-octets", str(1 << 20), *MANAGED)
        with RunningBroker(place / "data", *flags) as broker:
            made = Behind(Node(broker))
            assert made.shown("dead")["messages"] < made.count, "there was room for all"
            yield made
        with suppress(pika.exceptions.AMQPError):
            made.connection.close()  # The broker has ended, and may not have read what came last.


def test_a_queue_is_deleted_when_its_dead_letters_have_gone_and_others_are_answered_meanwhile(
    behind: Behind, threads: ThreadPoolExecutor
) -> None:
    api = behind.api
    held = threads.submit(api, "DELETE", "queues/%2F/dying")
    for _ in range(20):
        assert behind.shown("dying")["name"] == "dying", "it is there"
        assert api.put("queues/%2F/another") in (201, 204)
    assert not held.done()
    behind.make_room()
    assert held.result().status == 204
    assert api("GET", "queues/%2F/dying").status == 404
    until(lambda: behind.shown("dead")["messages_ready"] == behind.count, "letters are missing")
    assert behind.dead() == list(range(behind.count))


def test_what_goes_meanwhile_is_told_to_who_waited_for_it(behind: Behind, threads: ThreadPoolExecutor) -> None:
    """The queue, for one; for another the whole virtual host."""
    api = behind.api
    held = [threads.submit(api, "DELETE", "queues/%2F/dying") for _ in range(3)]
    until(lambda: behind.shown("dying"), "it is there")
    behind.make_room()
    assert sorted(each.result().status for each in held) == [204, 404, 404]


def test_a_virtual_host_that_goes_ends_what_waits_in_it(behind: Behind, threads: ThreadPoolExecutor) -> None:
    api = behind.api
    held = threads.submit(api, "DELETE", "queues/%2F/dying")
    until(lambda: behind.shown("dying"), "it is there")
    assert not held.done()
    assert api.delete("vhosts/%2F") == 204
    assert held.result().status == 404
    assert api.get("vhosts") == []


def test_purging_does_not_wait(behind: Behind) -> None:
    api = behind.api
    assert api("DELETE", "queues/%2F/dying/contents").status == 204
    behind.make_room()
    until(lambda: behind.shown("dead")["messages_ready"] == behind.count, "letters are missing")
    behind.channel.basic_publish("", "dying", b"a", PERSISTENT)
    until(lambda: behind.shown("dying")["messages_ready"] == 1, "it takes messages")
    assert api.delete("queues/%2F/dying/contents") == 204
    assert behind.shown("dying")["messages"] == 0


def test_who_hangs_up_leaves_the_queue_there(behind: Behind) -> None:
    with pytest.raises(TimeoutError):
        Api(behind.api.port, timeout_s=1.0).delete("queues/%2F/dying")
    until(lambda: behind.shown("dying"), "it is there")
    behind.make_room()
    until(lambda: behind.shown("dead")["messages_ready"] == behind.count, "letters are missing")
    assert behind.shown("dying")["messages"] == 0
    assert behind.api.delete("queues/%2F/dying") == 204


def test_an_orderly_stop_waits_for_nobody_whose_request_is_held(behind: Behind, threads: ThreadPoolExecutor) -> None:
    held = threads.submit(behind.api, "DELETE", "queues/%2F/dying")
    until(lambda: behind.shown("dying"), "it is there")
    assert not held.done()
    assert behind.node.broker.stop() == 0
    with pytest.raises(http.client.RemoteDisconnected):
        held.result()
