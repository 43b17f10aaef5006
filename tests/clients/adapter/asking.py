"""pika's callback-style asyncio connection, made awaitable just enough to write tests in a straight line."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

DEADLINE_S = 15.0


async def ask(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a pika method that takes a ``callback``, and await the frame with which the broker answers."""
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    call(*arguments, callback=answered.set_result, **options)
    return await asyncio.wait_for(answered, DEADLINE_S)


async def open_connection(broker_url: str, **parameters: Any) -> Any:
    """Open a connection; keyword arguments are set on its pika parameters. Raises what pika reports instead."""
    wanted = pika.URLParameters(broker_url)
    for name, value in parameters.items():
        setattr(wanted, name, value)
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    AsyncioConnection(
        wanted,
        on_open_callback=opened.set_result,
        on_open_error_callback=lambda _connection, error: opened.set_exception(error),
    )
    return await asyncio.wait_for(opened, DEADLINE_S)


async def open_channel(connection: Any, number: int | None = None) -> Any:
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.channel(channel_number=number, on_open_callback=opened.set_result)
    return await asyncio.wait_for(opened, DEADLINE_S)


def closing(closable: Any) -> asyncio.Future[Any]:
    """A future of the reason for which this channel or connection closes."""
    closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    closable.add_on_close_callback(lambda _closed, reason: closed.set_result(reason))
    return closed


async def close_connection(connection: Any) -> None:
    if connection.is_closed:
        return
    closed = closing(connection)
    connection.close()
    await asyncio.wait_for(closed, DEADLINE_S)


async def cut(connection: Any) -> None:
    """Take the connection's socket away, as a sudden death of the client does; pika notices and cleans up."""
    closed = closing(connection)
    connection._transport._sock.shutdown(socket.SHUT_RDWR)
    await asyncio.wait_for(closed, DEADLINE_S)


class Mailbox:
    """A pika message callback whose deliveries can be awaited in order of arrival."""

    def __init__(self) -> None:
        self.deliveries: asyncio.Queue[tuple[Any, Any, bytes]] = asyncio.Queue()

    def __call__(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.deliveries.put_nowait((method, properties, body))

    async def take(self) -> tuple[Any, Any, bytes]:
        return await asyncio.wait_for(self.deliveries.get(), DEADLINE_S)

    async def bodies(self, count: int) -> list[bytes]:
        return [(await self.take())[2] for _ in range(count)]
