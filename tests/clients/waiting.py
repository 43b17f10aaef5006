"""Waiting for a condition with a deadline, and collecting what a consumer gets: no test sleeps.

That something does *not* arrive is shown by the queue itself: a passive declare answers with the number of
ready messages, and what is neither ready nor delivered to one of ours was delivered to nobody else.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from pika.exceptions import AMQPError

DEADLINE_S = 15.0


class Delivery(NamedTuple):
    """One delivery as pika hands it over."""

    method: Any
    properties: Any
    body: bytes


class Inbox(list[Delivery]):
    """A pika message callback that keeps every delivery in the order of arrival."""

    def __call__(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.append(Delivery(method, properties, body))

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self]

    @property
    def tags(self) -> list[int]:
        return [delivery.method.delivery_tag for delivery in self]

    @property
    def redelivered(self) -> list[bool]:
        return [delivery.method.redelivered for delivery in self]


def pump(*connections: Any, until: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Let the blocking connections work until ``until()`` holds; AssertionError after ``deadline_s``."""
    stop = time.monotonic() + deadline_s
    while not until():
        assert time.monotonic() < stop, f"not reached within {deadline_s} s"
        for connection in connections:
            connection.process_data_events(time_limit=0.01)


def ready_count(channel: Any, queue: str) -> int:
    """The ready messages of ``queue``, as a passive declare on ``channel`` tells them."""
    count: int = channel.queue_declare(queue, passive=True).method.message_count
    return count


def consumer_count(channel: Any, queue: str) -> int:
    """The consumers of ``queue``, as a passive declare on ``channel`` tells them."""
    count: int = channel.queue_declare(queue, passive=True).method.consumer_count
    return count


def wait_ready(channel: Any, queue: str, count: int) -> None:
    """Wait until ``queue`` holds exactly ``count`` ready messages."""
    pump(channel.connection, until=lambda: ready_count(channel, queue) == count)


def notice_end(connection: Any) -> None:
    """Wait until the blocking connection has found out that it is closed, and has cleaned up."""
    with suppress(AMQPError):
        pump(connection, until=lambda: bool(connection.is_closed))


def cut(connection: Any) -> None:
    """Take the connection's socket away, as a sudden death of the client does."""
    connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)
    notice_end(connection)
