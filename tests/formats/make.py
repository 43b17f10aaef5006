"""``python -m tests.formats.make tests/formats/1`` leaves data directories of the version at hand, and what is in them.

Once for each format of the data directory, or when a format is found to have something that is not in there yet: what
was left stays as it is. ``store-*`` are made by the store alone, with every kind of record and segments of a few
hundred octets; ``broker-*`` by a broker and its clients.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pika

from storage import definitions, snapshot
from tests.brokers import RunningBroker
from tests.storage.driving import Driver, Model
from tests.storage.sessions import SEGMENT_OCTETS

PERSISTENT = pika.BasicProperties(delivery_mode=2)
BODIES = [b"%d " % i + b"x" * (i * i % 90) for i in range(12)]
STAYS = ("lock", "reserve", "pages", "control.sock")  # made anew by every start


def make_store(directory: Path) -> dict[str, Any]:
    """A store that goes through everything that it can be told."""
    definitions.SNAPSHOT_RECORDS = 4  # type: ignore[misc]
    snapshot.LEAST_OCTETS = 0  # type: ignore[misc]
    driver = Driver(directory / "closed", segment_octets=SEGMENT_OCTETS)
    oldest = driver.publish((1, 2, 3), [b"oldest %d" % i for i in range(6)], b"an envelope")
    for step in range(40):
        driver.define(("queue", "/", f"q{step % 3}"), {"id": step, "arguments": {"x": [1, "two", None]}})
        driver.publish((1, 4), [b"step %d, %d" % (step, i) * (1 + step % 5) for i in range(3)])
        driver.settle(4, driver.publish((4,), [b"gone" * 30] * 5))
        driver.wait_idle()
        if step == 5:
            driver.settle(2, range(oldest.start, oldest.stop, 2))
            driver.delivered(3, oldest[2])
            driver.store.returned(3, oldest[:2], 2)
        if step == 38:
            driver.publish((9,), [b"its queue goes"])
            driver.wait_idle()
            driver.delete_queue(9)
            driver.define(("queue", "/", "q2"), None)
        if step > 3:
            ids = sorted(driver.model.queues[1])
            for message_id in ids[8:10]:
                driver.settle(1, range(message_id, message_id + 1))
        driver.wait_idle()
    driver.delivered(4, 40)
    driver.wait_idle()
    leave(directory / "closed", directory / "store-killed")
    driver.close()
    leave(directory / "closed", directory / "store-closed")
    shutil.rmtree(directory / "closed")
    return told(driver.model)


def told(model: Model) -> dict[str, Any]:
    """What is in a store, as JSON can say it."""
    return {
        "queues": {
            str(queue_id): [
                [message_id, envelope.decode(), body.decode(), redelivered]
                for message_id, (envelope, body, redelivered) in sorted(queue.items())
            ]
            for queue_id, queue in sorted(model.queues.items())
        },
        "definitions": [[list(key), value] for key, value in model.definitions.items()],
    }


QUEUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "mortal": {"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
    "dead": {},
    "ranked": {"x-max-priority": 5},
    "limited": {"x-max-length": 4},
    "quorum": {"x-queue-type": "quorum", "x-delivery-limit": 9},
    "stream": {"x-queue-type": "stream"},
    "late": {},
    "by topic": {},
    "by headers": {},
}


def make_broker(directory: Path) -> dict[str, Any]:
    """A broker with a queue of each kind, and messages in them."""
    with RunningBroker(directory / "running") as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        channel: Any = connection.channel()
        channel.confirm_delivery()
        for queue, arguments in QUEUES.items():
            channel.queue_declare(queue, durable=True, arguments=arguments)
        for kind in ("topic", "headers", "fanout"):
            channel.exchange_declare(f"a.{kind}", kind, durable=True)
        channel.exchange_declare("a.delayed", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
        channel.exchange_bind("a.topic", "a.fanout")
        channel.queue_bind("by topic", "a.topic", "*.b.#")
        channel.queue_bind("by headers", "a.headers", arguments={"x-match": "all", "n": 1, "s": "two"})
        channel.queue_bind("late", "a.delayed", "late")
        for number, body in enumerate(BODIES):
            for queue in ("plain", "mortal", "limited", "quorum", "stream"):
                channel.basic_publish("", queue, body, PERSISTENT)
            channel.basic_publish("", "ranked", body, pika.BasicProperties(delivery_mode=2, priority=number % 4))
            channel.basic_publish("a.topic", "a.b.c", body, PERSISTENT)
            headers = {"n": 1, "s": "two", "list": [1, "2", None, {"deep": True}]}
            properties = pika.BasicProperties(
                delivery_mode=2, headers=headers, content_type="text/plain", message_id="m"
            )
            channel.basic_publish("a.headers", "", body, properties)
            properties = pika.BasicProperties(delivery_mode=2, headers={"x-delay": 1500 + number})
            channel.basic_publish("a.delayed", "late", body, properties)
        for queue in ("plain", "quorum"):  # one is settled, two were delivered and are not
            first, _, _ = (channel.basic_get(queue) for _ in range(3))
            channel.basic_ack(first[0].delivery_tag)
        channel.basic_publish("", "barrier", b"", PERSISTENT)
        channel.close()
        other = connection.channel()
        other.confirm_delivery()
        other.basic_publish("", "limited", b"last", PERSISTENT)
        leave(directory / "running", directory / "broker-killed")
        connection.close()
        broker.stop()
        leave(directory / "running", directory / "broker-closed")
    shutil.rmtree(directory / "running")
    return {
        "plain": [[body.decode(), i < 2] for i, body in enumerate(BODIES[1:])],
        "quorum": [[body.decode(), i < 2] for i, body in enumerate(BODIES[1:])],
        "mortal": [],
        "dead": [[body.decode(), False] for body in BODIES],
        "ranked": [[body.decode(), False] for rank in (3, 2, 1, 0) for body in BODIES[rank::4]],
        "limited": [[body.decode(), False] for body in [*BODIES[-3:], b"last"]],
        "late": [[body.decode(), False] for body in BODIES],
        "by topic": [[body.decode(), False] for body in BODIES],
        "by headers": [[body.decode(), False] for body in BODIES],
        "stream": [[body.decode(), offset] for offset, body in enumerate(BODIES)],
    }


def leave(source: Path, target: Path) -> None:
    """Copy a data directory but for what every start makes anew."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*STAYS))


def main(target: Path) -> None:
    """Make them all; nothing may be there before."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        expected = {"store": make_store(place), "broker": make_broker(place)}
        shutil.copytree(place, target)
    (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
