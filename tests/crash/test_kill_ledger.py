"""kill -9 under confirmed load, again and again; a ledger shows that every promise was kept.

Each round: publishers with confirms and consumers with acks work, messages expire and are dead-lettered, others are
delayed, queues come and go, until the broker is killed at a random point of the load; it starts again, and the next
round begins on what it recovered. LEVERET_KILL_ROUNDS sets how many, LEVERET_KILL_SEED another course of events.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError
from pika.spec import Basic

from tests.brokers import RunningBroker
from tests.clients.adapter.asking import ask, close_connection, closing, open_channel, open_connection
from tests.crash.broker_log import logged_errors
from tests.crash.ledger import Account, body_of, failures_of, name_of
from tests.torture import SLICE, ran, share

ROUNDS = int(os.environ.get("LEVERET_KILL_ROUNDS", str(share(25, 500))))
SEED = int(os.environ.get("LEVERET_KILL_SEED", "1")) + SLICE
SEGMENT_OCTETS = {"default segments": 64 << 20, "small segments": 1 << 18}
MAX_OPEN_COUNT = 300
MAX_KEPT_COUNT = 40
PERSISTENT = pika.BasicProperties(delivery_mode=2)
DEADLINE_S = 120.0

# By publisher: exchange, routing key and the queues that it reaches.
ROUTES = [
    ("", "first", ["first"]),
    ("ledger.fanout", "", ["first", "second"]),
    ("ledger.topic", "a.b", ["second"]),
    ("", "mortal", ["dead"]),
    ("ledger.delayed", "late", ["late"]),
]
MORTAL = {"x-message-ttl": 30, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
DELAYS_MS = (1, 50, 400)


class Publisher:
    """Publishes its numbers in order, at most MAX_OPEN_COUNT unconfirmed, until its connection breaks."""

    def __init__(self, index: int, ledger: dict[str, Account]) -> None:
        self.index = index
        self.exchange, self.routing_key, queues = ROUTES[index]
        self.accounts = [ledger[queue] for queue in queues]
        self.next_number = 0
        self.confirmed_count = 0

    async def work(self, channel: Any) -> None:
        self.open: dict[int, int] = {}
        self.next_tag = 1
        self.room = asyncio.Event()
        await ask(channel.confirm_delivery, self.on_confirm)
        while channel.is_open:
            for _ in range(min(20, MAX_OPEN_COUNT - len(self.open))):
                self.publish(channel)
            self.room.clear()
            if len(self.open) < MAX_OPEN_COUNT:
                self.room.set()
                await asyncio.sleep(0)  # the others' turn; waits for nothing
            await asyncio.wait_for(self.room.wait(), DEADLINE_S)

    def publish(self, channel: Any) -> None:
        name = (self.index, self.next_number)
        self.open[self.next_tag] = self.next_number
        for account in self.accounts:
            account.published.add(name)
        self.next_number += 1
        self.next_tag += 1
        properties = PERSISTENT
        if self.exchange == "ledger.delayed":
            delay_ms = DELAYS_MS[self.next_number % len(DELAYS_MS)]
            properties = pika.BasicProperties(delivery_mode=2, headers={"x-delay": delay_ms})
        channel.basic_publish(self.exchange, self.routing_key, body_of(name), properties)

    def on_confirm(self, frame: Any) -> None:
        method = frame.method
        assert isinstance(method, Basic.Ack)
        oldest = next(iter(self.open))
        tags = range(oldest, method.delivery_tag + 1) if method.multiple else [method.delivery_tag]
        for tag in tags:
            name = (self.index, self.open.pop(tag))  # KeyError: settled twice, or never published
            self.confirmed_count += 1
            for account in self.accounts:
                account.confirmed.add(name)
        self.room.set()


class Consumer:
    """Acks what it gets from one queue, but for one in fifty, which it leaves unacked for the next round."""

    def __init__(self, queue: str, account: Account) -> None:
        self.queue = queue
        self.account = account
        self.prefetch_count = 200
        self.keeps_some = True
        self.is_done = False

    async def work(self, channel: Any) -> None:
        self.unacked_count = 0
        self.acks_on_the_way: list[tuple[int, int]] = []
        await ask(channel.basic_qos, prefetch_count=self.prefetch_count)
        await ask(channel.basic_consume, self.queue, self.on_message)
        while channel.is_open and not self.is_done:
            sent, self.acks_on_the_way = self.acks_on_the_way, []
            await ask(
                channel.basic_qos, prefetch_count=self.prefetch_count
            )  # its answer says that the acks have been read
            now = time.monotonic()
            for name in sent:
                self.account.settled[name] = now

    def on_message(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        name = name_of(body)
        self.account.deliver(name, method.redelivered)
        if self.keeps_some and name[1] % 50 == 7 and self.unacked_count < MAX_KEPT_COUNT:
            self.unacked_count += 1
            return
        channel.basic_ack(method.delivery_tag)
        self.acks_on_the_way.append(name)


class Declarer:
    """Declares, binds and deletes durable queues, and remembers what the broker said was done."""

    def __init__(self) -> None:
        self.next_number = 0
        self.there: set[str] = set()
        self.gone: set[str] = set()

    async def work(self, channel: Any) -> None:
        while channel.is_open:
            queue = f"churn.{self.next_number}"
            self.next_number += 1
            await ask(channel.queue_declare, queue, durable=True)
            await ask(channel.queue_bind, queue, "amq.topic", routing_key="churn")
            self.there.add(queue)
            if self.next_number % 2 and len(self.there) > 3:
                leaving = min(self.there)
                self.there.remove(leaving)  # from here on it may be either
                await ask(channel.queue_delete, leaving)
                self.gone.add(leaving)

    async def check(self, connection: Any) -> None:
        """Everything whose declare was answered is there, everything whose delete was answered is not."""
        channel = await open_channel(connection)
        for queue in sorted(self.there):
            await ask(channel.queue_declare, queue, passive=True)
        for queue in sorted(self.gone)[-5:]:
            closed = closing(channel)
            channel.queue_declare(queue, passive=True, callback=lambda _frame: None)
            assert (await asyncio.wait_for(closed, DEADLINE_S)).reply_code == 404
            channel = await open_channel(connection)
        self.gone.clear()


async def until_cut(party: Any, channel: Any) -> None:
    """Let a party work until the kill takes its connection; anything else that ends it is a failure."""
    with suppress(AMQPError, asyncio.CancelledError):
        await party.work(channel)


async def declare(connection: Any) -> None:
    channel = await open_channel(connection)
    for exchange in ("fanout", "topic"):
        await ask(channel.exchange_declare, f"ledger.{exchange}", exchange_type=exchange, durable=True)
    delayed = {"exchange_type": "x-delayed-message", "arguments": {"x-delayed-type": "direct"}}
    await ask(channel.exchange_declare, "ledger.delayed", durable=True, **delayed)
    for queue in ("first", "second"):
        await ask(channel.queue_declare, queue, durable=True)
        await ask(channel.queue_bind, queue, "ledger.fanout")
    await ask(channel.queue_bind, "second", "ledger.topic", routing_key="*.b")
    for queue in ("dead", "late"):
        await ask(channel.queue_declare, queue, durable=True)
    await ask(channel.queue_declare, "mortal", durable=True, arguments=MORTAL)
    await ask(channel.queue_bind, "late", "ledger.delayed", routing_key="late")


async def work_until_killed(broker: RunningBroker, parties: list[Any], load: tuple[int, float]) -> float:
    """Let all work, each on its own connection, kill the broker after ``load`` = confirms, seconds; return when."""
    confirmed_count, seconds = load
    publishers = [party for party in parties if isinstance(party, Publisher)]
    stop_at = sum(publisher.confirmed_count for publisher in publishers) + confirmed_count
    began = time.monotonic()
    connections = [await open_connection(broker.url) for _ in parties]
    ends = [closing(connection) for connection in connections]
    channels = [await open_channel(connection) for connection in connections]
    tasks = [asyncio.create_task(until_cut(party, channel)) for party, channel in zip(parties, channels, strict=True)]
    while sum(publisher.confirmed_count for publisher in publishers) < stop_at or time.monotonic() < began + seconds:
        assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
        assert time.monotonic() < began + DEADLINE_S, "the load does not get through"
        await asyncio.sleep(0.005)  # the load goes on until the point that the round has drawn
    killed_at = time.monotonic()
    await asyncio.to_thread(broker.kill)
    await asyncio.wait_for(asyncio.gather(*ends), DEADLINE_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks)
    return killed_at


async def drain(broker: RunningBroker, consumers: list[Consumer], ledger: dict[str, Account]) -> None:
    """Take and ack everything that is left; AssertionError when something stays in the queues."""
    connection = await open_connection(broker.url)
    watcher = await open_channel(connection)
    tasks = []
    for consumer in consumers:
        consumer.prefetch_count = 1000
        consumer.keeps_some = False
        tasks.append(asyncio.create_task(until_cut(consumer, await open_channel(connection))))
    deadline = time.monotonic() + DEADLINE_S
    # What has not expired yet, or is not due yet, comes within a second; what never comes is told by the ledger.
    while any(account.confirmed - account.ever_delivered for account in ledger.values()):
        if time.monotonic() > deadline:
            break
        await ask(watcher.basic_qos, prefetch_count=1)
    for queue in ("mortal", *ledger):
        while True:
            found = (await ask(watcher.queue_declare, queue, passive=True)).method
            if (found.message_count, found.consumer_count) == (0, int(queue in ledger)):
                break
            assert time.monotonic() < deadline, f"{found.message_count} messages stay in {queue}"
    # The queues are empty: what is still on its way comes before a few more answers, or never.
    for _ in range(10):
        await ask(watcher.basic_qos, prefetch_count=1)
    for consumer in consumers:
        consumer.is_done = True
    await asyncio.gather(*tasks)
    await close_connection(connection)


@pytest.fixture(params=SEGMENT_OCTETS)
def segments(request: pytest.FixtureRequest) -> str:
    """Small segments roll all the time, and are trimmed while the broker is killed."""
    return str(request.param)


@pytest.fixture
def own_broker(segments: str, start_broker: Callable[..., RunningBroker]) -> RunningBroker:
    return start_broker("--segment-octets", str(SEGMENT_OCTETS[segments]))


async def test_nothing_promised_is_lost_by_kill_nine_under_load(own_broker: RunningBroker, segments: str) -> None:
    chance = random.Random(f"{SEED} {segments}")
    ledger = {"first": Account(), "second": Account(), "dead": Account(), "late": Account(is_ordered=False)}
    publishers = [Publisher(index, ledger) for index in range(len(ROUTES))]
    consumers = [Consumer(queue, account) for queue, account in ledger.items()]
    declarer = Declarer()
    connection = await open_connection(own_broker.url)
    await declare(connection)
    await close_connection(connection)
    for _ in range((ROUNDS + (segments == "default segments")) // 2):
        for consumer in consumers:
            consumer.prefetch_count = chance.choice([1, 20, 200])
            consumer.keeps_some = consumer.prefetch_count > MAX_KEPT_COUNT
        load = (chance.randrange(1, 3000), chance.choice([0.0, 0.5, 1.5]))
        killed_at = await work_until_killed(own_broker, [*publishers, *consumers, declarer], load)
        for account in ledger.values():
            account.killed(killed_at)
        assert logged_errors(own_broker) == []
        await asyncio.to_thread(own_broker.start)
        connection = await open_connection(own_broker.url)
        await declarer.check(connection)
        await close_connection(connection)
        assert failures_of(ledger.values()) == []
        ran("T1", 1, "kills under load")
    await drain(own_broker, consumers, ledger)
    for account in ledger.values():
        account.check_complete()
    assert failures_of(ledger.values()) == []
    assert all(publisher.confirmed_count > 0 for publisher in publishers)
    assert all(account.settled_safely and account.delivered_safely for account in ledger.values())
