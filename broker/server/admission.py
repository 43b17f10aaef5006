"""Who is let in: logins, connection.open, limits of connections and channels; and who is sent away later.

The open connections are kept by user and by virtual host, so that a limit costs a look and a deletion finds its
connections. Passwords pass through here and are neither kept nor logged. RabbitMQ: Access Control; User Limits.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.core.access.control import AccessControl
from broker.core.access.limits import MAX_CHANNELS, MAX_CONNECTIONS, limit_reached
from protocol.constants import CONNECTION_OPEN
from protocol.errors import ConnectionForced, NotAllowed

if TYPE_CHECKING:
    from broker.server.connection import Connection


@dataclass(slots=True)
class LoginCounts:
    """Logins since the start, of all users and protocols. RabbitMQ: ``/api/auth/attempts``."""

    succeeded: int = 0
    failed: int = 0


class Admission:
    """The node's door. ``loopback_users`` may log in from the broker's own machine only."""

    __slots__ = ("_by_user", "_by_vhost", "_control", "_loopback_users", "logins")

    def __init__(self, control: AccessControl, loopback_users: Collection[str]) -> None:
        self.logins = LoginCounts()
        self._control = control
        self._loopback_users = loopback_users
        self._by_user: dict[str, set[Connection]] = {}
        self._by_vhost: dict[str, set[Connection]] = {}

    # At the door

    def is_login(self, user: str, password: bytes, *, is_local: bool) -> bool:
        """Whether a password lets ``user`` in from where it is, and count it."""
        return self._counted(self._control.users.is_login(user, password) and self._may_come(user, is_local))

    def is_certificate_login(self, user: str, *, is_local: bool) -> bool:
        """Whether ``user``, whom a checked client certificate names, may come in, and count it."""
        return self._counted(user in self._control.users and self._may_come(user, is_local))

    def why_refused(self, user: str, is_local: bool) -> str:
        """Return for the log, never for the client, why a login of ``user`` was refused."""
        if not self._may_come(user, is_local):
            return f"user '{user}' can only connect from the broker's own machine (loopback_users)"
        return "invalid credentials"

    def _may_come(self, user: str, is_local: bool) -> bool:
        return is_local or user not in self._loopback_users

    def _counted(self, is_right: bool) -> bool:
        if is_right:
            self.logins.succeeded += 1
        else:
            self.logins.failed += 1
        return is_right

    def may_enter(self, user: str, vhost: str) -> bool:
        """Whether ``user`` may open a connection to a virtual host that exists.

        Raises NotAllowed (530) where one more would be too many; that counts before the permission, as in RabbitMQ.
        """
        limits = self._control.vhosts[vhost].limits
        limit = limit_reached(limits, MAX_CONNECTIONS, len(self._by_vhost.get(vhost, ())))
        if limit is not None:
            _refuse(f"access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached")
        limit = limit_reached(self._control.users.limits_of(user), MAX_CONNECTIONS, len(self._by_user.get(user, ())))
        if limit is not None:
            _refuse(f"connection refused for user '{user}': user connection limit ({limit}) is reached")
        return self._control.may_enter(user, vhost)

    def check_channel(self, user: str) -> None:
        """Raise NotAllowed (530), ids 0.0, where the user has as many channels as it may. RabbitMQ: User Limits."""
        limits = self._control.users.limits_of(user)
        if MAX_CHANNELS not in limits:
            return
        count = sum(len(connection.channels) for connection in self._by_user.get(user, ()))
        limit = limit_reached(limits, MAX_CHANNELS, count)
        if limit is not None:
            text = (
                f"number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})"
            )
            raise NotAllowed(text)

    # Inside

    def entered(self, connection: "Connection") -> None:
        """Count a connection that has been opened."""
        self._by_user.setdefault(connection.user, set()).add(connection)
        self._by_vhost.setdefault(connection.vhost.name, set()).add(connection)

    def left(self, connection: "Connection") -> None:
        """Count it no more."""
        for kept, name in ((self._by_user, connection.user), (self._by_vhost, connection.vhost.name)):
            connections = kept[name]
            connections.discard(connection)
            if not connections:
                del kept[name]

    def of_user(self, user: str) -> Collection["Connection"]:
        """Return the open connections of a user."""
        return self._by_user.get(user, ())

    def of_vhost(self, vhost: str) -> Collection["Connection"]:
        """Return the open connections to a virtual host."""
        return self._by_vhost.get(vhost, ())

    # Out

    def send_user_away(self, user: str) -> None:
        """Close the connections of a user that is being deleted."""
        for connection in tuple(self.of_user(user)):
            connection.close(ConnectionForced(f"user '{user}' is deleted"))

    def clear_vhost(self, vhost: str) -> None:
        """Close the connections to a virtual host that is being deleted."""
        for connection in tuple(self.of_vhost(vhost)):
            connection.close(ConnectionForced(f"vhost '{vhost}' is deleted"))


def _refuse(text: str) -> None:
    class_id, method_id = CONNECTION_OPEN
    raise NotAllowed(text, class_id=class_id, method_id=method_id)
