"""Virtual hosts. RabbitMQ: HTTP API, ``/api/vhosts``."""

from typing import Any, Final

from broker.core.vhosts import VirtualHost
from broker.management.call import CREATED, NO_CONTENT, Call, Empty, Listing, truth_in
from broker.management.describe import (
    READY_AT,
    RECEIVED_AT,
    SENT_AT,
    UNACKED_AT,
    message_stats,
    rate,
    with_rate,
)
from broker.management.errors import BadRequest, NotThere
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
        "tags": list(metadata.tags),
        "tracing": call.broker.firehose.is_on(vhost),
    }
    if kind:
        described["metadata"]["default_queue_type"] = kind
    ready = sum(queue.message_count for queue in vhost.queues.values())
    unacked = sum(queue.unacked_count for queue in vhost.queues.values())
    rates = call.node.rates.of(vhost, READY_AT), call.node.rates.of(vhost, UNACKED_AT)
    described |= {
        "messages": ready + unacked,
        "messages_details": rate(sum(rates)),
        "messages_ready": ready,
        "messages_ready_details": rate(rates[0]),
        "messages_unacknowledged": unacked,
        "messages_unacknowledged_details": rate(rates[1]),
    }
    connections = call.broker.admission.of_vhost(vhost.name)
    received = sum(each.received_octets for each in connections)
    sent = sum(each.sent_octets for each in connections)
    if connections:
        described |= with_rate(call.node, vhost, "recv_oct", received, RECEIVED_AT)
        described |= with_rate(call.node, vhost, "send_oct", sent, SENT_AT)
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
    is_traced = truth_in(fields, "tracing")
    answer = NO_CONTENT if name in control.vhosts else CREATED
    if answer is NO_CONTENT:
        vhost = control.update_vhost(name, **changes)
    else:
        creator = None if call.principal.is_operator else call.principal.name
        vhost = control.add_vhost(name, creator=creator, **changes)
    if "tracing" in fields:
        (call.broker.firehose.start if is_traced else call.broker.firehose.stop)(vhost)
    return answer


def delete_vhost(call: Call) -> Empty:
    if call["name"] not in call.broker.vhosts:
        raise NotThere
    call.broker.access_control.delete_vhost(call["name"])
    return NO_CONTENT


def start_vhost(call: Call) -> Empty:
    return NO_CONTENT


ROWS: Final = (
    Row("GET", "/api/vhosts", list_vhosts, "All virtual hosts"),
    Row("GET", "/api/vhosts/{vhost}", get_vhost, "One virtual host", "administrator"),
    Row("PUT", "/api/vhosts/{name}", put_vhost, "Make or change a virtual host", "administrator"),
    Row("DELETE", "/api/vhosts/{name}", delete_vhost, "Delete a virtual host with all in it", "administrator"),
    Row("POST", "/api/vhosts/{vhost}/start/{node}", start_vhost, "Start it on a node: it runs", "administrator"),
)
