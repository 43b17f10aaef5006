"""What gathers while a batch cannot be written, a full disk's wait above all, and what bounds it."""

from collections.abc import Mapping
from typing import Final

from storage.records import merge_ranges

SETTLED_MAX: Final = 1 << 16
"""Ranges of settled ids that gather in a batch while others wait; encoded, a MiB: it then waits in line itself.

So a settlement costs 16 octets until it is written, and what it settles is in the index no more.
"""
RETURNED_MAX: Final = 1 << 16
"""Ranges of ids that came back, before those that came back again since are left out."""

Returned = dict[tuple[int, int], list[range]]


def keep_latest(returned: Returned, return_counts: Mapping[int, Mapping[int, int]]) -> int:
    """Leave each id once in ``returned``, with the count that it has by now: of several counts the highest holds.

    ``returned`` is by queue id and count, ``return_counts`` the latest count by queue id and message id. Returns how
    many ranges are left; they are no more than there are counts in memory anyway.
    """
    ids_of: dict[int, set[int]] = {}
    for (queue_id, _), ranges in returned.items():
        ids_of.setdefault(queue_id, set()).update(*ranges)
    returned.clear()
    for queue_id, message_ids in ids_of.items():
        counts = return_counts.get(queue_id, {})
        for message_id in sorted(message_ids):
            count = counts.get(message_id)
            if count is not None:
                returned.setdefault((queue_id, count), []).append(range(message_id, message_id + 1))
    for key, ranges in returned.items():
        returned[key] = merge_ranges(ranges)
    return sum(map(len, returned.values()))
