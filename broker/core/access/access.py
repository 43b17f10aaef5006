"""What one user may do in one virtual host: the checks of each operation, with RabbitMQ's 403 texts.

A connection has one of these. Permissions are looked up at every check, so that changes act at once; what must be
quick (publishing by a route that is known) keeps the virtual host's ``topology_version``, which grows with them.
RabbitMQ: Access Control, "Authorisation: How Permissions Work", "Topic Authorisation".
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from broker.core.access.permissions import Permissions, Right
from broker.core.access.scopes import Grant
from broker.core.access.users import IMPERSONATOR, Users
from broker.core.arguments import DEAD_LETTER_EXCHANGE
from broker.core.compat import PERMISSIVE, Compat
from broker.core.exchanges.exchange import Exchange
from protocol.errors import AccessRefused
from protocol.tables import FieldTable

ResourceKind = Literal["queue", "exchange"]

DEFAULT_EXCHANGE_NAME: Final = "amq.default"
"""How permissions and refusals name the default exchange."""

ALTERNATE_EXCHANGE: Final = "alternate-exchange"


class Access:
    """The rights of ``user`` in ``vhost``, by name, as they are at the time of each check.

    All checks raise AccessRefused (403). ``variables`` may stand in topic permissions, by name. ``grant`` is what the
    user's token lets it do, in place of permissions and tags; it may be replaced by the next token's.
    """

    __slots__ = ("_names_right", "_permissions", "_users", "_variables", "grant", "user", "vhost")

    def __init__(
        self,
        users: Users,
        permissions: Permissions,
        user: str,
        vhost: str,
        variables: Mapping[str, str] | None = None,
        compat: Compat = PERMISSIVE,
        grant: Grant | None = None,
    ) -> None:
        self.grant = grant
        self._users = users
        self._permissions = permissions
        self._variables = {"username": user, "vhost": vhost, **(variables or {})}
        self._names_right = compat.profile.refusals_name_the_right
        self.user = user
        self.vhost = vhost

    def check(self, right: Right, kind: ResourceKind, name: str) -> None:
        """Refuse unless the user has ``right`` on a queue or exchange, whether there is one of that name or not."""
        if kind == "exchange":
            name = name or DEFAULT_EXCHANGE_NAME
        if self.grant is not None:
            if not self.grant.allows(right, self.vhost, name):
                self._refuse(right, f"{kind} '{name}'")
            return
        permission = self._permissions.get(self.vhost, self.user)
        if permission is None or not permission.allows(right, name):
            self._refuse(right, f"{kind} '{name}'")

    def check_topics(self, right: Right, exchange: Exchange, routing_keys: Sequence[str]) -> None:
        """Refuse routing keys on a topic exchange that a topic permission leaves out."""
        if exchange.type_name != "topic":
            return
        topic = self._permissions.topic(self.vhost, self.user, exchange.name)
        if topic is None and self.grant is None:
            return
        for routing_key in routing_keys:
            if self.grant is not None:
                is_allowed = self.grant.allows_topic(right, self.vhost, exchange.name, routing_key)
            else:
                is_allowed = topic is None or topic.allows(right, routing_key, self._variables)
            if not is_allowed:
                self._refuse(right, f"topic '{routing_key}' in exchange '{exchange.name}'")

    def check_new_queue(self, name: str, arguments: FieldTable) -> None:
        """Refuse a new queue whose dead letters the user could not read, or publish, itself."""
        exchange = arguments.get(DEAD_LETTER_EXCHANGE)
        if isinstance(exchange, str):
            self.check("read", "queue", name)
            self.check("write", "exchange", exchange)

    def check_new_exchange(self, name: str, arguments: FieldTable) -> None:
        """Refuse a new exchange whose unroutable messages the user could not publish itself."""
        alternate = arguments.get(ALTERNATE_EXCHANGE)
        if isinstance(alternate, str):
            self.check("read", "exchange", name)
            self.check("write", "exchange", alternate)

    def check_binding(
        self, kind: ResourceKind, destination: str, source: str, exchanges: Mapping[str, Exchange], routing_key: str
    ) -> None:
        """Refuse to bind or unbind without write on the destination and read on the source.

        The default exchange, which nobody may bind, is left to the virtual host to refuse.
        """
        self.check("write", kind, destination)
        if not source or (kind == "exchange" and not destination):
            return
        self.check("read", "exchange", source)
        exchange = exchanges.get(source)
        if exchange is not None:
            self.check_topics("read", exchange, (routing_key,))

    @property
    def may_impersonate(self) -> bool:
        """Whether the user may put another's name into the user-id property. RabbitMQ: Validated User-ID."""
        if self.grant is not None:
            return IMPERSONATOR in self.grant.tags
        return self._users.has_tag(self.user, IMPERSONATOR)

    def _refuse(self, right: Right, what: str) -> None:
        text = f"access to {what} in vhost '{self.vhost}' refused for user '{self.user}'"
        raise AccessRefused(f"{right} {text}" if self._names_right else text)
