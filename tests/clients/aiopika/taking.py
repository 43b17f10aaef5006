"""Taking messages from an aio-pika queue one after the other, with a deadline."""

import asyncio
from typing import Any

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

DEADLINE_S = 15.0


class Mailbox:
    """A message callback whose messages can be awaited in order of arrival."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def __call__(self, message: AbstractIncomingMessage) -> None:
        self.messages.put_nowait(message)

    async def take(self) -> AbstractIncomingMessage:
        return await asyncio.wait_for(self.messages.get(), DEADLINE_S)

    async def bodies(self, count: int) -> list[bytes]:
        return [(await self.take()).body for _ in range(count)]

    @classmethod
    async def of(cls, queue: AbstractQueue, **options: Any) -> "Mailbox":
        mailbox = cls()
        await queue.consume(mailbox, **options)
        return mailbox


async def publish(channel: AbstractChannel, routing_key: str, *bodies: bytes, **properties: Any) -> None:
    """Publish the bodies to the default exchange (confirmed, as aio-pika does unless told otherwise)."""
    for body in bodies:
        await channel.default_exchange.publish(Message(body, **properties), routing_key)


async def ready_count(channel: AbstractChannel, queue: str) -> int:
    found = await channel.declare_queue(queue, passive=True)
    count = found.declaration_result.message_count
    assert count is not None
    return count
