"""What a token grants: scopes as rights in virtual hosts, and as tags.

``read:*/orders-*/eu.*`` is a right, a pattern of virtual hosts, one of queues and exchanges and, for topic exchanges,
one of routing keys; ``tag:monitoring`` is a tag. Patterns know ``*`` alone, and are percent-encoded.
RabbitMQ: OAuth 2.0 Authentication Backend, "Scope-to-Permission Translation".
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, get_args
from urllib.parse import quote, unquote_to_bytes

from broker.core.access.permissions import KNOWN_NAMES_MAX, Right

SCOPE_COUNT_MAX: Final = 2048
TAG: Final = "tag:"

_RIGHTS: Final = get_args(Right)
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
_ENCODED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Wildcard:
    """A pattern in which ``*`` stands for any octets, also none. Takes time that grows with pattern and text alone."""

    __slots__ = ("_first", "_last", "_middle", "_size")

    def __init__(self, pattern: str) -> None:
        """Raises ValueError for a ``%`` that is not followed by two hexadecimal digits."""
        if _ENCODED.search(pattern):
            raise ValueError("not percent-encoded")
        parts = [unquote_to_bytes(part.replace("+", " ")) for part in pattern.split("*")]
        self._first, *self._middle = parts
        self._last = self._middle.pop() if self._middle else None
        self._size = sum(map(len, parts))

    def matches(self, text: bytes) -> bool:
        """Whether the pattern stands for the whole text."""
        last = self._last
        if last is None:
            return text == self._first
        if len(text) < self._size or not (text.startswith(self._first) and text.endswith(last)):
            return False
        at, end = len(self._first), len(text) - len(last)
        for part in self._middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


@dataclass(frozen=True, slots=True)
class _Rule:
    """One scope in one virtual host that it is for; ``routing_key`` is None where the scope names none."""

    right: str
    name: Wildcard
    routing_key: Wildcard | None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a checked token lets its bearer do, who is called ``user``, until ``expires_ms`` (since 1970, UTC).

    ``scopes`` are without the prefix; ``claims`` are what ``{name}`` in them stands for, beside ``{vhost}``.
    """

    user: str
    scopes: tuple[str, ...] = field(repr=False)
    expires_ms: int | None = None
    claims: Mapping[str, str] = field(default_factory=dict, repr=False)
    _rules: dict[str, list[_Rule]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _known: dict[tuple[str, str, str], bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, sorted."""
        return tuple(sorted({scope.removeprefix(TAG) for scope in self.scopes if scope.startswith(TAG)} - {""}))

    def may_enter(self, vhost: str) -> bool:
        """Whether any scope, for whatever right, is for a virtual host."""
        return bool(self._rules_in(vhost))

    def allows(self, right: Right, vhost: str, name: str) -> bool:
        """Whether there is ``right`` on the queue or exchange ``name``, which is "amq.default" for ""."""
        known = self._known.get((right, vhost, name))
        if known is None:
            octets = name.encode("utf-8", "surrogatepass")
            known = any(rule.right == right and rule.name.matches(octets) for rule in self._rules_in(vhost))
            if len(self._known) >= KNOWN_NAMES_MAX:
                self._known.clear()
            self._known[right, vhost, name] = known
        return known

    def allows_topic(self, right: Right, vhost: str, exchange: str, routing_key: str) -> bool:
        """Whether a routing key may be used with a topic exchange: only scopes that name routing keys count."""
        name, key = exchange.encode("utf-8", "surrogatepass"), routing_key.encode("utf-8", "surrogatepass")
        return any(
            rule.right == right
            and rule.routing_key is not None
            and rule.name.matches(name)
            and rule.routing_key.matches(key)
            for rule in self._rules_in(vhost)
        )

    def _rules_in(self, vhost: str) -> list[_Rule]:
        rules = self._rules.get(vhost)
        if rules is None:
            rules = self._rules[vhost] = list(_rules_of(self.scopes, vhost, self.claims))
        return rules


def _rules_of(scopes: Iterable[str], vhost: str, claims: Mapping[str, str]) -> Iterable[_Rule]:
    """Yield the rules of scopes that are for a virtual host. What cannot be read as one grants nothing."""
    octets = vhost.encode("utf-8", "surrogatepass")
    values = {**claims, "vhost": vhost}
    for scope in scopes:
        right, _, places = scope.partition(":")
        if right not in _RIGHTS or any(name not in values for name in _VARIABLE.findall(places)):
            continue
        # What a claim says is encoded, so that it can be neither a wildcard nor a separator.
        expanded = _VARIABLE.sub(lambda found: quote(values[found[1]], safe=""), places).split("/")
        if len(expanded) not in (2, 3):
            continue
        try:
            patterns = [Wildcard(each) for each in expanded]
        except ValueError:
            continue
        if patterns[0].matches(octets):
            yield _Rule(right, patterns[1], patterns[2] if len(patterns) == 3 else None)
