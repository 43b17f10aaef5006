"""Parameters: values that operators and plugins keep by name, of the node or of one virtual host.

The broker acts on none of them but keeps them, so that definitions move both ways. Changes go out through ``define``.
RabbitMQ: Runtime Parameters.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from broker.core.definitions import Define
from storage.definitions import Definition, JsonValue

_GLOBAL: Final = "global-parameter"
_OF_VHOST: Final = "parameter"


class ParameterKey(NamedTuple):
    """What a virtual host's parameter is known by; ``component`` says whose it is, such as ``shovel``."""

    vhost: str
    component: str
    name: str


class Parameters:
    """All parameters of the node."""

    __slots__ = ("_by_key", "_define", "_globals")

    def __init__(self, define: Define) -> None:
        self._globals: dict[str, JsonValue] = {}
        self._by_key: dict[ParameterKey, JsonValue] = {}
        self._define = define

    # Of the node

    def get_global(self, name: str) -> JsonValue:
        """Return a value, None where there is none."""
        return self._globals.get(name)

    def globals_listed(self) -> list[tuple[str, JsonValue]]:
        """Return names and values, by name."""
        return sorted(self._globals.items())

    def set_global(self, name: str, value: JsonValue) -> bool:
        """Keep a value; None removes it. True if there was one."""
        was_there = name in self._globals
        if value is None:
            if was_there:
                del self._globals[name]
                self._define((_GLOBAL, name), None)
        elif not was_there or self._globals[name] != value:
            self._globals[name] = value
            self._define((_GLOBAL, name), {"value": value})
        return was_there

    # Of a virtual host

    def get(self, key: ParameterKey) -> JsonValue:
        """Return a value, None where there is none."""
        return self._by_key.get(key)

    def listed(self, vhost: str | None = None, component: str | None = None) -> list[tuple[ParameterKey, JsonValue]]:
        """Return keys and values, by key, all or those of one virtual host or component."""
        return [
            (key, self._by_key[key])
            for key in sorted(self._by_key)
            if vhost in (None, key.vhost) and component in (None, key.component)
        ]

    def set(self, key: ParameterKey, value: JsonValue) -> bool:
        """Keep a value; None removes it. True if there was one. That the virtual host exists is the caller's to see."""
        was_there = key in self._by_key
        if value is None:
            if was_there:
                del self._by_key[key]
                self._define((_OF_VHOST, *key), None)
        elif not was_there or self._by_key[key] != value:
            self._by_key[key] = value
            self._define((_OF_VHOST, *key), {"value": value})
        return was_there

    def forget_vhost(self, vhost: str) -> None:
        """Remove all parameters of a virtual host that goes."""
        for key, _ in self.listed(vhost):
            self.set(key, None)

    # Recovery

    def restore(self, definitions: Iterable[Definition]) -> None:
        """Take back what ``define`` was given in earlier lives. Raises ValueError for what cannot be read."""
        for key, value in definitions:
            if key[0] in (_GLOBAL, _OF_VHOST) and not (isinstance(value, dict) and "value" in value):
                raise ValueError(f"the definition of {key} has no value")
            if key[0] == _GLOBAL and isinstance(value, dict):
                self._globals[key[1]] = value["value"]
            elif key[0] == _OF_VHOST and isinstance(value, dict):
                self._by_key[ParameterKey(key[1], key[2], key[3])] = value["value"]
