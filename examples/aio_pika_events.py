"""Publish and subscribe with aio-pika: each subscriber has a queue of its own and gets the topics it asked for.

python examples/aio_pika_events.py [amqp://guest:guest@localhost:5672/]
"""

import asyncio
import sys

import aio_pika


async def main(url: str) -> None:
    # connect_robust comes back by itself, with queues, bindings and consumers, after the broker was away.
    connection = await aio_pika.connect_robust(url)
    async with connection:
        channel = await connection.channel()
        events = await channel.declare_exchange("events", aio_pika.ExchangeType.TOPIC, durable=True)

        inbox = await channel.declare_queue(exclusive=True)  # the broker names it, and deletes it when we go
        await inbox.bind(events, "order.#")

        for key in ("order.created", "customer.created", "order.42.paid"):
            await events.publish(aio_pika.Message(key.encode()), routing_key=key, mandatory=False)

        async with inbox.iterator() as messages:
            async for message in messages:
                async with message.process():  # acks at the end, rejects if the block fails
                    print(f"got {message.routing_key}")
                if message.routing_key == "order.42.paid":
                    break


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@localhost:5672/"))
