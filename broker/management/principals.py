"""Who asks, and what their tags let them: the rights of the API, which are not those of messaging.

RabbitMQ: Management Plugin, "Access and Permissions".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from broker.core.access.scopes import Grant
from broker.management.errors import Unauthorised

Level = Literal["management", "monitoring", "policymaker", "administrator"]

TAGS_OF: Final[Mapping[Level, frozenset[str]]] = {
    "management": frozenset(("management", "monitoring", "policymaker", "administrator")),
    "monitoring": frozenset(("monitoring", "administrator")),
    "policymaker": frozenset(("policymaker", "administrator")),
    "administrator": frozenset(("administrator",)),
}

REFUSALS: Final[Mapping[Level, str]] = {
    "management": "Not management user",
    "monitoring": "Not monitor user",
    "policymaker": "User not authorised to access object",
    "administrator": "Not administrator user",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """A user who is logged in, ``grant`` being what its token lets it do, if it came by one.

    ``is_operator`` is whoever may reach the control socket: nothing is refused to them.
    """

    name: str
    tags: frozenset[str] = frozenset()
    is_operator: bool = False
    grant: Grant | None = None

    def has(self, level: Level) -> bool:
        """Whether one of the tags, or being the operator, gives ``level``."""
        return self.is_operator or not self.tags.isdisjoint(TAGS_OF[level])

    def check(self, level: Level) -> None:
        """Raise Unauthorised (401) below ``level``."""
        if not self.has(level):
            raise Unauthorised(REFUSALS[level])


OPERATOR: Final = Principal("operator", frozenset(("administrator",)), is_operator=True)
"""Who comes by way of the control socket."""
