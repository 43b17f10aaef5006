"""Queues: list, look at, declare, delete, purge. RabbitMQ: HTTP API, ``/api/queues``."""

from typing import Any, Final

from broker.core.json_tables import table_of
from broker.core.names import stripped
from broker.core.queues.classic import ClassicQueue
from broker.core.vhosts import VirtualHost
from broker.management.call import CREATED, NO_CONTENT, Call, Empty, Listing, found, text_in, truth_in
from broker.management.describe import describe_consumer, describe_queue, queue_basics, queue_totals
from broker.management.errors import BadRequest
from broker.management.queue_sizes import HeldSizes
from broker.management.routing import Row


def named_queue(call: Call) -> ClassicQueue:
    """Return the queue that the path names. Raises NotThere."""
    queue: ClassicQueue = found(call.vhost().queues.get(stripped(call["queue"])))
    return queue


def queue_to(call: Call, right: Any) -> ClassicQueue:
    """Return the queue that the path names, for who has ``right`` on it and where nobody has it for itself.

    Raises NotThere, AccessRefused (403), ResourceLocked (405).
    """
    queue = named_queue(call)
    access = call.access()
    if access is not None:
        access.check(right, "queue", queue.name)
    return call.vhost().queue_for(queue.name, call)


def _listing(call: Call, vhosts: list[VirtualHost]) -> Listing:
    queues = [vhost.queues[name] for vhost in vhosts for name in sorted(vhost.queues)]
    if call.flag("disable_stats"):
        with_totals = call.flag("enable_queue_totals")
        return Listing(
            queues,
            lambda each: (
                queue_basics(call.node, each) | {"state": "running"} | (queue_totals(each) if with_totals else {})
            ),
        )
    call.node.rates.ask()
    held = HeldSizes(call.broker)
    return Listing(
        queues,
        lambda each: describe_queue(call.node, call.broker.vhosts[each.vhost_name], each, held),
        keys=lambda each: {"name": each.name, "vhost": each.vhost_name},
    )


def list_queues(call: Call) -> Listing:
    return _listing(call, call.visible_vhosts())


def list_vhost_queues(call: Call) -> Listing:
    return _listing(call, [call.vhost()])


def get_queue(call: Call) -> dict[str, Any]:
    queue = named_queue(call)
    call.node.rates.ask()
    consumers = [describe_consumer(call.node, consumer) for consumer in queue.consumers]
    described = describe_queue(call.node, call.vhost(), queue, HeldSizes(call.broker))
    return {"consumer_details": consumers, "deliveries": [], "incoming": []} | described


def put_queue(call: Call) -> Empty:
    fields = call.fields()
    vhost, name = call.vhost(), stripped(call["queue"])
    call.check_entry()
    properties = {
        "durable": truth_in(fields, "durable"),
        "auto_delete": truth_in(fields, "auto_delete"),
        "exclusive": False,
    }
    was_there = name in vhost.queues
    vhost.declare_queue(
        name,
        owner=call,
        arguments=vhost.metadata.with_default_type(table_of(fields.get("arguments")), **properties),
        access=call.access(),
        **properties,
    )
    call.broker.counters.queues_declared += 1
    return NO_CONTENT if was_there else CREATED


def delete_queue(call: Call) -> Empty:
    queue = queue_to(call, "configure")
    deleted = call.vhost().delete_queue(
        queue.name, owner=call, if_unused=call.flag("if-unused"), if_empty=call.flag("if-empty")
    )
    for consumer in deleted.consumers:
        consumer.cancelled()
    return NO_CONTENT


def purge_queue(call: Call) -> Empty:
    queue_to(call, "read").purge()
    return NO_CONTENT


def act_on_queue(call: Call) -> Empty:
    action = text_in(call.fields("action"), "action")
    named_queue(call)
    if action not in ("sync", "cancel_sync"):
        raise BadRequest(f"unknown action '{action}'")
    return NO_CONTENT  # There are no mirrors to bring in step.


def rebalance(call: Call) -> Empty:
    return NO_CONTENT


def quorum_status(call: Call) -> list[dict[str, Any]]:
    queue = named_queue(call)
    if queue.arguments.get("x-queue-type") != "quorum":
        raise BadRequest("not_quorum_queue")
    return [{"Node Name": call.node.name, "Raft State": "leader", "Membership": "voter"}]


def no_replicas(call: Call) -> list[Any]:
    return []  # There is no other node for them.


_REPLICAS: Final = "/api/queues/quorum/replicas/on/{node}"

ROWS: Final = (
    Row("GET", "/api/queues", list_queues, "All queues"),
    Row("GET", "/api/queues/detailed", list_queues, "All queues"),
    Row("GET", "/api/queues/{vhost}", list_vhost_queues, "Queues of a virtual host"),
    Row("GET", "/api/queues/{vhost}/{queue}", get_queue, "One queue"),
    Row("PUT", "/api/queues/{vhost}/{queue}", put_queue, "Declare a queue"),
    Row("DELETE", "/api/queues/{vhost}/{queue}", delete_queue, "Delete a queue; if-empty=true, if-unused=true"),
    Row("DELETE", "/api/queues/{vhost}/{queue}/contents", purge_queue, "Purge a queue"),
    Row("POST", "/api/queues/{vhost}/{queue}/actions", act_on_queue, "Accepted for RabbitMQ's sake", "administrator"),
    Row("GET", "/api/queues/quorum/{vhost}/{queue}/status", quorum_status, "Members of a quorum queue"),
    Row("POST", _REPLICAS + "/grow", no_replicas, "Nothing to do on one node", "administrator"),
    Row("DELETE", _REPLICAS + "/shrink", no_replicas, "Nothing to do on one node", "administrator"),
    Row("POST", "/api/rebalance/queues", rebalance, "Nothing to do on one node", "administrator"),
)
