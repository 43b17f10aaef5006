"""A batch between the loop, which has filled it, and the writer's thread."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from storage.blocks import BatchBlocks
from storage.committer import Committer
from storage.definitions import Key

Promise: TypeAlias = Callable[[int], None]


class FilledBatch:
    """A batch on its way to disk. Made for the writer; the loop forgets its parts."""

    __slots__ = (
        "blocks",
        "definitions",
        "groups",
        "moved",
        "next_message_id",
        "next_queue_id",
        "octets",
        "promises",
        "record_count",
        "segment",
        "ticket",
    )

    def __init__(self, ticket: int, segment: int, octets: int, record_count: int) -> None:
        self.ticket = ticket
        self.segment = segment
        self.octets = octets
        self.record_count = record_count
        self.groups: list[list[bytes]] = []
        self.blocks: BatchBlocks | None = None
        self.moved: list[int] = []
        self.definitions: list[tuple[Key, bytes | None]] = []
        self.promises: list[Promise] = []
        self.next_message_id = 0
        self.next_queue_id = 0


def keep(promises: list[Promise], ticket: int, committer: Committer) -> None:
    """Call back; should one raise, the others still get their turn."""
    for i, promise in enumerate(promises):
        try:
            promise(ticket)
        except BaseException:
            committer.defer(partial(keep, promises[i + 1 :], ticket, committer))
            raise
