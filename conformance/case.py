"""The registry of cases, and the session that a case gets to talk to its broker.

A case is a function that takes a ``Session`` and raises ``Mismatch`` (or any AssertionError) when the broker
behaves otherwise. Its function name, with spaces, is its title; section and name together are its id.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.codec import FieldTable
from conformance.wire import Address, Channel, Connection, Method, Mismatch

CaseFunction = Callable[["Session"], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour: where it is written down (``ref``), and which RabbitMQ versions show it."""

    section: str
    name: str
    ref: str
    function: CaseFunction
    since: tuple[int, ...]
    until: tuple[int, ...]
    slow: bool

    @property
    def id(self) -> str:
        """``section/name``: what --only and the lists of expected differences use."""
        return f"{self.section}/{self.name}"

    @property
    def title(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")


CASES: dict[str, Case] = {}


class Section:
    """One section of the suite: a decorator that files the cases of one module under its name.

    ``ref`` in a case is a method (``exchange.declare``: the method reference), a clause of the AMQP 0-9-1
    document (``4.2.3``), or a RabbitMQ documentation page (``RabbitMQ: ttl``); absent, it is the section's own.
    """

    def __init__(self, name: str, ref: str) -> None:
        self.name = name
        self.ref = ref

    def __call__(
        self, *, ref: str = "", since: str = "", until: str = "", slow: bool = False
    ) -> Callable[[CaseFunction], CaseFunction]:
        """File the decorated function as a case.

        ``since`` and ``until`` bound the RabbitMQ versions that behave so (until exclusive); a slow case
        mostly waits, and the runner lets the slow ones wait side by side.
        """

        def file(function: CaseFunction) -> CaseFunction:
            self.add(function.__name__, function, ref=ref, since=since, until=until, slow=slow)
            return function

        return file

    def add(
        self,
        name: str,
        function: CaseFunction,
        *,
        ref: str = "",
        since: str = "",
        until: str = "",
        slow: bool = False,
    ) -> None:
        """File a case made by a table of inputs."""
        case = Case(self.name, name, ref or self.ref, function, version_of(since), version_of(until), slow)
        if case.id in CASES:
            raise ValueError(f"two cases named {case.id}")
        CASES[case.id] = case


def version_of(text: str) -> tuple[int, ...]:
    """Return ``(3, 10, 8)`` for ``3.10.8``, () for nothing; stops at the first part that is no number."""
    numbers: list[int] = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


class NotApplicable(Exception):
    """Raised by a case about something that the broker does not have, with the reason."""


class Session:
    """What one case has: connections to the broker, unique names, and topology that is removed afterwards."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.mark = secrets.token_hex(4)
        self.connections: list[Connection] = []
        self.queue_names: list[str] = []
        self.exchange_names: list[str] = []
        self._first: Connection | None = None

    # Connections

    def raw(self) -> Connection:
        """Return a connected socket on which nothing was said yet."""
        connection = Connection(self.address)
        self.connections.append(connection)
        return connection

    def connect(self, **options: Any) -> Connection:
        """Return a new open connection (options as ``Connection.open``)."""
        return self.raw().open(**options)

    def channel(self) -> Channel:
        """Return a new channel on the session's first connection."""
        if self._first is None:
            self._first = self.connect()
        return self._first.channel()

    def stranger(self) -> Channel:
        """Return a channel on a connection of its own."""
        return self.connect().channel()

    # Names

    def name(self, suffix: str = "") -> str:
        """Return a name that nobody else uses. It is not cleaned up by itself: see the next two."""
        return f"conformance.{self.mark}.{len(self.queue_names) + len(self.exchange_names)}{suffix}"

    def queue_name(self, suffix: str = "") -> str:
        """Return a free queue name; a queue of that name is deleted after the case."""
        self.queue_names.append(self.name(suffix))
        return self.queue_names[-1]

    def exchange_name(self, suffix: str = "") -> str:
        """Return a free exchange name; an exchange of that name is deleted after the case."""
        self.exchange_names.append(self.name(suffix))
        return self.exchange_names[-1]

    def queue(self, channel: Channel, arguments: FieldTable | None = None, **fields: Any) -> str:
        """Declare a queue, exclusive unless told otherwise; return its name."""
        name = self.queue_name()
        options = {"exclusive": True, **fields}
        channel.call("queue.declare", queue=name, arguments=arguments or {}, **options)
        return name

    def shared_queue(self, channel: Channel, arguments: FieldTable | None = None, **fields: Any) -> str:
        """Declare a durable queue that other connections can use; return its name."""
        return self.queue(channel, arguments, **{"exclusive": False, "durable": True, **fields})

    def exchange(
        self, channel: Channel, kind: str = "direct", arguments: FieldTable | None = None, **fields: Any
    ) -> str:
        """Declare an exchange; return its name."""
        name = self.exchange_name()
        channel.call("exchange.declare", exchange=name, type=kind, arguments=arguments or {}, **fields)
        return name

    # Words of the reply texts

    def queue_text(self, name: str) -> str:
        """``queue 'NAME' in vhost 'VHOST'``."""
        return f"queue '{name}' in vhost '{self.address.vhost}'"

    def exchange_text(self, name: str) -> str:
        """``exchange 'NAME' in vhost 'VHOST'``."""
        return f"exchange '{name}' in vhost '{self.address.vhost}'"

    def no_queue(self, name: str) -> str:
        """The text of a missing queue."""
        return f"NOT_FOUND - no {self.queue_text(name)}"

    def no_exchange(self, name: str) -> str:
        """The text of a missing exchange."""
        return f"NOT_FOUND - no {self.exchange_text(name)}"

    def locked(self, name: str) -> str:
        """The text of a queue that is exclusive to another connection."""
        return (
            f"RESOURCE_LOCKED - cannot obtain exclusive access to locked {self.queue_text(name)}. It could be"
            " originally declared on another connection or the exclusive property value does not match that"
            " of the original declaration."
        )

    # The end

    def end(self) -> None:
        """Drop the connections and delete what the case may have left."""
        for connection in self.connections:
            connection.abandon()
        if not self.queue_names and not self.exchange_names:
            return
        janitor = Connection(self.address).open()
        try:
            for name in self.exchange_names:
                _delete(janitor, "exchange.delete", exchange=name)
            for name in self.queue_names:
                _delete(janitor, "queue.delete", queue=name)
        finally:
            janitor.close()


def _delete(janitor: Connection, name: str, **fields: Any) -> None:
    # A queue still locked by a connection that is going away goes with that connection.
    channel = janitor.channels.get(1) or janitor.channel(1)
    channel.send(name, **fields)
    if channel.next().name == "channel.close":
        channel.send("channel.close-ok")
        channel.call("channel.open")


class Bystander:
    """A client of its own that must notice nothing of what the cases do."""

    def __init__(self, address: Address) -> None:
        self.connection = Connection(address).open()
        self.channel = self.connection.channel()
        self.queue = f"conformance.bystander.{secrets.token_hex(4)}"
        self.channel.call("queue.declare", queue=self.queue, exclusive=True)
        self.channel.consume(self.queue, no_ack=True)
        self.count = 0

    def check_served(self) -> None:
        """Raise Mismatch unless a message still makes its round."""
        self.count += 1
        body = str(self.count).encode()
        try:
            self.channel.publish("", self.queue, body)
            delivered: Method = self.channel.deliver()
        except Mismatch as mismatch:
            raise Mismatch("other connections to be served on", mismatch.got) from mismatch
        if delivered.body != body:
            raise Mismatch(f"other connections' messages in order: {body!r}", delivered)
