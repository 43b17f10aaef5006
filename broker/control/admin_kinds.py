"""The kinds of objects that rabbitmqadmin declares, deletes, closes and purges: their paths and their keys.

RabbitMQ: Management CLI.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: the path to it, the keys it needs and those it may have. Keys in the path are not sent."""

    path: tuple[str, ...]
    needs: tuple[str, ...]
    may: Mapping[str, Any] = field(default_factory=dict)
    json_keys: tuple[str, ...] = ()


_SWITCHES: Final = {"auto_delete": "false", "durable": "true", "arguments": {}}
_POLICY: Final = {"priority": 0, "apply-to": None}

DECLARED: Final[Mapping[str, Kind]] = {
    "exchange": Kind(
        ("exchanges", "{vhost}", "{name}"), ("name", "type"), {**_SWITCHES, "internal": "false"}, ("arguments",)
    ),
    "queue": Kind(
        ("queues", "{vhost}", "{name}"), ("name",), {**_SWITCHES, "node": None, "queue_type": None}, ("arguments",)
    ),
    "binding": Kind(
        ("bindings", "{vhost}", "e", "{source}", "{destination_char}", "{destination}"),
        ("source", "destination"),
        {"destination_type": "queue", "routing_key": "", "arguments": {}},
        ("arguments",),
    ),
    "vhost": Kind(
        ("vhosts", "{name}"),
        ("name",),
        {"tracing": None, "description": None, "tags": None, "default_queue_type": None},
    ),
    "user": Kind(
        ("users", "{name}"),
        ("name", "password|password_hash", "tags"),
        {"password": None, "password_hash": None, "hashing_algorithm": None},
    ),
    "permission": Kind(("permissions", "{vhost}", "{user}"), ("vhost", "user", "configure", "write", "read")),
    "parameter": Kind(
        ("parameters", "{component}", "{vhost}", "{name}"), ("component", "name", "value"), json_keys=("value",)
    ),
    "policy": Kind(
        ("policies", "{vhost}", "{name}"), ("name", "pattern", "definition"), _POLICY, ("definition", "priority")
    ),
    "operator_policy": Kind(
        ("operator-policies", "{vhost}", "{name}"),
        ("name", "pattern", "definition"),
        _POLICY,
        ("definition", "priority"),
    ),
    "vhost_limit": Kind(("vhost-limits", "{vhost}", "{name}"), ("vhost", "name", "value"), json_keys=("value",)),
    "user_limit": Kind(("user-limits", "{user}", "{name}"), ("user", "name", "value"), json_keys=("value",)),
    "global_parameter": Kind(("global-parameters", "{name}"), ("name", "value"), json_keys=("value",)),
    "stream": Kind(
        ("queues", "{vhost}", "{name}"),
        ("name",),
        {
            "arguments": {},
            "expiration": None,
            "max_length_bytes": None,
            "max_segment_length_bytes": None,
        },
        ("arguments", "max_length_bytes", "max_segment_length_bytes"),
    ),
}
STREAM_ARGUMENTS: Final = {
    "expiration": "x-max-age",
    "max_length_bytes": "x-max-length-bytes",
    "max_segment_length_bytes": "x-stream-max-segment-size-bytes",
}
DELETED: Final[Mapping[str, Kind]] = {
    "exchange": Kind(("exchanges", "{vhost}", "{name}"), ("name",)),
    "queue": Kind(("queues", "{vhost}", "{name}"), ("name",)),
    "binding": Kind(
        ("bindings", "{vhost}", "e", "{source}", "{destination_char}", "{destination}", "{properties_key}"),
        ("source", "destination_type", "destination"),
        {"properties_key": "~"},
    ),
    "vhost": Kind(("vhosts", "{name}"), ("name",)),
    "user": Kind(("users", "{name}"), ("name",)),
    "permission": Kind(("permissions", "{vhost}", "{user}"), ("vhost", "user")),
    "parameter": Kind(("parameters", "{component}", "{vhost}", "{name}"), ("component", "name")),
    "policy": Kind(("policies", "{vhost}", "{name}"), ("name",)),
    "operator_policy": Kind(("operator-policies", "{vhost}", "{name}"), ("name",)),
    "vhost_limit": Kind(("vhost-limits", "{vhost}", "{name}"), ("vhost", "name")),
    "user_limit": Kind(("user-limits", "{user}", "{name}"), ("user", "name")),
    "global_parameter": Kind(("global-parameters", "{name}"), ("name",)),
    "stream": Kind(("queues", "{vhost}", "{name}"), ("name",)),
}
CLOSED: Final = {"connection": Kind(("connections", "{name}"), ("name",))}
PURGED: Final = {"queue": Kind(("queues", "{vhost}", "{name}", "contents"), ("name",))}
PUBLISH: Final = Kind(
    ("exchanges", "{vhost}", "{exchange}", "publish"),
    ("routing_key",),
    {"payload": None, "properties": {}, "exchange": "amq.default", "payload_encoding": "string"},
    ("properties",),
)
GET: Final = Kind(
    ("queues", "{vhost}", "{queue}", "get"),
    ("queue",),
    {"count": "1", "ackmode": "ack_requeue_true", "payload_file": None, "encoding": "auto", "truncate": None},
)
