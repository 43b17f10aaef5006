"""aio-pika connections that are closed after each test."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection

from tests.clients.names import Names

Connect = Callable[[], Awaitable[AbstractConnection]]


@pytest.fixture
async def connect_aio(broker_url: str, names: Names) -> AsyncIterator[Connect]:
    opened: list[AbstractConnection] = []

    async def connect() -> AbstractConnection:
        opened.append(await aio_pika.connect(broker_url))
        return opened[-1]

    yield connect
    for connection in opened:
        await connection.close()


@pytest.fixture
async def connection(connect_aio: Connect) -> AbstractConnection:
    return await connect_aio()


@pytest.fixture
async def channel(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel()
