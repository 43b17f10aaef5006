"""Policies: rules that an operator sets for queues and exchanges by the pattern of their names.

For each object the policy with the highest priority counts, and beside it one operator policy. A change acts at once
on what is there. Definitions go out through ``define`` and come back before the queues that they are for.
RabbitMQ: Policies, "Operator Policies".
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from broker.core.access.errors import InvalidPattern
from broker.core.access.patterns import compile_pattern
from broker.core.arguments import DEFAULT_QUEUE_TYPE, QUEUE_TYPE
from broker.core.compat import PERMISSIVE, Compat
from broker.core.definitions import Define, fields_of
from broker.core.exchanges.exchange import Exchange
from broker.core.policies.keys import (
    ALTERNATE_EXCHANGE,
    MIRRORING,
    PolicyError,
    arguments_under,
    check_definition,
    merged_definitions,
)
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.rules import rules_of
from storage.definitions import Definition, JsonValue

PolicyKind = Literal["policy", "operator-policy"]

QUEUE_TARGETS: Final = {"classic": "classic_queues", "quorum": "quorum_queues", "stream": "streams"}
"""What a policy's apply-to may say to mean queues of one x-queue-type."""

POLICY_WINS: Final = {"quorum": ("overflow",), "stream": ("max-age", "stream-max-segment-size-bytes")}
"""Keys that count even where a queue of this x-queue-type has an argument of its own."""

EVERYTHING: Final = "(?:)"
"""What the empty pattern stands for; in a permission it would match nothing."""

APPLY_TO: Final = ("queues", *QUEUE_TARGETS.values(), "exchanges", "all")


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy. ``pattern`` is a regular expression, found anywhere in a name unless it is anchored.

    Raises PolicyError for a pattern, a priority or an apply-to that is none. ``definition`` is checked by the host.
    """

    name: str
    pattern: str
    definition: Mapping[str, JsonValue]
    priority: int = 0
    apply_to: str = "all"
    kind: PolicyKind = "policy"
    _found_in: Callable[[bytes], object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.priority, int) or isinstance(self.priority, bool):
            raise PolicyError(f"priority should be number, actually was {self.priority}")
        if self.apply_to not in APPLY_TO:
            choices = ", ".join(f"'{choice}'" for choice in APPLY_TO[:-1])
            raise PolicyError(
                f"apply-to '{self.apply_to}' unrecognised; should be one of: {choices}, or '{APPLY_TO[-1]}'"
            )
        try:
            search = compile_pattern(self.pattern or EVERYTHING).search
        except InvalidPattern as error:
            shown = f'{{"{error.reason}",{error.position}}}'
            raise PolicyError(f"pattern should be regular expression but is invalid: {shown}") from None
        object.__setattr__(self, "_found_in", search)

    def applies_to(self, name: str, targets: Collection[str]) -> bool:
        """Whether it is for an object of this name that is one of the ``targets`` of apply-to."""
        return self.apply_to in targets and self._found_in(name.encode("utf-8", "surrogatepass")) is not None


@dataclass(frozen=True, slots=True)
class Ruling:
    """The policies that count for one object, None for none, and what they ask for together."""

    policy: Policy | None
    operator_policy: Policy | None

    @property
    def definition(self) -> dict[str, JsonValue]:
        """Return the effective definition, by key. RabbitMQ: "effective policy definition"."""
        return merged_definitions(
            self.policy.definition if self.policy is not None else {},
            self.operator_policy.definition if self.operator_policy is not None else {},
        )


class Policies:
    """The policies of one virtual host, over its ``queues`` and ``exchanges``.

    ``routes_changed`` is called after each change, for routes that were kept may be others now.
    """

    __slots__ = ("_by_kind", "_compat", "_define", "_exchanges", "_queues", "_ranked", "_routes_changed", "_vhost")

    def __init__(
        self,
        vhost_name: str,
        queues: Mapping[str, ClassicQueue],
        exchanges: Mapping[str, Exchange],
        *,
        define: Define,
        routes_changed: Callable[[], None],
        compat: Compat = PERMISSIVE,
    ) -> None:
        self._compat = compat
        self._vhost = vhost_name
        self._queues = queues
        self._exchanges = exchanges
        self._define = define
        self._routes_changed = routes_changed
        self._by_kind: dict[PolicyKind, dict[str, Policy]] = {"policy": {}, "operator-policy": {}}
        self._ranked: dict[PolicyKind, list[Policy]] = {"policy": [], "operator-policy": []}

    def set(self, policy: Policy) -> None:
        """Add a policy, or put it in the place of the one of its kind and name.

        Queues that this changes are touched: outside a client's read, see to it that the read's end comes
        (``Broker.schedule_finish``). Raises PolicyError for a definition that is none; nothing has changed then.
        """
        check_definition(
            policy.definition, is_operator=policy.kind == "operator-policy", unknown=self._unknown_keys(policy)
        )
        self._by_kind[policy.kind][policy.name] = policy
        self._define((policy.kind, self._vhost, policy.name), _definition_of(policy))
        self._changed(policy.kind)

    def clear(self, kind: PolicyKind, name: str) -> None:
        """Remove a policy. Raises PolicyError where there is none of that name."""
        if self._by_kind[kind].pop(name, None) is None:
            raise PolicyError("Parameter does not exist")
        self._define((kind, self._vhost, name), None)
        self._changed(kind)

    def clear_all(self) -> None:
        """Remove all policies, as the virtual host goes."""
        for kind in self._by_kind:
            for name in list(self._by_kind[kind]):
                self.clear(kind, name)

    def listed(self, kind: PolicyKind) -> list[Policy]:
        """Return all policies of a kind, by name."""
        return sorted(self._by_kind[kind].values(), key=lambda policy: policy.name)

    def of_queue(self, queue: ClassicQueue) -> Ruling:
        """Return what counts for a queue."""
        return self._ruling(queue.name, ("queues", QUEUE_TARGETS.get(_type_of(queue), "queues"), "all"))

    def of_exchange(self, exchange: Exchange) -> Ruling:
        """Return what counts for an exchange."""
        return self._ruling(exchange.name, ("exchanges", "all"))

    def govern_queue(self, queue: ClassicQueue) -> None:
        """Let the rules that hold for ``queue`` now act on it. A new queue without policies has its own already."""
        policy_wins = POLICY_WINS.get(_type_of(queue), ())
        arguments = arguments_under(self.of_queue(queue).definition, queue.arguments, policy_wins)
        rules = rules_of(arguments)
        if rules != queue.rules:
            queue.set_rules(rules)

    def govern_exchange(self, exchange: Exchange) -> None:
        """Give ``exchange`` its alternate: the argument's, else the policy's. The default exchange never has one."""
        if exchange.name:
            alternate = exchange.arguments.get(ALTERNATE_EXCHANGE)
            if alternate is None:
                alternate = self.of_exchange(exchange).definition.get(ALTERNATE_EXCHANGE)
            exchange.alternate = cast("str | None", alternate)

    @property
    def is_empty(self) -> bool:
        """Whether there are none, so that nothing need be looked up for a new queue or exchange."""
        return not self._ranked["policy"] and not self._ranked["operator-policy"]

    def restore(self, definitions: Iterable[Definition]) -> None:
        """Take back the policies among what ``define`` was given. Raises ValueError for what cannot be read."""
        for key, value in definitions:
            if key[0] == "policy" or key[0] == "operator-policy":
                kind = cast(PolicyKind, key[0])
                self._by_kind[kind][key[2]] = _policy_from(kind, key[2], fields_of(key, value))
        for kind in self._by_kind:
            self._rank(kind)
        if not self.is_empty:
            self._govern_all()

    def _unknown_keys(self, policy: Policy) -> Collection[str]:
        if MIRRORING.isdisjoint(policy.definition) or self._compat.permits("classic_queue_mirroring"):
            return ()
        return MIRRORING

    def _ruling(self, name: str, targets: Collection[str]) -> Ruling:
        first = (
            next((policy for policy in self._ranked[kind] if policy.applies_to(name, targets)), None)
            for kind in self._by_kind
        )
        return Ruling(*first)

    def _changed(self, kind: PolicyKind) -> None:
        self._rank(kind)
        self._govern_all()
        self._routes_changed()

    def _rank(self, kind: PolicyKind) -> None:
        """Put the policies of a kind in order of precedence; RabbitMQ leaves ties open, here the name decides."""
        self._ranked[kind] = sorted(self._by_kind[kind].values(), key=lambda policy: (-policy.priority, policy.name))

    def _govern_all(self) -> None:
        for queue in list(self._queues.values()):
            self.govern_queue(queue)
        for exchange in list(self._exchanges.values()):
            self.govern_exchange(exchange)


def _type_of(queue: ClassicQueue) -> str:
    return queue.arguments.get(QUEUE_TYPE) or DEFAULT_QUEUE_TYPE


def _definition_of(policy: Policy) -> JsonValue:
    return {
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "priority": policy.priority,
        "definition": dict(policy.definition),
    }


def _policy_from(kind: PolicyKind, name: str, fields: Mapping[str, Any]) -> Policy:
    return Policy(name, fields["pattern"], fields["definition"], fields["priority"], fields["apply-to"], kind)
