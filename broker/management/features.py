"""Feature flags, deprecated features, extensions: what clients ask for and a single node hardly has.

RabbitMQ: HTTP API, ``/api/feature-flags``, ``/api/deprecated-features``, ``/api/extensions``.
"""

from typing import Any, Final

from broker.management.call import NO_CONTENT, Call, Empty
from broker.management.errors import BadRequest
from broker.management.routing import Row

FLAGS: Final = {
    "classic_mirrored_queue_version": "Support setting version for classic mirrored queues",
    "drop_unroutable_metric": "Count unroutable publishes to be dropped in stats",
    "empty_basic_get_metric": "Count AMQP `basic.get` on empty queues in stats",
    "implicit_default_bindings": "Default bindings are implicit",
    "maintenance_mode_status": "Maintenance mode status",
    "quorum_queue": "Support queues of type `quorum`",
    "stream_queue": "Support queues of type `stream`",
    "user_limits": "Configure connection and channel limits for a user",
    "virtual_host_metadata": "Virtual host metadata (description, tags, etc)",
}


def list_flags(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "desc": text,
            "doc_url": "",
            "state": "enabled",
            "stability": "stable",
            "provided_by": "rabbit",
        }
        for name, text in FLAGS.items()
    ]


def enable_flag(call: Call) -> Empty:
    if call["flag"] not in FLAGS:
        raise BadRequest("unsupported")
    return NO_CONTENT


def list_deprecated(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "deprecation_phase": "permitted_by_default" if call.broker.compat.permits(name) else "denied_by_default",
            "provided_by": "rabbit",
            "desc": "",
            "doc_url": "",
        }
        for name in ("classic_queue_mirroring", "global_qos", "queue_master_locator", "transient_nonexcl_queues")
    ]


def list_nothing(call: Call) -> list[Any]:
    return []


ROWS: Final = (
    Row("GET", "/api/feature-flags", list_flags, "Feature flags", "administrator"),
    Row("PUT", "/api/feature-flags/{flag}/enable", enable_flag, "They are all on", "administrator"),
    Row("GET", "/api/deprecated-features", list_deprecated, "What later versions refuse", "administrator"),
    Row("GET", "/api/deprecated-features/used", list_nothing, "Of these, what is in use", "administrator"),
    Row("GET", "/api/extensions", list_nothing, "Extensions of the web pages"),
    Row("GET", "/api/shovels", list_nothing, "None", "monitoring"),
    Row("GET", "/api/shovels/{vhost}", list_nothing, "None", "monitoring"),
    Row("GET", "/api/federation-links", list_nothing, "None", "monitoring"),
    Row("GET", "/api/federation-links/state/down", list_nothing, "None", "monitoring"),
    Row("GET", "/api/federation-links/{vhost}", list_nothing, "None", "monitoring"),
    Row("GET", "/api/federation-links/{vhost}/state/down", list_nothing, "None", "monitoring"),
    Row("GET", "/api/connections/{connection}/sessions", list_nothing, "Sessions of AMQP 1.0: none"),
)
