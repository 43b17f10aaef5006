"""Claims on a queue that is there: whose it is, and whether who declares it again means the same queue.

Ref: queue.declare, "exclusive"; RabbitMQ: Queues, "Declaration and Property Equivalence".
"""

from broker.core.arguments import check_equivalent_arguments, check_equivalent_flag
from broker.core.names import queue_text
from broker.core.queues.classic import ClassicQueue
from protocol.errors import ResourceLocked
from protocol.tables import FieldTable


def check_open_to(queue: ClassicQueue, owner: object) -> None:
    """Refuse a queue that another connection than ``owner`` has for itself: ResourceLocked (405)."""
    if queue.exclusive_owner is not None and queue.exclusive_owner is not owner:
        raise _locked(queue)


def check_equivalent_queue(
    queue: ClassicQueue, exclusive_owner: object | None, durable: bool, auto_delete: bool, arguments: FieldTable
) -> None:
    """Refuse a redeclare as another's, ResourceLocked (405), or as something else, PreconditionFailed (406)."""
    text = queue_text(queue.name, queue.vhost_name)
    if queue.exclusive_owner is not exclusive_owner:
        raise _locked(queue)
    check_equivalent_flag(text, "durable", durable, queue.durable)
    check_equivalent_flag(text, "auto_delete", auto_delete, queue.auto_delete)
    check_equivalent_arguments(text, arguments, queue.arguments)


def _locked(queue: ClassicQueue) -> ResourceLocked:
    return ResourceLocked(
        f"cannot obtain exclusive access to locked {queue_text(queue.name, queue.vhost_name)}. It could be "
        "originally declared on another connection or the exclusive property value does not match that of the original "
        "declaration."
    )
