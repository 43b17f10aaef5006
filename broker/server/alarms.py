"""Alarms: while memory or disk runs low, publishers wait; consumers go on.

A connection that publishes under an alarm is read no more until all alarms are over, and is told so if it announced
that it wants to know. One that does not publish hears nothing. RabbitMQ: Memory and Disk Alarms, Blocked Connections.
"""

from typing import TYPE_CHECKING, Final, Literal

import structlog
from pamqp import commands

from protocol.methods import encode_method

if TYPE_CHECKING:
    from broker.server.connection import Connection

Resource = Literal["memory", "disk"]

RESOURCES: Final[tuple[Resource, ...]] = ("memory", "disk")
"""In the order in which the text names them."""

log = structlog.get_logger("leveret.alarms")


class Alarms:
    """The alarms of the node, and the connections that they have stopped.

    ``connections`` are all that there are: each has ``has_published``, set with every publish that comes.
    """

    __slots__ = ("_blocked", "_connections", "raised")

    def __init__(self, connections: "set[Connection]") -> None:
        self.raised: set[Resource] = set()
        self._connections = connections
        self._blocked: set[Connection] = set()

    @property
    def text(self) -> str:
        """Return what connection.blocked gives as its reason."""
        return "low on " + " & ".join(resource for resource in RESOURCES if resource in self.raised)

    def raise_alarm(self, resource: Resource) -> None:
        """Stop whoever publishes from now on; an alarm that is on already changes nothing."""
        if resource in self.raised:
            return
        if not self.raised:
            for connection in self._connections:
                connection.has_published = False
        self.raised.add(resource)
        log.warning("publishers must wait", reason=self.text)

    def clear_alarm(self, resource: Resource) -> None:
        """Let publishers go on, unless another alarm is on."""
        if resource not in self.raised:
            return
        self.raised.remove(resource)
        log.warning("an alarm is over", resource=resource, still=self.text if self.raised else "none")
        if self.raised:
            return
        blocked, self._blocked = self._blocked, set()
        for connection in blocked:
            _notify(connection, commands.Connection.Unblocked())
            connection.resume_reading("alarm")

    def block(self, connection: "Connection") -> None:
        """Read a connection that published no more for now."""
        if connection in self._blocked or not connection.is_open:
            return
        self._blocked.add(connection)
        _notify(connection, commands.Connection.Blocked(reason=self.text))
        connection.pause_reading("alarm")

    def is_blocked(self, connection: "Connection") -> bool:
        """Whether an alarm has stopped the connection."""
        return connection in self._blocked

    def forget(self, connection: "Connection") -> None:
        """Drop a connection whose socket has gone."""
        self._blocked.discard(connection)


def _notify(connection: "Connection", method: commands.Connection.Blocked | commands.Connection.Unblocked) -> None:
    if connection.is_open and connection.has_capability("connection.blocked"):
        connection.send(encode_method(0, method))
        connection.flush()
