"""The log when durability is "memory": messages are not written, and what an earlier run wrote is still settled."""

from collections.abc import Callable, Sequence
from typing import Final

from storage.store import Store

LEVELS: Final = {
    "fsync": "a confirm says that the message is on the disk",
    "os": "a confirm says that the message was given to the operating system: a power cut loses it",
    "memory": "a confirm says nothing: messages are in memory alone",
}


class UnloggedMessages:
    """Stands between queues and store. Ids below ``first_id`` are those of messages that the store recovered."""

    __slots__ = ("_first_id", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._first_id = store.recovery.next_message_id

    @property
    def ticket(self) -> int:
        return self._store.ticket

    def publish(self, queue_ids: Sequence[int], ids: range, envelope: bytes, pieces: list[bytes]) -> None:
        """Nothing is kept."""

    def settle(self, queue_id: int, ids: range) -> None:
        known = ids[: max(0, -(-(self._first_id - ids.start) // ids.step))]
        if known:
            self._store.settle(queue_id, known)

    def delivered(self, queue_id: int, upto: int) -> None:
        self._store.delivered(queue_id, min(upto, self._first_id - 1))

    def returned(self, queue_id: int, ids: range, return_count: int) -> None:
        known = ids[: max(0, -(-(self._first_id - ids.start) // ids.step))]
        if known:
            self._store.returned(queue_id, known, return_count)

    def delete_queue(self, queue_id: int) -> None:
        self._store.delete_queue(queue_id)

    def promise(self, callback: Callable[[int], None]) -> int:
        return self._store.promise(callback)
