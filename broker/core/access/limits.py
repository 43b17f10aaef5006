"""Limits of virtual hosts and users: how many connections, channels and queues there may be.

A limit that is missing or negative is none; 0 lets nobody in. RabbitMQ: Virtual Hosts, "Limits"; User Limits.
"""

from collections.abc import Mapping
from typing import Any, Final

from broker.core.access.errors import Unacceptable

MAX_CONNECTIONS: Final = "max-connections"
MAX_CHANNELS: Final = "max-channels"
MAX_QUEUES: Final = "max-queues"

VHOST_LIMITS: Final = (MAX_CONNECTIONS, MAX_QUEUES)
USER_LIMITS: Final = (MAX_CONNECTIONS, MAX_CHANNELS)

NO_LIMITS: Final[Mapping[str, int]] = {}


def check_limits(limits: object, known: tuple[str, ...]) -> dict[str, int]:
    """Return ``limits`` as a table of integers by the ``known`` names. Raises Unacceptable, in RabbitMQ's words."""
    if not isinstance(limits, Mapping):
        raise Unacceptable("limits should be an object of numbers by name")
    checked: dict[str, int] = {}
    for name, value in limits.items():
        if name not in known:
            raise Unacceptable(f"unrecognised limit '{name}': there are {', '.join(known)}")
        checked[name] = _number(name, value)
    return checked


def _number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unacceptable(f"{name} should be a number, actually was {value!r}")
    return value


def limit_reached(limits: Mapping[str, int], name: str, count: int) -> int | None:
    """Return the limit ``name`` if ``count``, with nothing new yet, has reached it; else None."""
    limit = limits.get(name, -1)
    return limit if 0 <= limit <= count else None
