"""Names: those the server makes up, and how resources are named in replies.

What is random comes from the generator handed in, so that tests can repeat it. RabbitMQ: Queues, "Names".
"""

from base64 import urlsafe_b64encode
from random import Random
from typing import Final

RESERVED_PREFIX: Final = "amq."
_RANDOM_BITS: Final = 128
_STRIPPED: Final = str.maketrans("", "", "\r\n")


def stripped(name: str) -> str:
    """Return ``name`` without CR and LF, which RabbitMQ drops from names that clients send."""
    if "\n" in name or "\r" in name:
        return name.translate(_STRIPPED)
    return name


def is_reserved(name: str) -> bool:
    """Whether only the server may make a resource of this name. Ref: queue.declare, exchange.declare."""
    return name.startswith(RESERVED_PREFIX)


def queue_text(name: str, vhost: str) -> str:
    """Return how replies name a queue."""
    return f"queue '{name}' in vhost '{vhost}'"


def exchange_text(name: str, vhost: str) -> str:
    """Return how replies name an exchange."""
    return f"exchange '{name}' in vhost '{vhost}'"


class ServerNames:
    """Names that no one can guess: a prefix and 22 characters for 128 random bits."""

    __slots__ = ("_prefix", "_random")

    def __init__(self, prefix: str, random: Random) -> None:
        self._prefix = prefix
        self._random = random

    def new(self) -> str:
        """Return another name, 30 or 31 characters long."""
        octets = self._random.getrandbits(_RANDOM_BITS).to_bytes(_RANDOM_BITS // 8)
        return self._prefix + urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


class QueueNames(ServerNames):
    """Names of queues that were declared without one. Ref: queue.declare, "queue"."""

    __slots__ = ()

    def __init__(self, random: Random) -> None:
        super().__init__("amq.gen-", random)


class ConsumerTags(ServerNames):
    """Tags of consumers that came without one. Ref: basic.consume, "consumer-tag"."""

    __slots__ = ()

    def __init__(self, random: Random) -> None:
        super().__init__("amq.ctag-", random)
