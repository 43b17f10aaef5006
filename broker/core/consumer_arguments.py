"""What consumers may be declared with: which x-arguments each kind of queue knows. Unknown ones are ignored.

RabbitMQ: Consumers; Consumer Priorities; Streams, "Consuming".
"""

from typing import Final

from protocol.errors import PreconditionFailed
from protocol.tables import FieldTable, is_integer, type_name

PRIORITY: Final = "x-priority"
STREAM_OFFSET: Final = "x-stream-offset"
_FAILOVER: Final = "x-cancel-on-ha-failover"

_KNOWN: Final = {
    "rabbit_classic_queue": frozenset({PRIORITY, _FAILOVER}),
    "rabbit_quorum_queue": frozenset({PRIORITY}),
    "rabbit_stream_queue": frozenset({STREAM_OFFSET}),
}
"""The arguments that some kinds of queue know and others refuse."""


def check_consumer_arguments(queue: str, module_name: str, arguments: FieldTable) -> None:
    """Refuse what the kind of queue named ``module_name`` cannot do; ``queue`` is its name in replies.

    Raises PreconditionFailed (406). Ref: basic.consume, "arguments".
    """
    for name in (PRIORITY, STREAM_OFFSET, _FAILOVER):
        if name not in arguments:
            continue
        if name not in _KNOWN[module_name]:
            raise PreconditionFailed(f"invalid arg '{name}' for {queue} of queue type {module_name}")
        if name == PRIORITY and not is_integer(arguments[name]):
            kind = type_name(arguments[name])
            raise PreconditionFailed(f"invalid arg '{name}' for {queue}: \"expected integer, got {kind}\"")
