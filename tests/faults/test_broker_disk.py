"""The whole broker on a disk that fails or is full: what clients are told, what the log says, what is there after it.

Promise P8. The full disk is a real one of 8 MB (tmpfs), filled by messages.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.brokers import RunningBroker
from tests.clients.adapter.asking import ask, close_connection, closing, open_channel, open_connection
from tests.faults.tracing import SYNC_FAILED, require_poking, require_strace
from tests.small_disk import mounted_at

PERSISTENT = pika.BasicProperties(delivery_mode=2)
DEADLINE_S = 30.0


class Publisher:
    """Publishes numbered bodies with confirms, so many unconfirmed at most, until it is told to stop."""

    def __init__(self, channel: Any, octets: int) -> None:
        self.channel = channel
        self.padding = b"x" * octets
        self.published = 0
        self.confirmed: set[int] = set()
        self._open: list[int] = []

    async def start(self) -> None:
        await ask(self.channel.confirm_delivery, self._on_confirm)

    def publish(self, count: int) -> None:
        for _ in range(count):
            self._open.append(self.published)
            self.channel.basic_publish("", "q", b"%d %s" % (self.published, self.padding), PERSISTENT)
            self.published += 1

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        assert isinstance(method, pika.spec.Basic.Ack)
        done = (
            [tag for tag in self._open if tag < method.delivery_tag] if method.multiple else [method.delivery_tag - 1]
        )
        for number in done:
            self._open.remove(number)
            self.confirmed.add(number)


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def drain(connection: Any, count: int = 0) -> set[int]:
    """Take and ack all that is in the queue, or wait for ``count``; the numbers of the bodies."""
    channel = await open_channel(connection)
    found: set[int] = set()

    def take(taking: Any, method: Any, _properties: Any, body: bytes) -> None:
        found.add(int(body.split(b" ")[0]))
        taking.basic_ack(method.delivery_tag)

    await ask(channel.basic_qos, prefetch_count=200)
    declared = await ask(channel.queue_declare, "q", durable=True, passive=True)
    wanted = count or declared.method.message_count
    await ask(channel.basic_consume, "q", take)
    await until(lambda: len(found) >= wanted)
    await ask(channel.basic_qos, prefetch_count=201)  # its answer says that the acks were read
    channel.close()
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    with mounted_at(tmp_path / "small") as place:
        yield place


async def test_a_full_disk_blocks_publishers_serves_consumers_and_goes_on_by_itself(small_disk: Path) -> None:
    with RunningBroker(small_disk / "data", "--disk-free-limit", "0") as broker:
        connection = await open_connection(broker.url)
        blocked, unblocked = asyncio.Event(), asyncio.Event()
        reasons: set[str] = set()

        def on_blocked(_: Any, method: Any) -> None:
            reasons.add(method.method.reason)
            blocked.set()

        connection.add_on_connection_blocked_callback(on_blocked)
        connection.add_on_connection_unblocked_callback(lambda *_: unblocked.set())
        channel = await open_channel(connection)
        await ask(channel.queue_declare, "q", durable=True)
        publisher = Publisher(channel, 1000)
        await publisher.start()
        for turn in range(3):
            blocked.clear()
            unblocked.clear()
            while not blocked.is_set():
                publisher.publish(100)
                await asyncio.sleep(0.005)
                assert publisher.published < (turn + 1) * 20_000
            other = await open_connection(broker.url)
            assert await drain(other)
            await asyncio.wait_for(unblocked.wait(), DEADLINE_S)
            await until(lambda: len(publisher.confirmed) == publisher.published)
            await drain(other)
            await close_connection(other)
        assert publisher.published > 15_000, "the disk was filled once at most"
        assert reasons == {"low on disk"}
        publisher.publish(50)
        await until(lambda: len(publisher.confirmed) == publisher.published)
        assert broker.events("the disk is full: nothing is confirmed until there is room")
        assert broker.events("the disk has room again")
        ended = closing(connection)
        broker.kill()
        await ended
        broker.start()
        again = await open_connection(broker.url)
        assert await drain(again) >= set(range(publisher.published - 50, publisher.published))
        await close_connection(again)


async def test_killed_while_the_disk_is_full_everything_confirmed_is_there(small_disk: Path) -> None:
    with RunningBroker(small_disk / "data", "--disk-free-limit", "0") as broker:
        connection = await open_connection(broker.url)
        blocked = asyncio.Event()
        connection.add_on_connection_blocked_callback(lambda *_: blocked.set())
        channel = await open_channel(connection)
        await ask(channel.queue_declare, "q", durable=True)
        publisher = Publisher(channel, 1000)
        await publisher.start()
        while not blocked.is_set():
            publisher.publish(100)
            await asyncio.sleep(0.005)
        ended = closing(connection)
        broker.kill()
        await ended
        broker.start()  # on a disk that is full still
        again = await open_connection(broker.url)
        found = await drain(again)
        assert found >= publisher.confirmed
        assert found <= set(range(publisher.published))
        await close_connection(again)


@contextlib.asynccontextmanager
async def failing(broker: RunningBroker, *expressions: str) -> AsyncIterator[None]:
    """strace at the broker, which is to end within."""
    words = [word for expression in expressions for word in ("-e", expression)]
    tracer = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-p", str(broker.pid), "-o", os.devnull, *words), stderr=asyncio.subprocess.PIPE
    )
    assert tracer.stderr is not None
    while b"attached" not in await asyncio.wait_for(tracer.stderr.readline(), DEADLINE_S):
        pass
    yield
    await tracer.wait()


async def ends_for_its_disk(broker: RunningBroker, *expressions: str) -> None:
    """Publish until a sync fails: clients are told, the process ends, and all that was confirmed is there again."""
    connection = await open_connection(broker.url)
    channel = await open_channel(connection)
    await ask(channel.queue_declare, "q", durable=True)
    publisher = Publisher(channel, 100)
    await publisher.start()
    async with failing(broker, *expressions):
        ended = closing(connection)
        while not ended.done():
            publisher.publish(10)
            await asyncio.sleep(0.01)
            assert publisher.published < 20_000
        reason = ended.result()
        assert (reason.reply_code, reason.reply_text) == (
            541,
            "INTERNAL_ERROR - the broker's disk has failed; what is not confirmed may be lost",
        )
        assert await asyncio.to_thread(broker.wait) == 74
    (event,) = broker.events("the log cannot be written, Leveret stops")
    assert event["level"] == "error"
    assert "Input/output error" in event["error"]
    broker.start()
    again = await open_connection(broker.url)
    assert await drain(again) >= publisher.confirmed
    assert publisher.confirmed
    await close_connection(again)


async def test_a_failed_sync_closes_connections_with_a_clear_text_and_ends_with_74(tmp_path: Path) -> None:
    require_strace()
    with RunningBroker(tmp_path / "data") as broker:
        await ends_for_its_disk(
            broker,
            "trace=fdatasync,io_submit",
            # The kernel takes no syncs, as where the call is forbidden; so they are the thread's, and the tenth fails.
            "inject=io_submit:error=EPERM",
            "inject=fdatasync:error=EIO:when=10",
        )


async def test_a_sync_that_the_kernel_says_has_failed_closes_connections_and_ends_with_74(tmp_path: Path) -> None:
    require_poking()
    with RunningBroker(tmp_path / "data") as broker:
        # The kernel's syncs alone: the thread's, of which the journal and segments have some, stay as they are.
        await ends_for_its_disk(broker, "trace=io_getevents", f"inject={SYNC_FAILED}:when=10")


async def test_nothing_is_confirmed_after_a_sync_that_the_kernel_says_has_failed(tmp_path: Path) -> None:
    require_poking()
    with RunningBroker(tmp_path / "data") as broker:
        connection = await open_connection(broker.url)
        channel = await open_channel(connection)
        await ask(channel.queue_declare, "q", durable=True)
        publisher = Publisher(channel, 100)
        await publisher.start()
        async with failing(broker, "trace=io_getevents", f"inject={SYNC_FAILED}:when=4"):
            ended = closing(connection)
            while not ended.done():  # one message each time, and all before it are confirmed
                publisher.publish(1)
                await until(lambda: ended.done() or len(publisher.confirmed) == publisher.published)
                assert publisher.published < 20_000
            assert publisher.confirmed == set(range(publisher.published - 1))
            assert len(publisher.confirmed) >= 3
            assert await asyncio.to_thread(broker.wait) == 74


async def test_alarms_from_the_start_block_publishers_alone(tmp_path: Path) -> None:
    """A machine that has less than the limits ask for: nobody can publish, consumers are served."""
    with RunningBroker(tmp_path / "data") as broker:
        connection = await open_connection(broker.url)
        channel = await open_channel(connection)
        await ask(channel.queue_declare, "q", durable=True)
        publisher = Publisher(channel, 10)
        await publisher.start()
        publisher.publish(5)
        await until(lambda: len(publisher.confirmed) == 5)
        await close_connection(connection)
        broker.stop()
        broker.flags = ("--memory-high-watermark", "1000000", "--disk-free-limit", str(1 << 59))
        broker.start()
        connection = await open_connection(broker.url)
        reasons: list[str] = []
        connection.add_on_connection_blocked_callback(lambda _, method: reasons.append(method.method.reason))
        (await open_channel(connection)).basic_publish("", "q", b"9", PERSISTENT)
        await until(lambda: reasons)
        assert reasons == ["low on memory & disk"]
        other = await open_connection(broker.url)
        assert await drain(other, 5) >= set(range(5))
        await close_connection(other)
