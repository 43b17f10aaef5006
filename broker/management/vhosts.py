"""Virtual hosts. RabbitMQ: HTTP API, ``/api/vhosts``."""

from typing import Any, Final

from broker.core.vhosts import VirtualHost
from broker.management.call import CREATED, NO_CONTENT, Call, Empty, Listing, truth_in
from broker.management.describe import RECEIVED_AT, SENT_AT, message_stats, totals, with_rate
from broker.management.errors import ApiError, BadRequest, NotThere
from broker.management.routing import Row
from broker.server.counters import counts_of


def describe_vhost(call: Call, vhost: VirtualHost) -> dict[str, Any]:
    """Return a virtual host, with its numbers where there are any."""
    metadata = vhost.metadata
    kind = metadata.default_queue_type
    described: dict[str, Any] = {
        "cluster_state": {call.node.name: "running"},
        "default_queue_type": kind or "undefined",
        "description": metadata.description,
        "metadata": {"description": metadata.description, "tags": list(metadata.tags)},
        "name": vhost.name,
        "protected_from_deletion": metadata.is_protected,
        "tags": list(metadata.tags),
        "tracing": call.broker.firehose.is_on(vhost),
    }
    if kind:
        described["metadata"]["default_queue_type"] = kind
    ready = sum(queue.message_count for queue in vhost.queues.values())
    unacked = sum(queue.unacked_count for queue in vhost.queues.values())
    described |= totals(call.node, vhost, ready, unacked)
    traffic = call.broker.counters.traffic(call.broker, vhost.name)
    if traffic.received_octets:
        described |= with_rate(call.node, vhost, "recv_oct", traffic.received_octets, RECEIVED_AT)
        described |= with_rate(call.node, vhost, "send_oct", traffic.sent_octets, SENT_AT)
    stats = message_stats(call.node, vhost, counts_of(vhost), unacked)
    if stats:
        described["message_stats"] = stats
    return described


def list_vhosts(call: Call) -> Listing:
    call.node.rates.ask()
    vhosts = call.visible_vhosts()
    return Listing(vhosts, lambda each: describe_vhost(call, each), keys=lambda each: {"name": each.name})


def get_vhost(call: Call) -> dict[str, Any]:
    call.node.rates.ask()
    return describe_vhost(call, call.vhost())


def tags_in(value: object) -> list[str]:
    """Return tags given as a list, or as one text with commas. Raises BadRequest."""
    if isinstance(value, str):
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        return list(value)
    raise BadRequest("tags should be a list of words, or words separated by commas")


def put_vhost(call: Call) -> Empty:
    fields = call.fields()
    control, name = call.broker.access_control, call["name"]
    changes: dict[str, Any] = {}
    if "description" in fields:
        changes["description"] = fields["description"]
    if "tags" in fields:
        changes["tags"] = tags_in(fields["tags"])
    kind = fields.get("default_queue_type")
    if kind is None and isinstance(fields.get("metadata"), dict):
        kind = fields["metadata"].get("default_queue_type")
    if kind is not None:
        changes["default_queue_type"] = "" if kind == "undefined" else kind
    is_traced, is_protected = truth_in(fields, "tracing"), truth_in(fields, "protected_from_deletion")
    answer = NO_CONTENT if name in control.vhosts else CREATED
    if answer is NO_CONTENT:
        vhost = control.update_vhost(name, **changes)
    else:
        # Whoever came by a token has its scopes; a user that happens to have the same name gets nothing by it.
        is_user = not call.principal.is_operator and call.principal.grant is None
        creator = call.principal.name if is_user else None
        vhost = control.add_vhost(name, creator=creator, **changes)
    if "tracing" in fields:
        (call.broker.firehose.start if is_traced else call.broker.firehose.stop)(vhost)
    if "protected_from_deletion" in fields:
        control.protect_vhost(name, is_protected)
    return answer


def delete_vhost(call: Call) -> Empty:
    if call["name"] not in call.broker.vhosts:
        raise NotThere
    if call.broker.vhosts[call["name"]].metadata.is_protected:
        text = f"Refusing to delete virtual host '{call['name']}' because it is protected from deletion"
        raise ApiError(412, "precondition_failed", text)
    call.broker.access_control.delete_vhost(call["name"])
    return NO_CONTENT


def protect_vhost(call: Call) -> Empty:
    call.broker.access_control.protect_vhost(call["vhost"], True)
    return NO_CONTENT


def unprotect_vhost(call: Call) -> Empty:
    call.broker.access_control.protect_vhost(call["vhost"], False)
    return NO_CONTENT


def start_vhost(call: Call) -> Empty:
    return NO_CONTENT


_PROTECTION: Final = "/api/vhosts/{vhost}/deletion/protection"

ROWS: Final = (
    Row("GET", "/api/vhosts", list_vhosts, "All virtual hosts"),
    Row("GET", "/api/vhosts/{vhost}", get_vhost, "One virtual host", "administrator"),
    Row("PUT", "/api/vhosts/{name}", put_vhost, "Make or change a virtual host", "administrator"),
    Row("DELETE", "/api/vhosts/{name}", delete_vhost, "Delete a virtual host with all in it", "administrator"),
    Row("POST", _PROTECTION, protect_vhost, "Protect a virtual host from deletion", "administrator"),
    Row("DELETE", _PROTECTION, unprotect_vhost, "Let it be deleted again", "administrator"),
    Row("POST", "/api/vhosts/{vhost}/start/{node}", start_vhost, "Start it on a node: it runs", "administrator"),
)
