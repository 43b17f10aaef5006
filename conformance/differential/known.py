"""Differences that are known and explained; everything else that differs is reported.

``FORGOTTEN_HEADERS`` are left out of what both brokers say before it is compared, and ``X_DEATH_ORDER`` is not looked
at. ``NOT_GENERATED`` is what scripts never do, or what is left out while they run, because brokers may legally differ
there or differ between their versions.
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
    "times to live in a queue with priorities": "RabbitMQ looks for expired messages after a publish only when the "
    "queue was empty, so one that overtakes the others stays until something else happens; Leveret drops it at once.",
    "returning deliveries of several consumers of one queue at once": "RabbitMQ groups them by consumer; Leveret keeps "
    "the order of delivery.",
    "settling what came from a queue that was deleted and declared again": "RabbitMQ 3 may settle a message of the new "
    "queue instead; Leveret settles nothing.",
    "acks of a cancelled consumer whose tag is in use again": "RabbitMQ 3 lets the new consumer hold one message more "
    "for each; Leveret keeps to its prefetch.",
    "commits of publishes together with acks": "RabbitMQ's queues take acks before publishes that came earlier, "
    "if both wait, so that a consumer may or may not have credit for the message.",
    "deliveries to a channel that dies": "A message may still be on its way when the channel closes.",
    "loops of dead letters in which a message dies in three ways": "RabbitMQ 3 turns the older entries of x-death "
    "round at each death, and which of them comes first decides whether the loop ends.",
    "what follows the end of a connection with consumers on one of several channels": "Its channels go one after the "
    "other in RabbitMQ, so that one may be given what another one held, even to lose it.",
    "methods and tables that cannot be decoded": "The conformance suite has them one by one.",
    "two sources for one dead-letter queue in one step": "Queues run side by side in RabbitMQ: no order is promised.",
    "several queues under one global prefetch": "Queues race for the credit in RabbitMQ.",
}


X_DEATH_ORDER = "RabbitMQ 3 turns the older entries round at each death; Leveret has the newest first, as documented."


def without_known(headers: Typed) -> Typed:
    """Return a message's headers without what is known to differ."""
    known = {key: value for key, value in headers.value.items() if key not in FORGOTTEN_HEADERS}
    deaths = known.get("x-death")
    if deaths is not None and deaths.code == "A":
        # X_DEATH_ORDER: the last death stands first, the others in any order.
        known["x-death"] = Typed("A", deaths.value[:1] + sorted(deaths.value[1:], key=repr))
    return Typed("F", known)
