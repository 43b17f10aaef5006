"""The keys of policy definitions: which there are, what values they take, how they join with arguments.

A policy's value counts as the queue argument of the same name with ``x-`` before it, so queues know arguments only.
Keys of features that one node has no use for (mirroring, federation) are accepted and have no effect.
RabbitMQ: Policies; the refusals' texts are RabbitMQ's.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from broker.core.terms import term_text
from protocol.tables import FieldTable, is_integer
from storage.definitions import JsonValue

ALTERNATE_EXCHANGE: Final = "alternate-exchange"

LOWER_WINS: Final = frozenset(
    {
        "consumer-timeout",
        "delivery-limit",
        "expires",
        "max-in-memory-bytes",
        "max-in-memory-length",
        "max-length",
        "max-length-bytes",
        "message-ttl",
    }
)
"""Limits: of argument, policy and operator policy, the lowest holds."""

MIRRORING: Final = frozenset(
    {
        "ha-mode",
        "ha-params",
        "ha-promote-on-failure",
        "ha-promote-on-shutdown",
        "ha-sync-batch-size",
        "ha-sync-mode",
    }
)
"""Keys that RabbitMQ 4 does not know any more."""


class PolicyError(ValueError):
    """A policy that cannot be set, or is not there; the text is for whoever asked."""


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """One key: which values it takes, the text for all others, and whether operator policies have it too."""

    is_valid: Callable[[JsonValue], bool]
    refusal: str
    is_for_operators: bool = False


def _from(least: int) -> Callable[[JsonValue], bool]:
    return lambda value: isinstance(value, int) and is_integer(value) and value >= least


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str)


def _is_age(value: JsonValue) -> bool:
    return isinstance(value, str) and re.fullmatch(r"0*[1-9][0-9]*[YMDhms]", value, re.ASCII) is not None


def _one_of(*choices: JsonValue) -> Callable[[JsonValue], bool]:
    return lambda value: not isinstance(value, bool) and value in choices


def _is_anything(value: JsonValue) -> bool:
    return True


POLICY_KEYS: Final[Mapping[str, PolicyKey]] = {
    ALTERNATE_EXCHANGE: PolicyKey(_is_text, "is not a valid alternate exchange name"),
    "consumer-disconnected-timeout": PolicyKey(_from(0), "is not a valid consumer disconnected timeout"),
    "consumer-timeout": PolicyKey(_from(0), "is not a valid consumer timeout"),
    "dead-letter-exchange": PolicyKey(_is_text, "is not a valid dead letter exchange name"),
    "dead-letter-routing-key": PolicyKey(_is_text, "is not a valid dead letter routing key"),
    "dead-letter-strategy": PolicyKey(_one_of("at-most-once", "at-least-once"), "is not a valid dead letter strategy"),
    "delayed-retry-max": PolicyKey(_from(0), "is not a valid delayed retry max"),
    "delayed-retry-min": PolicyKey(_from(0), "is not a valid delayed retry min"),
    "delayed-retry-type": PolicyKey(_is_text, "is not a valid delayed retry type"),
    "delivery-limit": PolicyKey(_from(0), "is not a valid delivery limit", is_for_operators=True),
    "expires": PolicyKey(_from(1), "is not a valid queue expiry", is_for_operators=True),
    "federation-upstream": PolicyKey(_is_text, "is not a valid federation upstream name"),
    "federation-upstream-pattern": PolicyKey(_is_text, "is not a valid federation upstream pattern"),
    "federation-upstream-set": PolicyKey(_is_anything, "is not a valid federation upstream set"),
    **{key: PolicyKey(_is_anything, f"is not a valid {key} value") for key in sorted(MIRRORING)},
    "initial-cluster-size": PolicyKey(_from(0), "is not a valid cluster size"),
    "max-age": PolicyKey(_is_age, "is not a valid max age"),
    "max-in-memory-bytes": PolicyKey(_from(0), "is not a valid maximum memory in bytes", is_for_operators=True),
    "max-in-memory-length": PolicyKey(_from(0), "is not a valid maximum memory in bytes", is_for_operators=True),
    "max-length": PolicyKey(_from(0), "is not a valid maximum length", is_for_operators=True),
    "max-length-bytes": PolicyKey(_from(0), "is not a valid maximum length in bytes", is_for_operators=True),
    "message-ttl": PolicyKey(_from(0), "is not a valid message TTL", is_for_operators=True),
    "overflow": PolicyKey(
        _one_of("drop-head", "reject-publish", "reject-publish-dlx"),
        "is not a valid overflow value",
        is_for_operators=True,
    ),
    "queue-leader-locator": PolicyKey(
        _one_of("client-local", "balanced", "random", "least-leaders"), "is not a valid queue leader locator value"
    ),
    "queue-master-locator": PolicyKey(
        _one_of("client-local", "min-masters", "random"), "invalid queue-master-locator value"
    ),
    "queue-mode": PolicyKey(_one_of("default", "lazy"), "is not a valid queue-mode value"),
    "queue-version": PolicyKey(_one_of(1, 2), "is not a valid queue-version value", is_for_operators=True),
    "stream-filter-size-bytes": PolicyKey(_from(0), "is not a valid filter size"),
    "stream-max-segment-size-bytes": PolicyKey(_from(0), "is not a valid segment size"),
    "target-group-size": PolicyKey(_from(0), "is not a valid target group size", is_for_operators=True),
}
"""Every key there is: the place where a new one is added."""


def check_definition(
    definition: Mapping[str, JsonValue], *, is_operator: bool, unknown: Collection[str] = frozenset()
) -> None:
    """Refuse a definition without keys, with a value out of place, or with keys that no policy has.

    ``unknown`` are keys that the version to be like does not know. Raises PolicyError, for wrong values first.
    """
    if not definition:
        raise PolicyError("no policy provided")
    left_over = {}
    for name, value in sorted(definition.items()):
        key = None if name in unknown else POLICY_KEYS.get(name)
        if key is None or (is_operator and not key.is_for_operators):
            left_over[name] = value
        elif not key.is_valid(value):
            raise PolicyError(f"{_shown(value)} {key.refusal}")
    if left_over:
        pairs = ",".join(f"{{{_shown(name)},{_shown(value)}}}" for name, value in left_over.items())
        raise PolicyError(f"[{pairs}] are not recognised policy settings")


def merged_definitions(
    definition: Mapping[str, JsonValue], operator_definition: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """Return what a policy and an operator policy ask for together: the lower limit, else the operator's value."""
    joined = dict(definition)
    for name, value in operator_definition.items():
        joined[name] = _lower(joined[name], value) if name in LOWER_WINS and name in joined else value
    return dict(sorted(joined.items()))


def arguments_under(
    definition: Mapping[str, JsonValue], arguments: FieldTable, policy_wins: Iterable[str] = ()
) -> FieldTable:
    """Return the arguments that hold for a queue under a policy: its own, but the lower of two limits.

    ``policy_wins`` names keys for which the queue's kind lets the policy win.
    """
    holding = dict(arguments)
    for name, value in definition.items():
        argument = f"x-{name}"
        if argument not in holding or name in policy_wins:
            holding[argument] = value
        elif name in LOWER_WINS:
            holding[argument] = _lower(holding[argument], value)
    return holding


def _lower(one: JsonValue, other: JsonValue) -> JsonValue:
    return min(one, other) if isinstance(one, int) and isinstance(other, int) else one


def _shown(value: JsonValue) -> str:
    """Return a value of JSON as RabbitMQ prints it."""
    match value:
        case None:
            return "null"
        case list():
            return f"[{','.join(map(_shown, value))}]"
        case dict():
            return f"#{{{','.join(f'{_shown(key)} => {_shown(item)}' for key, item in value.items())}}}"
    return term_text(value)
