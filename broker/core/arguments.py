"""What queues may be declared with: which x-arguments, of which types and values, and when two declares agree.

The order of the checks is RabbitMQ's (3.10 to 3.13), for the first that fails gives the reply text. Arguments that
no one knows are kept and otherwise ignored. Where RabbitMQ's versions differ, the kinder one counts.
RabbitMQ: Queues, "Optional Arguments".
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from broker.core.terms import value_text
from protocol.errors import PreconditionFailed
from protocol.tables import FieldTable, is_integer, same_value, type_name

QUEUE_TYPE: Final = "x-queue-type"
DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
DEFAULT_QUEUE_TYPE: Final = "classic"
LONGEST_TTL_MS: Final = 10 * 365 * 24 * 3600 * 1000
HIGHEST_PRIORITY: Final = 255
LARGEST_SEGMENT_OCTETS: Final = 3_000_000_000

Check: TypeAlias = Callable[[object, FieldTable], str | None]
"""From an argument's value and all arguments to what is wrong with it, None for nothing."""


def _integer(value: object, arguments: FieldTable) -> str | None:
    return None if is_integer(value) else f'"expected integer, got {type_name(value)}"'


def _natural(value: object, arguments: FieldTable) -> str | None:
    if not is_integer(value):
        return _integer(value, arguments)
    return f"{{value_negative,{value}}}" if _number(value) < 0 else None


def _milliseconds(value: object, arguments: FieldTable) -> str | None:
    if is_integer(value) and _number(value) > LONGEST_TTL_MS:
        return f"{{value_too_large,{value}}}"
    return _natural(value, arguments)


def _expires(value: object, arguments: FieldTable) -> str | None:
    if is_integer(value) and _number(value) == 0:
        return "{value_zero,0}"
    return _milliseconds(value, arguments)


def _max_priority(value: object, arguments: FieldTable) -> str | None:
    if is_integer(value) and _number(value) > HIGHEST_PRIORITY:
        return f"{{max_value_exceeded,{value}}}"
    return _natural(value, arguments)


def _positive(value: object, arguments: FieldTable) -> str | None:
    if is_integer(value) and _number(value) == 0:
        return "{value_zero,0}"
    return _natural(value, arguments)


def _segment_octets(value: object, arguments: FieldTable) -> str | None:
    wrong = _natural(value, arguments)
    if wrong is None and _number(value) > LARGEST_SEGMENT_OCTETS:
        raise PreconditionFailed("Exceeded max value for x-stream-max-segment-size-bytes")
    return wrong


def _queue_version(value: object, arguments: FieldTable) -> str | None:
    wrong = _natural(value, arguments)
    return wrong or (None if value in (1, 2) else f"\"unsupported queue version '{value}'\"")


def _text(value: object, arguments: FieldTable) -> str | None:
    return None if type_name(value) == "longstr" else f"{{unacceptable_type,{type_name(value)}}}"


def _dead_letter_routing_key(value: object, arguments: FieldTable) -> str | None:
    wrong = _text(value, arguments)
    return wrong or (None if DEAD_LETTER_EXCHANGE in arguments else "routing_key_but_no_dlx_defined")


def _queue_mode(value: object, arguments: FieldTable) -> str | None:
    wrong = _text(value, arguments)
    return wrong or (None if value in ("default", "lazy") else f"\"unsupported queue mode '{value_text(value)}'\"")


def _boolean(value: object, arguments: FieldTable) -> str | None:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{type_name(value)}}}"


def _max_age(value: object, arguments: FieldTable) -> str | None:
    wrong = _text(value, arguments)
    is_age = isinstance(value, str) and re.fullmatch(r"0*[1-9][0-9]*[YMDhms]", value, re.ASCII)
    return wrong or (None if is_age else "invalid_max_age")


def _one_of(choices: Collection[str], wrong_choice: str) -> Check:
    def check(value: object, arguments: FieldTable) -> str | None:
        return _text(value, arguments) or (None if value in choices else wrong_choice)

    return check


def _anything(value: object, arguments: FieldTable) -> str | None:
    return None


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


ARGUMENT_CHECKS: Final[dict[str, Check]] = {
    "x-expires": _expires,
    "x-message-ttl": _milliseconds,
    DEAD_LETTER_EXCHANGE: _anything,
    "x-dead-letter-routing-key": _dead_letter_routing_key,
    "x-dead-letter-strategy": _one_of(("at-most-once", "at-least-once"), "invalid_dlx_strategy"),
    "x-max-length": _natural,
    "x-max-length-bytes": _natural,
    "x-max-in-memory-length": _natural,
    "x-max-in-memory-bytes": _natural,
    "x-max-priority": _max_priority,
    "x-overflow": _one_of(("drop-head", "reject-publish", "reject-publish-dlx"), "invalid_overflow"),
    "x-queue-mode": _queue_mode,
    "x-queue-version": _queue_version,
    "x-single-active-consumer": _boolean,
    QUEUE_TYPE: _text,
    "x-quorum-initial-group-size": _positive,
    "x-max-age": _max_age,
    "x-stream-max-segment-size-bytes": _segment_octets,
    "x-initial-cluster-size": _positive,
    "x-consumer-timeout": _natural,
    "x-delivery-limit": _anything,
    "x-queue-master-locator": _anything,
    "x-queue-leader-locator": _one_of(("client-local", "balanced"), "invalid_queue_locator_arg"),
}
"""Every argument that some kind of queue knows, in the order of RabbitMQ's checks and comparisons."""

_OF_MOST_QUEUES: Final = frozenset(
    {
        "x-expires",
        "x-message-ttl",
        DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-overflow",
        "x-single-active-consumer",
        QUEUE_TYPE,
        "x-queue-leader-locator",
        "x-consumer-timeout",
    }
)


@dataclass(frozen=True, slots=True)
class QueueKind:
    """A kind of queue: its x-queue-type, the name of its module in RabbitMQ, and the arguments it knows."""

    type_name: str
    module_name: str
    arguments: frozenset[str]
    lasts: bool = False
    """Whether its queues have a name from the client, are durable, and belong to no connection or consumer."""


CLASSIC: Final = QueueKind(
    "classic",
    "rabbit_classic_queue",
    _OF_MOST_QUEUES | {"x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator"},
)

QUORUM: Final = QueueKind(
    "quorum",
    "rabbit_quorum_queue",
    _OF_MOST_QUEUES
    | {
        "x-dead-letter-strategy",
        "x-delivery-limit",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-quorum-initial-group-size",
    },
    lasts=True,
)

STREAM: Final = QueueKind(
    "stream",
    "rabbit_stream_queue",
    frozenset(
        {
            "x-max-length-bytes",
            "x-max-age",
            "x-stream-max-segment-size-bytes",
            "x-initial-cluster-size",
            QUEUE_TYPE,
            "x-queue-leader-locator",
        }
    ),
    lasts=True,
)

QUEUE_KINDS: Final[dict[str, QueueKind]] = {kind.type_name: kind for kind in (CLASSIC, QUORUM, STREAM)}
"""The kinds there are, by x-queue-type: the place where a new one is added."""


def queue_kind(queue: str, arguments: FieldTable) -> QueueKind:
    """Return the kind that the arguments ask for; ``queue`` is the queue's name in replies.

    Raises PreconditionFailed (406) for an unknown one. An empty type is the default one, as in RabbitMQ 4.
    """
    wanted = arguments.get(QUEUE_TYPE, "")
    wrong = _text(wanted, arguments)
    if wrong is None:
        kind = QUEUE_KINDS.get(wanted or DEFAULT_QUEUE_TYPE)
        if kind is not None:
            return kind
        wrong = f"\"unsupported queue type '{value_text(wanted)}'\""
    raise PreconditionFailed(f"invalid arg '{QUEUE_TYPE}' for {queue}: {wrong}")


def check_queue_arguments(queue: str, arguments: FieldTable) -> QueueKind:
    """Return the kind of queue to make, its arguments checked; ``queue`` is its name in replies.

    Raises PreconditionFailed (406) for the first argument that is wrong. RabbitMQ: Queues, "Optional Arguments".
    """
    exchange_kind = type_name(arguments.get(DEAD_LETTER_EXCHANGE, ""))
    if exchange_kind != "longstr":
        raise PreconditionFailed(f"invalid type '{exchange_kind}' for arg '{DEAD_LETTER_EXCHANGE}' in {queue}")
    kind = queue_kind(queue, arguments)
    if not arguments:
        return kind
    for name, check in ARGUMENT_CHECKS.items():
        if name in arguments and name in kind.arguments:
            wrong = check(arguments[name], arguments)
            if wrong is not None:
                raise PreconditionFailed(f"invalid arg '{name}' for {queue}: {wrong}")
    for name in arguments:
        if name in ARGUMENT_CHECKS and name not in kind.arguments:
            raise PreconditionFailed(f"invalid arg '{name}' for {queue} of queue type {kind.module_name}")
    return kind


def refuse_server_name(queue: str, arguments: FieldTable) -> None:
    """Refuse to make up a name for a kind of queue that is to have one. Raises PreconditionFailed (406)."""
    kind = queue_kind(queue, arguments)
    if kind.lasts:
        raise PreconditionFailed(f"Cannot declare a server-named queue for type {kind.module_name}")


def check_queue_properties(queue: str, kind: QueueKind, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    """Refuse properties that a kind of queue cannot have. Raises PreconditionFailed (406)."""
    if kind.lasts:
        wrong = {"auto-delete": auto_delete, "exclusive-owner": exclusive, "non-durable": not durable}
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise PreconditionFailed(f"invalid property '{name}' for {queue}")


def check_equivalent_arguments(queue: str, received: FieldTable, current: FieldTable) -> None:
    """Refuse a redeclare with other arguments than the queue has; ``queue`` is its name in replies.

    Only arguments that the queue's kind knows count. Raises PreconditionFailed (406) for the first that
    differs; numbers may differ in width. Ref: queue.declare; RabbitMQ: Queues, "Property Equivalence".
    """
    if not received and not current:
        return
    known = queue_kind(queue, current).arguments
    for name in ARGUMENT_CHECKS:
        if name in known and not (name == QUEUE_TYPE and _same_kind(received, current)):
            check_equivalent_argument(queue, name, received, current)


def check_equivalent_argument(resource: str, name: str, received: FieldTable, current: FieldTable) -> None:
    """Refuse a redeclare where the argument ``name`` differs. Raises PreconditionFailed (406)."""
    if name in received and name in current:
        if not same_value(received[name], current[name]):
            refuse_inequivalent(resource, name, value_text(received[name]), value_text(current[name]))
    elif name in received:
        raise _inequivalent(resource, name, f"received {_typed(received[name])} but current is none")
    elif name in current:
        raise _inequivalent(resource, name, f"received none but current is {_typed(current[name])}")


def refuse_inequivalent(resource: str, name: str, received: str, current: str) -> None:
    """Raise PreconditionFailed (406) for a property or argument that is set on both sides and differs."""
    raise _inequivalent(resource, name, f"received '{received}' but current is '{current}'")


def check_equivalent_flag(resource: str, name: str, received: bool, current: bool) -> None:
    """Refuse a redeclare where the property ``name`` differs. Raises PreconditionFailed (406)."""
    if received != current:
        refuse_inequivalent(resource, name, value_text(received), value_text(current))


def _same_kind(received: FieldTable, current: FieldTable) -> bool:
    """Whether both ask for the same kind, the default one by name or not at all."""
    return (received.get(QUEUE_TYPE) or DEFAULT_QUEUE_TYPE) == (current.get(QUEUE_TYPE) or DEFAULT_QUEUE_TYPE)


def _typed(value: object) -> str:
    return f"the value '{value_text(value)}' of type '{type_name(value)}'"


def _inequivalent(resource: str, name: str, difference: str) -> PreconditionFailed:
    return PreconditionFailed(f"inequivalent arg '{name}' for {resource}: {difference}")
