"""Differences that are known and explained; everything else that differs is reported.

``FORGOTTEN_HEADERS`` are left out of what both brokers say before it is compared. ``NOT_GENERATED`` is what scripts
never do, because brokers may legally differ there or differ between their versions. One table, with reasons.
"""

from conformance.codec import Typed

_LAST_DEATH = "RabbitMQ writes x-last-death-* since 3.13 only; Leveret always does."

FORGOTTEN_HEADERS: dict[str, str] = {
    "x-last-death-reason": _LAST_DEATH,
    "x-last-death-queue": _LAST_DEATH,
    "x-last-death-exchange": _LAST_DEATH,
}

NOT_GENERATED: dict[str, str] = {
    "unknown exchange types": "503 on the connection in RabbitMQ 3, 406 on the channel in RabbitMQ 4 and Leveret.",
    "delivery modes other than 1 and 2": "RabbitMQ 3 refuses them, RabbitMQ 4 and Leveret do not.",
    "methods and tables that cannot be decoded": "The conformance suite has them one by one.",
    "two sources for one dead-letter queue in one step": "Queues run side by side in RabbitMQ: no order is promised.",
    "several queues under one global prefetch": "Queues race for the credit in RabbitMQ.",
}


def without_known(headers: Typed) -> Typed:
    """Return a message's headers without those that are known to differ."""
    return Typed("F", {key: value for key, value in headers.value.items() if key not in FORGOTTEN_HEADERS})
