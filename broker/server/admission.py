"""Who is let in: logins, connection.open, limits of connections and channels; and who is sent away later.

The open connections are kept by user and by virtual host, so that a limit costs a look and a deletion finds its
connections. Passwords pass through here and are neither kept nor logged. RabbitMQ: Access Control; User Limits.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from broker.core.access.access import Access
from broker.core.access.control import AccessControl
from broker.core.access.limits import MAX_CHANNELS, MAX_CONNECTIONS, limit_reached
from broker.core.access.users import User
from broker.server.refusals import OAuth2Error, Refused
from protocol.constants import CONNECTION_OPEN
from protocol.errors import ConnectionForced, NotAllowed

if TYPE_CHECKING:
    from broker.core.access.scopes import Grant
    from broker.server.connection import Connection
    from broker.server.token_login import TokenLogin

SOURCES_MAX: Final = 1000
"""Addresses and names whose logins are counted each by itself; the oldest are forgotten."""
TOKEN_DOTS: Final = 2


@dataclass(slots=True)
class LoginCounts:
    """Logins since the start, of all users and protocols. RabbitMQ: ``/api/auth/attempts``."""

    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who has logged in. ``grant`` is what its token lets it do; None for one of the node's own users.

    ``checked`` is such a user as it was when its password was right; None where there was no password.
    """

    name: str
    grant: "Grant | None" = None
    checked: User | None = None


class Admission:
    """The node's door. ``loopback_users`` may log in from the broker's own machine only.

    ``backends`` are asked in turn: the node's users ("internal"), and ``tokens`` ("oauth2") where there is one.
    """

    __slots__ = (
        "_by_user",
        "_by_vhost",
        "_control",
        "_loopback_users",
        "backends",
        "connection_max",
        "logins",
        "sources",
        "tokens",
    )

    def __init__(self, control: AccessControl, loopback_users: Collection[str]) -> None:
        self.logins = LoginCounts()
        self.sources: dict[tuple[str, str, str], LoginCounts] = {}
        """The same by address, user's name and protocol."""
        self.tokens: TokenLogin | None = None
        self.backends: tuple[str, ...] = ("internal",)
        self.connection_max = 0
        """Connections of the node, 0 for any number. RabbitMQ: Networking, ``connection_max``."""
        self._control = control
        self._loopback_users = loopback_users
        self._by_user: dict[str, set[Connection]] = {}
        self._by_vhost: dict[str, set[Connection]] = {}

    # At the door

    def log_in(self, user: str, password: bytes, *, is_local: bool, source: str, protocol: str) -> Visitor:
        """Return whom user and password, or a token in its place, let in; count it.

        ``source`` is the client's address. Raises Refused, and KeysWanted where the token's key has to be fetched.
        """
        why = "invalid credentials"
        for backend in self.backends:
            if backend == "internal":
                if self._control.users.is_login(user, password):
                    if self._may_come(user, is_local):
                        self._count(True, source, user, protocol)
                        return Visitor(user, None, self._control.users.get(user))
                    why = f"user '{user}' can only connect from the broker's own machine (loopback_users)"
            elif self.tokens is not None and password.count(b".") >= TOKEN_DOTS:
                grant = self.tokens.check(password)
                if isinstance(grant, str):
                    why = f"the token is refused: {grant}"
                elif not self._may_come(grant.user, is_local):
                    why = f"user '{grant.user}' can only connect from the broker's own machine (loopback_users)"
                else:
                    self._count(True, source, grant.user, protocol)
                    return Visitor(grant.user, grant)
        self._count(False, source, user, protocol)
        raise Refused(why)

    def lets_in_again(self, visitor: Visitor, *, is_local: bool, source: str, protocol: str) -> bool:
        """Let in who says the same as ``visitor`` has said, and count it, if nothing of the user has changed since.

        If not, nothing is counted yet: it may have to log in as everybody.
        """
        name = visitor.name
        if visitor.checked is None or not self._control.users.is_same(visitor.checked):
            return False
        if not is_local and name in self._loopback_users:
            return False
        self._count(True, source, name, protocol)
        return True

    def log_in_by_certificate(self, user: str, *, is_local: bool, source: str, protocol: str) -> Visitor:
        """Return ``user``, whom a checked client certificate names, and count it. Raises Refused."""
        is_known = "internal" in self.backends and user in self._control.users
        is_right = is_known and self._may_come(user, is_local)
        self._count(is_right, source, user, protocol)
        if not is_right:
            nobody = "the client has shown no certificate that names somebody"
            raise Refused("there is no such user, or not from there (loopback_users)" if user else nobody)
        return Visitor(user)

    def renewed(self, grant: "Grant", token: bytes) -> "Grant":
        """Return what a connection's next token grants. Raises Refused, KeysWanted. Ref: connection.update-secret."""
        new = self.tokens.check(token) if self.tokens is not None else "there are no tokens any more"
        if isinstance(new, str):
            raise Refused(f"the token is refused: {new}")
        if new.user != grant.user:
            raise Refused("the token names another user")
        return new

    def fetch_keys(self, then: Callable[[], object]) -> None:
        """Have the keys of tokens fetched, and ``then`` called, whatever has come of it."""
        assert self.tokens is not None, "only a token's check wants keys"
        self.tokens.keys.fetch(then)

    def _may_come(self, user: str, is_local: bool) -> bool:
        return is_local or user not in self._loopback_users

    def _count(self, is_right: bool, source: str, user: str, protocol: str) -> None:
        key = source, user[:255], protocol
        by_source = self.sources.pop(key, None) or LoginCounts()
        self.sources[key] = by_source
        if len(self.sources) > SOURCES_MAX:
            del self.sources[next(iter(self.sources))]
        if is_right:
            self.logins.succeeded += 1
            by_source.succeeded += 1
        else:
            self.logins.failed += 1
            by_source.failed += 1

    def access(self, visitor: Visitor, vhost: str) -> Access:
        """Return the checks of a visitor in a virtual host."""
        return self._control.access(visitor.name, vhost, grant=visitor.grant)

    def may_enter(self, user: str, vhost: str, grant: "Grant | None" = None) -> bool:
        """Whether ``user``, with ``grant`` if it came by a token, may open a connection to a virtual host that exists.

        Raises NotAllowed (530) where one more would be too many; that counts before the permission, as in RabbitMQ.
        """
        if self.connection_max and sum(map(len, self._by_vhost.values())) >= self.connection_max:
            _refuse(f"connection refused: node connection limit ({self.connection_max}) is reached")
        if limits := self._control.vhosts[vhost].limits:
            limit = limit_reached(limits, MAX_CONNECTIONS, len(self._by_vhost.get(vhost, ())))
            if limit is not None:
                _refuse(f"access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached")
        if limits := self._control.users.limits_of(user):
            limit = limit_reached(limits, MAX_CONNECTIONS, len(self._by_user.get(user, ())))
            if limit is not None:
                _refuse(f"connection refused for user '{user}': user connection limit ({limit}) is reached")
        return self._control.may_enter(user, vhost) if grant is None else grant.may_enter(vhost)

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
        for kept, name in ((self._by_user, connection.user), (self._by_vhost, connection.vhost.name)):
            connections = kept.get(name)
            if connections is None:
                kept[name] = {connection}
            else:
                connections.add(connection)

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


def load_token_login() -> "type[TokenLogin]":
    """Return what checks tokens. It is loaded by who uses it alone, for its cryptography takes longer than the broker.

    Raises OAuth2Error where it is not installed.
    """
    try:
        from broker.server.token_login import TokenLogin
    except ModuleNotFoundError as error:
        raise OAuth2Error(f"auth_backends: oauth2 needs {error.name}; install leveret[oauth2]") from None
    return TokenLogin


def _refuse(text: str) -> None:
    class_id, method_id = CONNECTION_OPEN
    raise NotAllowed(text, class_id=class_id, method_id=method_id)
