"""Version profiles: which RabbitMQ to be like, where its versions refuse different things.

Whoever handles something that a version refuses asks ``Compat.permits``; nothing else compares versions. What is
permitted here and refused by a later version is reported once. RabbitMQ: Deprecated Features, release notes 4.0 to 4.3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from broker.core.arguments import CLASSIC, DEFAULT_QUEUE_TYPE, QUEUE_TYPE
from protocol.errors import AmqpError, CommandInvalid, InternalFault, PreconditionFailed
from protocol.tables import FieldTable

Version = Literal["3", "4.0", "4.3"]

Feature = Literal[
    "transient_nonexcl_queues",
    "global_qos",
    "queue_master_locator",
    "queue_version_1",
    "classic_queue_mirroring",
    "classic_consumer_timeout",
    "frames_below_8192_octets",
    "messages_above_16_mib",
]
"""What some version refuses; RabbitMQ's own names where it has one. Each is a field of Profile."""

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Profile:
    """One version: what it permits, and where else it answers in a way of its own.

    ``release`` is what clients are told. ``frame_max_least`` and ``message_octets_most`` are in octets.
    """

    release: str
    transient_nonexcl_queues: bool = True
    global_qos: bool = True
    queue_master_locator: bool = True
    queue_version_1: bool = True
    classic_queue_mirroring: bool = True
    classic_consumer_timeout: bool = True
    frames_below_8192_octets: bool = True
    messages_above_16_mib: bool = True
    unknown_exchange_type: type[AmqpError] = PreconditionFailed
    refusals_name_the_right: bool = True

    @property
    def frame_max_least(self) -> int:
        """Return the smallest frame_max that a client may ask for."""
        return 4096 if self.frames_below_8192_octets else 8192

    @property
    def message_octets_most(self) -> int:
        """Return the largest body, unless the settings say otherwise. RabbitMQ: max_message_size."""
        return 128 * MIB if self.messages_above_16_mib else 16 * MIB


PROFILES: Final[dict[Version, Profile]] = {
    "3": Profile("3.13.7", unknown_exchange_type=CommandInvalid, refusals_name_the_right=False),
    "4.0": Profile(
        "4.0.9",
        classic_queue_mirroring=False,
        messages_above_16_mib=False,
        unknown_exchange_type=CommandInvalid,
    ),
    "4.3": Profile(
        "4.3.6",
        transient_nonexcl_queues=False,
        global_qos=False,
        queue_master_locator=False,
        queue_version_1=False,
        classic_queue_mirroring=False,
        classic_consumer_timeout=False,
        frames_below_8192_octets=False,
        messages_above_16_mib=False,
    ),
}
"""In the order of the versions, so that the first that refuses something can be told."""


class Compat:
    """The profile in force. ``deprecated(feature, version)`` is called at the first use of what a later one refuses."""

    __slots__ = ("_deprecated", "_refused_from", "profile")

    def __init__(
        self, version: Version = "3", deprecated: Callable[[Feature, Version], None] = lambda feature, version: None
    ) -> None:
        self.profile = PROFILES[version]
        self._deprecated = deprecated
        self._refused_from = {
            feature: next(later for later, profile in PROFILES.items() if not getattr(profile, feature))
            for feature in get_args(Feature)
        }

    def permits(self, feature: Feature) -> bool:
        """Whether the version permits ``feature``, which somebody uses."""
        if not getattr(self.profile, feature):
            return False
        later = self._refused_from.pop(feature, None)
        if later is not None:
            self._deprecated(feature, later)
        return True

    def check_new_queue(self, queue: str, durable: bool, exclusive: bool, arguments: FieldTable) -> None:
        """Refuse a queue that the version does not have; ``queue`` is its name in replies.

        Raises InternalFault (541, so the connection closes) for deprecated features, as RabbitMQ does, and
        PreconditionFailed (406) for arguments that classic queues have no more.
        """
        if not (durable or exclusive):
            self._require("transient_nonexcl_queues")
        if not arguments:
            return
        if "x-queue-master-locator" in arguments:
            self._require("queue_master_locator")
        if arguments.get("x-queue-version") == 1 and not self.permits("queue_version_1"):
            raise PreconditionFailed(f"invalid arg 'x-queue-version' for {queue}: \"unsupported queue version '1'\"")
        is_classic = (arguments.get(QUEUE_TYPE) or DEFAULT_QUEUE_TYPE) == CLASSIC.type_name
        if is_classic and "x-consumer-timeout" in arguments and not self.permits("classic_consumer_timeout"):
            raise PreconditionFailed(
                f"invalid arg 'x-consumer-timeout' for {queue} of queue type {CLASSIC.module_name}"
            )

    def _require(self, feature: Feature) -> None:
        if not self.permits(feature):
            raise InternalFault(
                f"Feature `{feature}` is deprecated.\n"
                "By default, this feature is not permitted anymore.\n"
                "The feature will be removed from a future major RabbitMQ version, regardless of the configuration; "
                "actual version to be determined.\n"
                "To continue using it, choose an older version with Leveret's setting `compat`."
            )


PERMISSIVE: Final = Compat()
"""What holds where nothing else is said: version 3, and nobody to report to."""
