"""The headers exchange: bindings that say which headers a message must have, all of them or any.

Bindings are found by what they ask for, so that the cost goes with the message's headers and the bindings that
come near, not with all bindings. Values compare as RabbitMQ's do: integers of all widths by value, but ``1`` is
neither ``"1"`` nor true; a void in a binding stands for any value. Spec: AMQP 0-9-1, 3.1.3.4;
RabbitMQ: Headers Exchange, and "x-match" all, any, all-with-x, any-with-x.
"""

from collections.abc import Hashable
from decimal import Decimal
from typing import Any, Final

from broker.core.bindings import Binding, Destination
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.publish.routable import LooksAt
from broker.core.terms import term_text
from protocol.errors import PreconditionFailed
from protocol.tables import FieldTable, type_name

X_MATCH: Final = "x-match"
MATCHES: Final = ("all", "any", "all-with-x", "any-with-x")

Criterion = tuple[str, Hashable]
"""A header's name, and its value in comparable form or ``ANY_VALUE``."""

ANY_VALUE: Final = ("any value",)


def comparable(value: object) -> Hashable:
    """Return a form of a field value that is equal for values that RabbitMQ's headers exchange holds equal."""
    match value:
        case None:
            return ("void",)
        case bool():
            return ("bool", value)
        case int() | float():
            return ("number", value)
        case str():
            return ("text", value.encode("utf-8", "surrogateescape"))
        case bytes() | bytearray():
            return ("text", bytes(value))
        case Decimal():
            return ("decimal", value)
        case list():
            return ("array", tuple(map(comparable, value)))
        case dict():
            return ("table", frozenset((key, comparable(item)) for key, item in value.items()))
    raise TypeError(f"no field table can hold a {type(value).__name__}")


def criteria_of(arguments: FieldTable) -> tuple[bool, dict[Criterion, None]]:
    """Return whether any criterion is enough, and the criteria, of a binding with these arguments."""
    match_kind = arguments.get(X_MATCH, "all")
    with_x = match_kind.endswith("-with-x")
    criteria: dict[Criterion, None] = {}
    for name, value in arguments.items():
        if name == X_MATCH or (name.startswith("x-") and not with_x):
            continue
        criteria[name, ANY_VALUE if value is None else comparable(value)] = None
    return match_kind.startswith("any"), criteria


class HeadersExchange(Exchange):
    """Routes to the bindings whose criteria the message's headers meet; the routing key does not matter.

    ``_any`` and ``_all`` find bindings by a criterion: for "any" by each of theirs, for "all" by one of them,
    and the others are checked. ``_always`` are those of "all" that ask for nothing.
    """

    type_name = "headers"
    __slots__ = ("_all", "_always", "_any")

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._always: dict[Binding, None] = {}
        self._any: dict[Criterion, dict[Binding, None]] = {}
        self._all: dict[Criterion, dict[Binding, frozenset[Criterion]]] = {}

    @property
    def looks_at(self) -> LooksAt:
        return LooksAt.HEADER

    def check_binding(self, routing_key: str, arguments: FieldTable) -> None:
        """Raises PreconditionFailed (406) for an ``x-match`` that is none. RabbitMQ: Headers Exchange."""
        match_kind = arguments.get(X_MATCH, "all")
        kind = type_name(match_kind)
        if kind != "longstr":
            value = term_text(match_kind)
            raise PreconditionFailed(f"Invalid x-match field type {kind} (value {value}); expected longstr")
        if match_kind not in MATCHES:
            expected = "all, any, all-with-x, or any-with-x"
            raise PreconditionFailed(f"Invalid x-match field value {term_text(match_kind)}; expected {expected}")

    def add(self, binding: Binding) -> None:
        is_any, criteria = criteria_of(binding.arguments)
        if is_any:
            for criterion in criteria:
                self._any.setdefault(criterion, {})[binding] = None
        elif criteria:
            first, *others = criteria
            self._all.setdefault(first, {})[binding] = frozenset(others)
        else:
            self._always[binding] = None

    def remove(self, binding: Binding) -> None:
        is_any, criteria = criteria_of(binding.arguments)
        if is_any:
            for criterion in criteria:
                _discard(self._any, criterion, binding)
        elif criteria:
            _discard(self._all, next(iter(criteria)), binding)
        else:
            del self._always[binding]

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        found: dict[Destination, None] = {binding.destination: None for binding in self._always}
        if headers:
            met = _met_by(headers)
            for criterion in met:
                for binding in self._any.get(criterion, ()):
                    found[binding.destination] = None
                for binding, others in self._all.get(criterion, _NO_BINDINGS).items():
                    if met.keys() >= others:
                        found[binding.destination] = None
        return list(found)


_NO_BINDINGS: Final[dict[Binding, frozenset[Criterion]]] = {}


def _met_by(headers: FieldTable) -> dict[Criterion, None]:
    """Return the criteria that a message with ``headers`` meets: two a header."""
    met: dict[Criterion, None] = {}
    for name, value in headers.items():
        met[name, ANY_VALUE] = None
        met[name, comparable(value)] = None
    return met


def _discard(index: dict[Criterion, dict[Binding, Any]], criterion: Criterion, binding: Binding) -> None:
    bindings = index[criterion]
    del bindings[binding]
    if not bindings:
        del index[criterion]
