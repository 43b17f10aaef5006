"""Workload Y: the client libraries that programs really use, pika and aio-pika, one process each side.

They are slower than any broker here, so the rate is theirs; the broker's processor time is what to look at.
Transient messages of 128 octets, published singly (pika) or with a confirm each, 100 on the way (aio-pika),
and acknowledged singly under prefetch 1000.
"""

import asyncio
import importlib.util
import time
from collections.abc import Callable
from urllib.parse import quote

from bench.beside import Beside
from bench.client import Address, Client
from bench.figures import Effort, Figure, rate_figures
from bench.meter import Meter

PREFETCH_COUNT = 1000
BODY = bytes(128)
IN_FLIGHT = 100
WAITING_LIMIT = 5_000
LOOK_EVERY = 500
RESULT_LIMIT_S = 60.0


def missing_libraries() -> list[str]:
    """Those that are not installed."""
    return [name for name in ("pika", "aio_pika") if importlib.util.find_spec(name) is None]


def measure_libraries(address: Address, effort: Effort) -> list[Figure]:
    """Both libraries, one after the other."""
    figures: list[Figure] = []
    for name, publish, take in (
        ("pika", publish_with_pika, take_with_pika),
        ("aio-pika", publish_with_aio_pika, take_with_aio_pika),
    ):
        figures += _measure(name, publish, take, address, effort.warm_up_s + effort.window_s)
    return figures


def _measure(
    name: str,
    publish: Callable[[str, str, float], int],
    take: Callable[[str, str], None],
    address: Address,
    lasting_s: float,
) -> list[Figure]:
    """Until all is delivered and acknowledged."""
    queue = f"bench-Y-{name}"
    url = f"amqp://{quote(address.user)}:{quote(address.password)}@{address}/{quote(address.vhost, safe='')}"
    client = Client(address)
    client.delete_queue(queue)
    client.declare_queue(queue)
    try:
        meter = Meter(address.port)
        with Beside(take, url, queue) as consumer, Beside(publish, url, queue, lasting_s) as producer:
            count = producer.result(lasting_s + RESULT_LIMIT_S)
            consumer.result(RESULT_LIMIT_S)
            load = meter.load(consumer.process, producer.process)
    finally:
        client.delete_queue(queue)
        client.close()
    return rate_figures(f"{name}", "message", count, load)


LAST = b"last"
"""The body that tells the consumer to stop."""


def publish_with_pika(url: str, queue: str, lasting_s: float) -> int:
    """How many were published; pauses while too many wait."""
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    until_s = time.monotonic() + lasting_s
    count = 0
    while time.monotonic() < until_s:
        for _ in range(LOOK_EVERY):
            channel.basic_publish("", queue, BODY)
        count += LOOK_EVERY
        while channel.queue_declare(queue, passive=True).method.message_count > WAITING_LIMIT:
            time.sleep(0.01)
    channel.basic_publish("", queue, LAST)
    connection.close()
    return count + 1


def take_with_pika(url: str, queue: str) -> None:
    """Take and acknowledge until the last."""
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH_COUNT)
    for method, _, body in channel.consume(queue):
        channel.basic_ack(method.delivery_tag)
        if body == LAST:
            break
    connection.close()


def publish_with_aio_pika(url: str, queue: str, lasting_s: float) -> int:
    """How many were published, each confirmed."""
    import aio_pika

    async def publish() -> int:
        count = 0
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            exchange = channel.default_exchange
            message = aio_pika.Message(BODY)
            until_s = time.monotonic() + lasting_s
            while time.monotonic() < until_s:
                await asyncio.gather(*(exchange.publish(message, queue) for _ in range(IN_FLIGHT)))
                count += IN_FLIGHT
            await exchange.publish(aio_pika.Message(LAST), queue)
        return count + 1

    return asyncio.run(publish())


def take_with_aio_pika(url: str, queue: str) -> None:
    """Take and acknowledge until the last."""
    import aio_pika

    async def take() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.set_qos(PREFETCH_COUNT)
            source = await channel.get_queue(queue)
            async with source.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    if message.body == LAST:
                        break

    asyncio.run(take())
