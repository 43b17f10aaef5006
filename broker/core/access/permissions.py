"""Permissions: for a user in a virtual host, patterns of the names that it may configure, write to and read from.

Topic permissions narrow that for single topic exchanges, by patterns of routing keys. Changes act at once:
``version`` grows with each, and who keeps what was granted compares it. RabbitMQ: Access Control.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from broker.core.access.patterns import compile_pattern
from broker.core.definitions import Define, fields_of
from storage.definitions import Definition

Right = Literal["configure", "write", "read"]

KNOWN_NAMES_MAX: Final = 4096
"""Names whose answers a permission keeps at most."""


class _Names:
    """The names that one pattern allows. Answers are kept, for the same few names are asked for all the time."""

    __slots__ = ("_known", "_pattern")

    def __init__(self, pattern: str) -> None:
        self._pattern = compile_pattern(pattern)
        self._known: dict[str, bool] = {}

    def __contains__(self, name: str) -> bool:
        known = self._known.get(name)
        if known is None:
            known = self._pattern.search(name.encode("utf-8", "surrogatepass")) is not None
            if len(self._known) >= KNOWN_NAMES_MAX:
                self._known.clear()
            self._known[name] = known
        return known


@dataclass(frozen=True, slots=True)
class Permission:
    """What ``user`` may do in ``vhost``: three patterns, of which an empty one allows nothing.

    Raises InvalidPattern.
    """

    user: str
    vhost: str
    configure: str
    write: str
    read: str
    _allowed: Mapping[str, _Names] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        allowed = {"configure": _Names(self.configure), "write": _Names(self.write), "read": _Names(self.read)}
        object.__setattr__(self, "_allowed", allowed)

    def allows(self, right: Right, name: str) -> bool:
        """Whether the user has ``right`` on the exchange or queue ``name``, which is "amq.default" for "" here."""
        return name in self._allowed[right]


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """The routing keys that ``user`` may publish with to (``write``) and bind with to (``read``) a topic ``exchange``.

    ``{username}``, ``{vhost}`` and, for protocols that have it, ``{client_id}`` stand for the connection's own, as
    plain text whatever characters are in them. Raises InvalidPattern.
    """

    user: str
    vhost: str
    exchange: str
    write: str
    read: str

    def __post_init__(self) -> None:
        compile_pattern(self.write)
        compile_pattern(self.read)

    def allows(self, right: Right, routing_key: str, variables: Mapping[str, str]) -> bool:
        """Whether ``routing_key`` may be used with ``variables`` (name to value) in place."""
        pattern = self.write if right == "write" else self.read
        for name, value in variables.items():
            pattern = pattern.replace("{" + name + "}", re.escape(value))
        return compile_pattern(pattern).search(routing_key.encode("utf-8", "surrogatepass")) is not None


class Permissions:
    """All permissions of the node. Whether user and virtual host exist is the caller's to know."""

    __slots__ = ("_by_place", "_define", "_topics", "version")

    def __init__(self, define: Define) -> None:
        self.version = 1
        self._by_place: dict[tuple[str, str], Permission] = {}
        self._topics: dict[tuple[str, str], dict[str, TopicPermission]] = {}
        self._define = define

    def get(self, vhost: str, user: str) -> Permission | None:
        """Return the user's permission in the virtual host; None if it may not even enter it."""
        return self._by_place.get((vhost, user))

    def listed(self, vhost: str | None = None, user: str | None = None) -> list[Permission]:
        """Return permissions by virtual host and user, all or those of one."""
        return [
            self._by_place[place]
            for place in sorted(self._by_place)
            if vhost in (None, place[0]) and user in (None, place[1])
        ]

    def topic(self, vhost: str, user: str, exchange: str) -> TopicPermission | None:
        """Return the user's topic permission on an exchange; None where every routing key is allowed."""
        topics = self._topics.get((vhost, user))
        return None if topics is None else topics.get(exchange)

    def topics_listed(self, vhost: str | None = None, user: str | None = None) -> list[TopicPermission]:
        """Return topic permissions by virtual host, user and exchange, all or those of one."""
        return [
            self._topics[place][exchange]
            for place in sorted(self._topics)
            if vhost in (None, place[0]) and user in (None, place[1])
            for exchange in sorted(self._topics[place])
        ]

    # Changes

    def put(self, permission: Permission) -> None:
        """Set a permission in place of what there was."""
        self._by_place[permission.vhost, permission.user] = permission
        self.version += 1
        self._define(
            ("permission", permission.vhost, permission.user),
            {"configure": permission.configure, "write": permission.write, "read": permission.read},
        )

    def clear(self, vhost: str, user: str) -> None:
        """Remove a permission, if there is one; the user may not enter the virtual host any more."""
        if self._by_place.pop((vhost, user), None) is not None:
            self.version += 1
            self._define(("permission", vhost, user), None)

    def put_topic(self, permission: TopicPermission) -> None:
        """Set a topic permission in place of what there was."""
        place = (permission.vhost, permission.user)
        self._topics.setdefault(place, {})[permission.exchange] = permission
        self.version += 1
        self._define(
            ("topic-permission", *place, permission.exchange), {"write": permission.write, "read": permission.read}
        )

    def clear_topics(self, vhost: str, user: str, exchange: str | None = None) -> None:
        """Remove a user's topic permissions in a virtual host, all or that on one exchange."""
        topics = self._topics.get((vhost, user), {})
        for name in [exchange] if exchange is not None else list(topics):
            if topics.pop(name, None) is not None:
                self.version += 1
                self._define(("topic-permission", vhost, user, name), None)
        if not topics:
            self._topics.pop((vhost, user), None)

    def forget_user(self, user: str) -> None:
        """Remove all that a user may."""
        self._forget([place for place in {*self._by_place, *self._topics} if place[1] == user])

    def forget_vhost(self, vhost: str) -> None:
        """Remove all that anyone may in a virtual host."""
        self._forget([place for place in {*self._by_place, *self._topics} if place[0] == vhost])

    def _forget(self, places: list[tuple[str, str]]) -> None:
        for vhost, user in sorted(places):
            self.clear(vhost, user)
            self.clear_topics(vhost, user)

    # Recovery

    def restore(self, definitions: Iterable[Definition]) -> None:
        """Take back what ``define`` was given in earlier lives. Raises ValueError, InvalidPattern."""
        for key, value in definitions:
            if key[0] == "permission":
                fields: Mapping[str, Any] = fields_of(key, value)
                _, vhost, user = key
                patterns = fields["configure"], fields["write"], fields["read"]
                self._by_place[vhost, user] = Permission(user, vhost, *patterns)
            elif key[0] == "topic-permission":
                fields = fields_of(key, value)
                _, vhost, user, exchange = key
                topic = TopicPermission(user, vhost, exchange, fields["write"], fields["read"])
                self._topics.setdefault((vhost, user), {})[exchange] = topic
