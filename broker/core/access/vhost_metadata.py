"""What an operator says about a virtual host, beside its name. RabbitMQ: Virtual Hosts, "Metadata"."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.core.access.errors import Unacceptable
from broker.core.arguments import DEFAULT_QUEUE_TYPE, QUEUE_TYPE
from protocol.tables import FieldTable
from storage.definitions import JsonValue

QUEUE_TYPE_NAMES: Final = ("classic", "quorum", "stream")


@dataclass(frozen=True, slots=True)
class VirtualHostMetadata:
    """A description, tags, and the x-queue-type of queues that are declared without one.

    ``is_protected`` is for surfaces that delete virtual hosts: they refuse to delete this one.
    """

    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: str | None = None
    is_protected: bool = False

    def to_json(self) -> JsonValue:
        """Return it as the journal keeps it."""
        return {
            "description": self.description,
            "tags": list(self.tags),
            "default_queue_type": self.default_queue_type,
            **({"protected_from_deletion": True} if self.is_protected else {}),
        }

    def with_default_type(
        self, arguments: FieldTable, *, durable: bool, exclusive: bool, auto_delete: bool
    ) -> FieldTable:
        """Return the arguments of a declare, with the default x-queue-type where none is given and it can be that.

        RabbitMQ: Virtual Hosts, "Default Queue Type".
        """
        kind = self.default_queue_type
        if kind is None or QUEUE_TYPE in arguments:
            return arguments
        if kind != DEFAULT_QUEUE_TYPE and (not durable or exclusive or auto_delete):
            return arguments
        return {**arguments, QUEUE_TYPE: kind}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "VirtualHostMetadata":
        """Return what ``to_json`` gave."""
        is_protected = fields.get("protected_from_deletion") is True
        return cls(fields["description"], tuple(fields["tags"]), fields["default_queue_type"], is_protected)


NO_METADATA = VirtualHostMetadata()


def check_metadata(description: str, tags: Iterable[str], default_queue_type: str | None) -> VirtualHostMetadata:
    """Return metadata of these. Raises Unacceptable for what is no text; a blank queue type is none."""
    checked = tuple(dict.fromkeys(tags))
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag for tag in checked):
        raise Unacceptable("tags are a list of words")
    if not isinstance(description, str):
        raise Unacceptable("a description is a text")
    if default_queue_type and default_queue_type not in QUEUE_TYPE_NAMES:
        raise Unacceptable(f"default_queue_type '{default_queue_type}' is not one of {', '.join(QUEUE_TYPE_NAMES)}")
    return VirtualHostMetadata(description, checked, default_queue_type or None)
