"""Connections and channels: list, look at, close. RabbitMQ: HTTP API, ``/api/connections``, ``/api/channels``.

Who is no monitor sees connections of their own only.
"""

from typing import Any, Final

from broker.core.consumers import Consumer
from broker.management.call import NO_CONTENT, Call, Empty, Listing, found
from broker.management.describe import (
    channel_name,
    describe_channel,
    describe_connection,
    describe_consumer,
    is_shown,
)
from broker.management.errors import NotThere, Unauthorised
from broker.management.routing import Row
from broker.server.channel import Channel
from broker.server.connection import Connection
from protocol.errors import ConnectionForced

CLOSED_BY: Final = "Closed via management plugin"


def visible_connections(call: Call) -> list[Connection]:
    """Return the open connections that the user gets to see, by name."""
    mine_only = not call.principal.has("monitoring")
    return sorted(
        (
            each
            for each in call.broker.connections
            if each.is_open and not (mine_only and each.user != call.principal.name)
        ),
        key=lambda each: each.name,
    )


def _listing(call: Call, connections: list[Connection]) -> Listing:
    call.node.rates.ask()
    return Listing(
        connections,
        lambda each: describe_connection(call.node, each),
        keys=lambda each: {"name": each.name, "vhost": each.vhost.name},
    )


def list_connections(call: Call) -> Listing:
    return _listing(call, visible_connections(call))


def list_vhost_connections(call: Call) -> Listing:
    return _listing(call, [each for each in visible_connections(call) if each.vhost.name == call["vhost"]])


def _named(call: Call) -> Connection:
    """Return the connection that the path names. Raises NotThere, and Unauthorised for one of another user."""
    name = call["connection"]
    connection = next((each for each in call.broker.connections if each.is_open and each.name == name), None)
    if connection is None:
        raise NotThere
    if connection.user != call.principal.name and not call.principal.has("monitoring"):
        raise Unauthorised("User not authorised to access object")
    return connection


def get_connection(call: Call) -> dict[str, Any]:
    connection = _named(call)
    call.node.rates.ask()
    return describe_connection(call.node, connection)


def close_connection(call: Call) -> Empty:
    connection = _named(call)
    if connection.user != call.principal.name:
        call.principal.check("administrator")
    _close(call, connection)
    return NO_CONTENT


def _close(call: Call, connection: Connection) -> None:
    reason = call.headers.get("x-reason") or CLOSED_BY
    connection.close(ConnectionForced(reason))


def list_user_connections(call: Call) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "node": call.node.name, "user": each.user, "vhost": each.vhost.name}
        for each in visible_connections(call)
        if each.user == call["user"]
    ]


def close_user_connections(call: Call) -> Empty:
    if call["user"] != call.principal.name:
        call.principal.check("administrator")
    for connection in list(call.broker.admission.of_user(call["user"])):
        _close(call, connection)
    return NO_CONTENT


# Channels


def _channels_of(connections: list[Connection]) -> list[Channel]:
    return [channel for each in connections for _, channel in sorted(each.channels.items()) if not channel.is_closing]


def _channel_listing(call: Call, channels: list[Channel]) -> Listing:
    call.node.rates.ask()
    return Listing(
        channels,
        lambda each: describe_channel(call.node, each),
        name_of=channel_name,
        keys=lambda each: {"name": channel_name(each), "vhost": each.connection.vhost.name},
    )


def list_channels(call: Call) -> Listing:
    return _channel_listing(call, _channels_of(visible_connections(call)))


def list_vhost_channels(call: Call) -> Listing:
    connections = [each for each in visible_connections(call) if each.vhost.name == call["vhost"]]
    return _channel_listing(call, _channels_of(connections))


def list_connection_channels(call: Call) -> Listing:
    return _channel_listing(call, _channels_of([_named(call)]))


def get_channel(call: Call) -> dict[str, Any]:
    channels = _channels_of(visible_connections(call))
    channel = found(next((each for each in channels if channel_name(each) == call["channel"]), None))
    call.node.rates.ask()
    consumers = [describe_consumer(call.node, each) for each in channel.consumers.values() if is_shown(each)]
    return describe_channel(call.node, channel) | {"consumer_details": consumers, "deliveries": [], "publishes": []}


# Consumers


def _consumers(call: Call, vhost: str | None = None) -> list[Consumer]:
    return [
        consumer
        for each in call.visible_vhosts()
        if vhost in (None, each.name)
        for name in sorted(each.queues)
        for consumer in each.queues[name].consumers
    ]


def list_consumers(call: Call) -> Listing:
    return Listing(_consumers(call), lambda each: describe_consumer(call.node, each), name_of=lambda each: each.tag)


def list_vhost_consumers(call: Call) -> Listing:
    consumers = _consumers(call, call["vhost"])
    return Listing(consumers, lambda each: describe_consumer(call.node, each), name_of=lambda each: each.tag)


ROWS: Final = (
    Row("GET", "/api/connections", list_connections, "All open connections"),
    Row("GET", "/api/connections/{connection}", get_connection, "One connection"),
    Row("DELETE", "/api/connections/{connection}", close_connection, "Close it; the header X-Reason is told"),
    Row("GET", "/api/connections/{connection}/channels", list_connection_channels, "Channels of a connection"),
    Row("GET", "/api/connections/username/{user}", list_user_connections, "Connections of a user"),
    Row("DELETE", "/api/connections/username/{user}", close_user_connections, "Close all connections of a user"),
    Row("GET", "/api/vhosts/{vhost}/connections", list_vhost_connections, "Connections to a virtual host"),
    Row("GET", "/api/channels", list_channels, "All open channels"),
    Row("GET", "/api/channels/{channel}", get_channel, "One channel"),
    Row("GET", "/api/vhosts/{vhost}/channels", list_vhost_channels, "Channels in a virtual host"),
    Row("GET", "/api/consumers", list_consumers, "All consumers"),
    Row("GET", "/api/consumers/{vhost}", list_vhost_consumers, "Consumers in a virtual host"),
)
