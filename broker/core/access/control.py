"""Who there is and what they may do: users, virtual hosts, permissions and limits of a node, and every change to them.

This is what management surfaces call: plain methods, errors of access_errors.py, everything in force when they
return. It is on disk with the log's next batch: who must not answer before that asks the store for a promise.
Live connections are reached by way of ``AccessEvents`` only. RabbitMQ: Access Control, Virtual Hosts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from broker.core.access.access import Access
from broker.core.access.errors import NoSuchVirtualHost, Unacceptable, VirtualHostExists
from broker.core.access.limits import VHOST_LIMITS, check_limits
from broker.core.access.passwords import DEFAULT_ALGORITHM
from broker.core.access.permissions import Permission, Permissions, TopicPermission
from broker.core.access.scopes import Grant
from broker.core.access.users import ADMINISTRATOR, User, Users
from broker.core.access.vhost_metadata import VirtualHostMetadata, check_metadata
from broker.core.compat import PERMISSIVE, Compat
from broker.core.definitions import Define, fields_of
from broker.core.vhosts import VirtualHost
from storage.definitions import Definition

VHOST_NAME_OCTETS_MAX: Final = 255


@dataclass(slots=True)
class AccessEvents:
    """Whom to tell before something goes: each is called with its name, while it is still there."""

    user_going: Callable[[str], None]
    vhost_going: Callable[[str], None]


class AccessControl:
    """Users, permissions and the virtual hosts in ``vhosts``, which others may read. ``make_vhost`` makes one."""

    __slots__ = ("_compat", "_define", "_events", "_make_vhost", "permissions", "users", "vhosts")

    def __init__(
        self,
        vhosts: dict[str, VirtualHost],
        make_vhost: Callable[[str], VirtualHost],
        define: Define,
        events: AccessEvents,
        compat: Compat = PERMISSIVE,
    ) -> None:
        self._compat = compat
        self.vhosts = vhosts
        self.users = Users(define)
        self.permissions = Permissions(define)
        self._make_vhost = make_vhost
        self._define = define
        self._events = events

    def access(
        self, user: str, vhost: str, variables: Mapping[str, str] | None = None, grant: Grant | None = None
    ) -> Access:
        """Return the checks of a connection; with ``grant``, that of its token counts in place of permissions."""
        return Access(self.users, self.permissions, user, vhost, variables, self._compat, grant)

    def may_enter(self, user: str, vhost: str) -> bool:
        """Whether a user may open connections to a virtual host: it has a permission there, if only an empty one."""
        return self.permissions.get(vhost, user) is not None

    # Virtual hosts

    def vhost(self, name: str) -> VirtualHost:
        """Return a virtual host. Raises NoSuchVirtualHost."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            raise NoSuchVirtualHost(name)
        return vhost

    def vhosts_listed(self) -> list[VirtualHost]:
        """Return all virtual hosts, by name."""
        return [self.vhosts[name] for name in sorted(self.vhosts)]

    def add_vhost(
        self,
        name: str,
        *,
        description: str = "",
        tags: Iterable[str] = (),
        default_queue_type: str | None = None,
        creator: str | None = None,
    ) -> VirtualHost:
        """Make a virtual host; ``creator``, if it is a user, gets all permissions there, as RabbitMQ's HTTP API does.

        Raises VirtualHostExists, Unacceptable.
        """
        if name in self.vhosts:
            raise VirtualHostExists(name)
        if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "surrogatepass")) <= VHOST_NAME_OCTETS_MAX:
            raise Unacceptable(f"a virtual host's name is 1 to {VHOST_NAME_OCTETS_MAX} octets long")
        metadata = check_metadata(description, tags, default_queue_type)
        vhost = self._make_vhost(name)
        vhost.metadata = metadata
        self.vhosts[name] = vhost
        self._define(("vhost", name), metadata.to_json())
        if creator is not None and creator in self.users:
            self.set_permission(name, creator, configure=".*", write=".*", read=".*")
        return vhost

    def update_vhost(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        default_queue_type: str | None = None,
    ) -> VirtualHost:
        """Change what is given of a virtual host's metadata. Raises NoSuchVirtualHost, Unacceptable."""
        vhost = self.vhost(name)
        old = vhost.metadata
        changed = check_metadata(
            old.description if description is None else description,
            old.tags if tags is None else tags,
            old.default_queue_type if default_queue_type is None else default_queue_type,
        )
        vhost.metadata = replace(changed, is_protected=old.is_protected)
        self._define(("vhost", name), vhost.metadata.to_json())
        return vhost

    def protect_vhost(self, name: str, is_protected: bool) -> None:
        """Protect a virtual host from deletion, or no longer. Raises NoSuchVirtualHost."""
        vhost = self.vhost(name)
        vhost.metadata = replace(vhost.metadata, is_protected=is_protected)
        self._define(("vhost", name), vhost.metadata.to_json())

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with its connections, queues, messages, exchanges, policies and permissions.

        Raises NoSuchVirtualHost.
        """
        vhost = self.vhost(name)
        self._events.vhost_going(name)
        vhost.delete_all()
        self.permissions.forget_vhost(name)
        if vhost.limits:
            self._define(("vhost-limit", name), None)
        del self.vhosts[name]
        self._define(("vhost", name), None)

    def set_vhost_limits(self, name: str, limits: object) -> None:
        """Replace a virtual host's limits; {} for none. Raises NoSuchVirtualHost, Unacceptable."""
        vhost = self.vhost(name)
        vhost.limits = check_limits(limits, VHOST_LIMITS)
        self._define(("vhost-limit", name), dict(vhost.limits) or None)

    def set_vhost_limit(self, name: str, limit: str, value: object) -> None:
        """Set one limit and leave the others. Raises NoSuchVirtualHost, Unacceptable."""
        self.set_vhost_limits(name, {**self.vhost(name).limits, limit: value})

    def clear_vhost_limit(self, name: str, limit: str) -> None:
        """Take one limit away. Raises NoSuchVirtualHost."""
        limits = self.vhost(name).limits
        self.set_vhost_limits(name, {key: value for key, value in limits.items() if key != limit})

    # Users: adding and changing them is ``users``' own

    def put_user(
        self,
        name: str,
        *,
        password: str | None = None,
        password_hash: str | None = None,
        hashing_algorithm: str = DEFAULT_ALGORITHM,
        tags: Iterable[str] = (),
    ) -> User:
        """Add a user or replace its password and tags, by password, by hash, or by neither: then it cannot log in.

        Raises Unacceptable.
        """
        if password_hash is None:
            if name not in self.users:
                return self.users.add(name, password, tags)
            user = self.users.put(name, password_hash="", tags=tags)
            if password:
                self.users.set_password(name, password)
            return user
        return self.users.put(name, password_hash=password_hash, hashing_algorithm=hashing_algorithm, tags=tags)

    def delete_user(self, name: str) -> None:
        """Delete a user with its connections and permissions. Raises NoSuchUser."""
        self.users.get(name)
        self._events.user_going(name)
        self.permissions.forget_user(name)
        self.users.delete(name)
        self._permissions_changed()

    # Permissions

    def set_permission(self, vhost: str, user: str, *, configure: str, write: str, read: str) -> Permission:
        """Let a user enter a virtual host, with three patterns.

        Raises NoSuchVirtualHost, NoSuchUser, InvalidPattern.
        """
        self._check_place(vhost, user)
        permission = Permission(user, vhost, configure, write, read)
        self.permissions.put(permission)
        self._permissions_changed(vhost)
        return permission

    def clear_permission(self, vhost: str, user: str) -> None:
        """Take a user's permission in a virtual host away, if it has one. Raises NoSuchVirtualHost, NoSuchUser."""
        self._check_place(vhost, user)
        self.permissions.clear(vhost, user)
        self._permissions_changed(vhost)

    def set_topic_permission(self, vhost: str, user: str, exchange: str, *, write: str, read: str) -> TopicPermission:
        """Narrow what a user may do with a topic exchange. Raises NoSuchVirtualHost, NoSuchUser, InvalidPattern."""
        self._check_place(vhost, user)
        permission = TopicPermission(user, vhost, exchange, write, read)
        self.permissions.put_topic(permission)
        self._permissions_changed(vhost)
        return permission

    def clear_topic_permissions(self, vhost: str, user: str, exchange: str | None = None) -> None:
        """Lift topic permissions, all or that on one exchange. Raises NoSuchVirtualHost, NoSuchUser."""
        self._check_place(vhost, user)
        self.permissions.clear_topics(vhost, user, exchange)
        self._permissions_changed(vhost)

    def _check_place(self, vhost: str, user: str) -> None:
        self.users.get(user)
        self.vhost(vhost)

    def _permissions_changed(self, vhost: str | None = None) -> None:
        """Make channels find their routes, and with them their permissions, again."""
        for each in self.vhosts.values() if vhost is None else (self.vhosts[vhost],):
            each.topology_version += 1

    # Start

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody and nothing, as at the very first start."""
        return not self.vhosts and not self.users.listed()

    def make_default(
        self,
        vhost: str,
        user: str,
        password: str,
        tags: Iterable[str] = (ADMINISTRATOR,),
        patterns: tuple[str, str, str] = (".*", ".*", ".*"),
    ) -> None:
        """Make the first virtual host, and its user, with ``patterns`` to configure, write, read there.

        Raises Unacceptable, InvalidPattern. RabbitMQ: Access Control.
        """
        configure, write, read = patterns
        self.add_vhost(vhost)
        self.users.add(user, password, tags)
        self.set_permission(vhost, user, configure=configure, write=write, read=read)

    def restore(self, definitions: list[Definition]) -> None:
        """Take back what ``define`` was given in earlier lives, but for what is in virtual hosts.

        Raises ValueError, or an AccessError, for what this version cannot read.
        """
        self.users.restore(definitions)
        self.permissions.restore(definitions)
        for key, value in definitions:
            if key[0] == "vhost":
                vhost = self.vhosts[key[1]] = self._make_vhost(key[1])
                vhost.metadata = VirtualHostMetadata.from_json(fields_of(key, value))
        for key, value in definitions:
            if key[0] == "vhost-limit" and key[1] in self.vhosts:
                self.vhosts[key[1]].limits = check_limits(fields_of(key, value), VHOST_LIMITS)

    def restore_contents(self, definitions: list[Definition]) -> list[str]:
        """Take back what is in virtual hosts, as ``VirtualHost.restore``; return, for the log, what was left out."""
        return [
            f"in vhost '{vhost.name}': {what}" for vhost in self.vhosts.values() for what in vhost.restore(definitions)
        ]
