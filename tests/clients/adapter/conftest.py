"""Connections of the asyncio adapter that are closed after each test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.clients.adapter.asking import close_connection, open_channel, open_connection
from tests.clients.names import Names

Connect = Callable[..., Awaitable[Any]]


@pytest.fixture
async def connect_async(broker_url: str, names: Names) -> AsyncIterator[Connect]:
    opened: list[Any] = []

    async def connect(**parameters: Any) -> Any:
        opened.append(await open_connection(broker_url, **parameters))
        return opened[-1]

    yield connect
    for connection in opened:
        await close_connection(connection)


@pytest.fixture
async def connection(connect_async: Connect) -> Any:
    return await connect_async()


@pytest.fixture
async def channel(connection: Any) -> Any:
    return await open_channel(connection)
