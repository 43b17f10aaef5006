"""What a queue's arguments (and policies) ask of it: time to live, limits, dead letters. Values alone.

RabbitMQ: Time-To-Live and Expiration, Queue Length Limit, Dead Letter Exchanges.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from protocol.tables import is_integer

Overflow = Literal["drop-head", "reject-publish", "reject-publish-dlx"]


@dataclass(frozen=True, slots=True)
class QueueRules:
    """The rules of one queue; None stands for no rule. Times in milliseconds, sizes in octets of bodies."""

    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    max_length: int | None = None
    max_length_octets: int | None = None
    overflow: Overflow = "drop-head"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_strategy: str = "at-most-once"
    """What was asked for; a dead letter is published in the batch that settles the message, whatever that is."""
    consumer_timeout_ms: int | None = None
    """How long a delivery may stay unsettled; 0 for any time, whatever holds elsewhere."""
    delivery_limit: int | None = None
    """How often a message may come back to a quorum queue; negative for any number."""
    max_age: str | None = None
    """How long a stream keeps messages, such as "7D"."""
    segment_octets: int | None = None
    """The size of a stream's segments."""

    @property
    def has_limit(self) -> bool:
        """Whether its length is limited."""
        return self.max_length is not None or self.max_length_octets is not None

    @property
    def refuses_publishes(self) -> bool:
        """Whether a full queue refuses messages, instead of dropping its head."""
        return self.has_limit and self.overflow != "drop-head"


NO_RULES = QueueRules()


def rules_of(arguments: Mapping[str, Any]) -> QueueRules:
    """Return the rules that the arguments of a declared queue, checked before, stand for."""
    return QueueRules(
        message_ttl_ms=arguments.get("x-message-ttl"),
        expires_ms=arguments.get("x-expires"),
        max_length=arguments.get("x-max-length"),
        max_length_octets=arguments.get("x-max-length-bytes"),
        overflow=arguments.get("x-overflow", "drop-head"),
        dead_letter_exchange=arguments.get("x-dead-letter-exchange"),
        dead_letter_routing_key=arguments.get("x-dead-letter-routing-key"),
        dead_letter_strategy=arguments.get("x-dead-letter-strategy", "at-most-once"),
        consumer_timeout_ms=arguments.get("x-consumer-timeout"),
        delivery_limit=_delivery_limit(arguments.get("x-delivery-limit")),
        max_age=arguments.get("x-max-age"),
        segment_octets=arguments.get("x-stream-max-segment-size-bytes"),
    )


def _delivery_limit(limit: object) -> int | None:
    """Return the limit; RabbitMQ accepts what is no number and limits nothing by it."""
    if limit is None or (isinstance(limit, int) and is_integer(limit)):
        return limit
    return -1
